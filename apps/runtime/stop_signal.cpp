#include "apps/runtime/stop_signal.h"

#include <array>
#include <csignal>
#include <cstddef>

namespace flagen::apps {
namespace {

constexpr std::array<int, 4> kSignals{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

volatile std::sig_atomic_t first_signal = 0;
std::array<struct sigaction, kSignals.size()> old_actions{};

extern "C" void note_signal(int number) {
    if (number == SIGINT && first_signal == SIGINT) {
        std::signal(SIGINT, SIG_DFL);
        std::raise(SIGINT);
    }
    if (first_signal == 0) {
        first_signal = number;
    }
}

}  // namespace

StopSignal::StopSignal() {
    first_signal = 0;
    struct sigaction action {};
    action.sa_handler = note_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    for (std::size_t i = 0; i < kSignals.size(); ++i) {
        sigaction(kSignals[i], &action, &old_actions[i]);
    }
}

StopSignal::~StopSignal() {
    for (std::size_t i = 0; i < kSignals.size(); ++i) {
        sigaction(kSignals[i], &old_actions[i], nullptr);
    }
}

int StopSignal::received() const { return first_signal; }

}  // namespace flagen::apps
