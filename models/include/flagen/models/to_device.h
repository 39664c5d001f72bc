#pragma once

#include <ATen/core/Tensor.h>

namespace flagen::models {

/// `tensor` on `device`; itself where it is there already. From the CPU to a GPU the copy passes
/// through pinned memory and does not wait for work that the GPU still has.
[[nodiscard]] at::Tensor to_device(const at::Tensor& tensor, at::Device device);

}  // namespace flagen::models
