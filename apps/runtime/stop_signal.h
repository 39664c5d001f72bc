#pragma once

namespace flagen::apps {

/// Notes SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 instead of dying: the running command finishes its
/// step, saves and leaves. A second SIGINT ends the process at once.
///
/// The handler only sets a flag. One object at a time; the old handlers come back at its end.
class StopSignal {
  public:
    StopSignal();
    ~StopSignal();
    StopSignal(const StopSignal&) = delete;
    StopSignal& operator=(const StopSignal&) = delete;

    /// Number of the first signal that came, or 0.
    [[nodiscard]] int received() const;
};

}  // namespace flagen::apps
