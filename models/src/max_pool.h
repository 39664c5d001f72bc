#pragma once

#include <ATen/core/Tensor.h>

namespace flagen::models {

/// Largest value of every `size` tokens, channel by channel: [B, T, C] -> [B, T / size, C].
///
/// Keeps one byte a result for the backward pass and not x; of equal values the first gets the
/// gradient. T is a multiple of size, 1 <= size <= 256.
[[nodiscard]] at::Tensor max_pool_tokens(const at::Tensor& x, std::int64_t size);

}  // namespace flagen::models
