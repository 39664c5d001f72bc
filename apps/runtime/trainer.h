#pragma once

#include <string>

#include "apps/options/run_config.h"
#include "apps/runtime/device.h"

namespace flagen::apps {

/// What `flagen train` does with a folder that already holds a run.
enum class ResumeMode {
    kNever,  ///< An error: nothing is overwritten.
    kAuto,   ///< Goes on from the newest valid checkpoint, or starts if there is none.
};

struct TrainOptions {
    std::string out;           ///< Run folder.
    std::string command_line;  ///< For run.json.
    RunDevice device;
    ResumeMode resume = ResumeMode::kNever;
    bool dry_run = false;      ///< Reads and checks all inputs, prints what would run, and stops.
};

/// Trains a model and leaves a run folder:
///
///     config.json    the configuration with all defaults
///     run.json       versions, host, command line, checksums of the inputs
///     metrics.jsonl  loss, learning rate, validation scores by step and head, and the mean of the
///                    heads' scores, by which the best step is chosen; the same bytes in every run
///     log.txt        what was printed, with times
///     genes_dropped.tsv
///     checkpoints/   step-..., latest, best (models/checkpoint_folder.h)
///
/// Bit-exact: on the same device, with the same number of threads, a run that was killed at any time
/// and resumed ends in the same checkpoints and metrics.jsonl as one that was not. It may also go on on
/// another device, which starts its own generator (dropout) anew.
///
/// @return kExitOk, or kExitRequeue when a signal stopped the run after a save.
/// @throws UserError for faults of configuration and inputs; Error if the loss is not finite.
int train(const RunConfig& config, const TrainOptions& options);

}  // namespace flagen::apps
