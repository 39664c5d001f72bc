#include "apps/runtime/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace flagen::apps {
namespace {

constexpr double kTerminalSeconds = 0.2;
constexpr double kPlainSeconds = 10.0;

}  // namespace

std::string format_duration(double seconds) {
    const auto whole = static_cast<long long>(std::llround(std::max(0.0, seconds)));
    char text[32];
    if (whole >= 3600) {
        std::snprintf(text, sizeof(text), "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    } else {
        std::snprintf(text, sizeof(text), "%lld:%02lld", whole / 60, whole % 60);
    }
    return text;
}

Progress::Progress(std::string task, std::string unit, std::int64_t total, std::int64_t done_before)
    : task_(std::move(task)),
      unit_(std::move(unit)),
      total_(total),
      done_before_(done_before),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_(start_) {}

Progress::~Progress() { clear(); }

double Progress::rate(std::int64_t done) const {
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    return seconds > 0 ? static_cast<double>(done - done_before_) / seconds : 0.0;
}

void Progress::update(std::int64_t done, const std::string& note) {
    const auto now = Clock::now();
    const double since_last = std::chrono::duration<double>(now - last_).count();
    if (since_last < (terminal_ ? kTerminalSeconds : kPlainSeconds)) {
        return;
    }
    last_ = now;
    const double per_second = rate(done);
    const std::string eta =
        per_second > 0 ? format_duration(static_cast<double>(total_ - done) / per_second) : "?";
    std::fprintf(stderr, "%s%s  %lld/%lld %s  %.2f %s/s  ETA %s%s%s%s", terminal_ ? "\r\033[K" : "",
                 task_.c_str(), static_cast<long long>(done), static_cast<long long>(total_), unit_.c_str(),
                 per_second, unit_.c_str(), eta.c_str(), note.empty() ? "" : "  ", note.c_str(),
                 terminal_ ? "" : "\n");
    std::fflush(stderr);
    line_shown_ = terminal_;
}

void Progress::clear() {
    if (line_shown_) {
        std::fputs("\r\033[K", stderr);
        std::fflush(stderr);
        line_shown_ = false;
    }
}

}  // namespace flagen::apps
