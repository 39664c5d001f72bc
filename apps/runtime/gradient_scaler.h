#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace flagen::apps {

/// Dynamic scaling of the loss, for training in fp16: the loss is multiplied by a power of two before the backward
/// pass, so that small gradients do not become zero, and the gradients are divided by it. Where they are not finite the
/// step is left out and the factor halved; after kGrowthInterval finite steps in a row it is doubled.
struct GradientScaler {
    static constexpr double kFirst = 65536.0;
    static constexpr double kSmallest = 1.0 / 16384.0;
    static constexpr double kLargest = 16777216.0;
    static constexpr std::int64_t kGrowthInterval = 2000;

    double factor = kFirst;
    std::int64_t finite_steps = 0;  ///< Since the factor last changed.

    /// Divides the gradients of `parameters` by the factor.
    void unscale(const std::vector<at::Tensor>& parameters) const;
    /// Takes note of a step whose gradients were finite or not.
    /// @throws Error if they are not, at the smallest factor.
    void update(bool finite);
};

}  // namespace flagen::apps
