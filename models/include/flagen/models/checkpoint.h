#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "flagen/models/checkpoint_folder.h"
#include "flagen/models/named_tensors.h"

namespace flagen::models {

/// Everything that a run needs to go on bit for bit.
///
/// Files: model.safetensors, optim-00000-of-00001.safetensors and rng.safetensors (if not empty),
/// state.json (step, best step, configuration digest), run_state.json, and one file for each of
/// `texts`.
struct CheckpointState {
    std::int64_t step = 0;                  ///< Optimiser steps done.
    std::optional<std::int64_t> best_step;  ///< Best by the validation metric so far.
    std::string config_digest;              ///< Digest of what must not change over a resume.
    std::string model_sha256;               ///< Of the weights' file; set by loading, not saved.
    NamedTensors model;                     ///< Parameters and buffers: module_tensors().
    NamedTensors optimizer;                 ///< adamw_state() of optimizer_state.h.
    at::Tensor rng_state;                   ///< generator_state(at::kCPU), or undefined.
    at::Tensor cuda_rng_state;              ///< Of the run's GPU; undefined where it used none.
    std::string run_state = "{}";           ///< The caller's own JSON object, kept byte for byte.
    std::map<std::string, std::string> texts;  ///< Further small files: "config.json", ...
};

/// Publishes `state` and points `best` to its best step (checkpoint_folder.h).
/// @throws Error, with nothing published, if a tensor of the model or optimiser is not finite, if
///         run_state is no JSON object, or if a write fails.
std::string save_checkpoint(CheckpointFolder& folder, const CheckpointState& state);

struct CheckpointLoadOptions {
    std::string config_digest = "";   ///< Refuses a checkpoint of another digest; empty: any.
    bool allow_other_config = false;  ///< Loads it all the same.
    bool allow_non_finite = false;    ///< Loads tensors that hold NaN or infinity.
    bool weights_only = false;        ///< Leaves out optimizer and rng_state, for prediction.
};

/// Verifies and reads one checkpoint folder. Nothing of the caller's is touched: compare and copy
/// with copy_tensors() and restore_adamw_state().
/// @throws UserError (kInputFile): damaged, of a newer schema, of another configuration, not
/// finite.
[[nodiscard]] CheckpointState load_checkpoint(const std::string& path,
                                              const CheckpointLoadOptions& options = {});

/// The newest valid checkpoint of the folder; nothing if none was ever published. Damaged ones are
/// passed over with a line each in `skipped`; one of another configuration, of a newer schema or
/// with non-finite values is an error, never a silent step back. If the folder is open for writing,
/// its hints and old checkpoints are brought to where a save of that step leaves them.
[[nodiscard]] std::optional<CheckpointState> resume_checkpoint(CheckpointFolder& folder,
                                                               const CheckpointLoadOptions& options,
                                                               std::vector<std::string>* skipped);

}  // namespace flagen::models
