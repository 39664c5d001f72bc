#pragma once

#include <ATen/core/Tensor.h>

namespace flagen::models {

/// State of LibTorch's default generator of the CPU or of a CUDA device, as a uint8 tensor on the
/// CPU.
[[nodiscard]] at::Tensor generator_state(at::Device device);
/// @throws UserError (kInputFile) if it is not such a state.
void set_generator_state(at::Device device, const at::Tensor& state);

}  // namespace flagen::models
