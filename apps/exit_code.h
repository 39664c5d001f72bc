#pragma once

namespace flagen::apps {

/// Exit codes of every flagen command. Named here and nowhere else.
enum ExitCode : int {
    kExitOk = 0,
    kExitInternal = 1,      ///< A fault of flagen, the device or the machine (disk full, for example).
    kExitConfig = 2,        ///< Command line or configuration.
    kExitBadInput = 3,      ///< An input file is malformed or does not fit the others.
    kExitSomeRowsFailed = 4,  ///< Finished; some rows have a status instead of a value.
    kExitRequeue = 85,      ///< Interrupted by a signal; the state is saved, run again to go on.
};

}  // namespace flagen::apps
