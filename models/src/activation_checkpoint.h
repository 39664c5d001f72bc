#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace flagen::models {

/// run(x), keeping x alone for the backward pass, which calls run() a second time.
///
/// The second run sees the states that the generators of CPU and device had at the first one, so
/// dropout repeats; the generators' own course is not disturbed. Gradients of parameters inside
/// `run` are added to them during the backward pass. `run` must not change buffers. Where x needs
/// no gradient, this is run(x) itself.
[[nodiscard]] at::Tensor run_checkpointed(const std::function<at::Tensor(const at::Tensor&)>& run,
                                          const at::Tensor& x);

}  // namespace flagen::models
