#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace flagen::models::testing {

/// Compares autograd with central differences in fp64: `loss` must be a smooth function of
/// `tensors` (fp64 leaves that require gradients). Up to `num_probes` entries of each tensor are
/// moved.
inline void expect_gradients(const std::function<at::Tensor()>& loss,
                             const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                             int num_probes = 6, double tolerance = 2e-6) {
    constexpr double kStep = 1e-5;
    for (const auto& [name, tensor] : tensors) {
        ASSERT_EQ(tensor.scalar_type(), at::kDouble) << name;
        tensor.mutable_grad() = at::Tensor();
    }
    loss().backward();
    const torch::NoGradGuard no_grad;
    for (const auto& [name, tensor] : tensors) {
        ASSERT_TRUE(tensor.grad().defined()) << name << " got no gradient";
        const at::Tensor gradient = tensor.grad().contiguous();
        ASSERT_TRUE(tensor.is_contiguous()) << name;
        double* values = tensor.data_ptr<double>();
        const std::int64_t count = tensor.numel();
        const std::int64_t stride = std::max<std::int64_t>(1, count / num_probes);
        for (std::int64_t i = stride / 2; i < count; i += stride) {
            const double kept = values[i];
            values[i] = kept + kStep;
            const double up = loss().item<double>();
            values[i] = kept - kStep;
            const double down = loss().item<double>();
            values[i] = kept;
            const double expected = (up - down) / (2 * kStep);
            const double found = gradient.data_ptr<double>()[i];
            EXPECT_NEAR(found, expected, tolerance * std::max(1.0, std::abs(expected)))
                << name << "[" << i << "]";
        }
    }
}

/// The parameters of an fp64 module with their names.
inline std::vector<std::pair<std::string, at::Tensor>> named_leaves(
    const torch::nn::Module& module) {
    std::vector<std::pair<std::string, at::Tensor>> leaves;
    for (const auto& item : module.named_parameters()) {
        leaves.emplace_back(item.key(), item.value());
    }
    return leaves;
}

/// Fixed weights, so that the sum of a result depends on each of its entries differently.
inline at::Tensor probe_like(const at::Tensor& x) {
    return at::sin(at::arange(x.numel(), x.options()) * 1.7 + 0.3).view(x.sizes());
}

}  // namespace flagen::models::testing
