#pragma once

#include <string>

#include "flagen/models/named_tensors.h"

namespace torch::optim {
class AdamW;
}

namespace flagen::models {

/// State of AdamW as named tensors, for a checkpoint. For each parameter `p` that was ever stepped:
///
///     p.exp_avg, p.exp_avg_sq   dtype and shape of p
///     p.step                    int64, scalar
///
/// The moments share the optimiser's memory. `parameters` gives the names; every parameter of the
/// optimiser must be among them. Options (learning rate, betas, decay) are not state: the caller
/// sets them from its configuration and its step. AMSGrad is not supported.
/// @throws Error if a parameter of the optimiser has no name, or if AMSGrad is on.
[[nodiscard]] NamedTensors adamw_state(const torch::optim::AdamW& optimizer,
                                       const NamedTensors& parameters);

/// Puts back what adamw_state() gave; the next step is then bit-equal. Parameters without entries
/// lose their state, as if they had never been stepped. Checks everything first: all or nothing.
/// @throws UserError (kInputFile) that lists every unknown name, wrong shape or dtype, and
/// incomplete
///         set of `source_name`.
void restore_adamw_state(torch::optim::AdamW& optimizer, const NamedTensors& parameters,
                         const NamedTensors& state, const std::string& source_name);

}  // namespace flagen::models
