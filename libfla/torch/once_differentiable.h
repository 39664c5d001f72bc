#pragma once

#include <torch/csrc/autograd/variable.h>

namespace fla::ops {

/// Makes the results of a backward operator raise an error when they are differentiated, instead of
/// passing for constants. Does nothing when no gradient could flow through `inputs`.
void forbid_double_backward(const char* op, torch::autograd::variable_list& results,
                            const torch::autograd::variable_list& inputs);

}  // namespace fla::ops
