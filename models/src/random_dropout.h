#pragma once

#include <ATen/ATen.h>

namespace flagen::models {

/// Dropout: in training each element is zero with probability `share`, else divided by 1 - share.
///
/// As at::dropout, with numbers from the torch generator as well, but several times faster on a
/// CPU, where LibTorch draws Bernoulli numbers one by one and uniform ones with vector
/// instructions.
inline at::Tensor random_dropout(const at::Tensor& x, double share, bool is_training) {
    if (!is_training || share == 0.0) {
        return x;
    }
    // Uniform numbers of 8 or 11 bits would miss the share, and give each precision other elements.
    const auto dtype = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor keep = at::rand(x.sizes(), x.options().dtype(dtype)).ge(share);
    return x * keep.to(x.scalar_type()).mul_(1.0 / (1.0 - share));
}

}  // namespace flagen::models
