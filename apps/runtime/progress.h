#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace flagen::apps {

/// Shows how far long work is, on stderr: one line that rewrites itself on a terminal, a plain line
/// every ten seconds otherwise.
///
///     train  240/600 steps  2.31 steps/s  ETA 2:36  loss 0.713
class Progress {
  public:
    /// `done_before` units were done by an earlier run and do not count for the rate.
    Progress(std::string task, std::string unit, std::int64_t total, std::int64_t done_before = 0);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// `done` of `total` units are done now; `note` ends the line.
    void update(std::int64_t done, const std::string& note = {});

    /// For work whose size is known only once it runs.
    void set_total(std::int64_t total) { total_ = total; }

    /// Takes the line off a terminal, so that something else can be printed.
    void clear();

    /// Units per second since the start.
    [[nodiscard]] double rate(std::int64_t done) const;

  private:
    using Clock = std::chrono::steady_clock;

    std::string task_;
    std::string unit_;
    std::int64_t total_;
    std::int64_t done_before_;
    bool terminal_;
    bool line_shown_ = false;
    Clock::time_point start_;
    Clock::time_point last_;
};

/// "2:36" or "1:02:36".
[[nodiscard]] std::string format_duration(double seconds);

}  // namespace flagen::apps
