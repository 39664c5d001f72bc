#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace flagen::models {

/// Loss of track heads: how a track's counts are spread over the window, and how many there are.
///
/// Axes: B windows, Lo bins l = 0 .. Lo - 1, T tracks. With position weights w_l, y and yh the
/// target and the prediction times w_l, S = sum_l y_l, Sh = sum_l yh_l, W = sum_l w_l, eps = 1e-7:
///
///     loss = (1/W) sum_l [ -(y_l + eps) log((yh_l + eps) / Sh) ]
///            + total_weight (1/W) [ Sh - S log(Sh + eps) ]
///
/// for each window and track, then the mean over both. The first term is a multinomial likelihood
/// (the Sh in its logarithm carries no eps), the second a Poisson likelihood of the sum without the
/// constant log S!. Targets are on the squashed scale; a head's softplus keeps yh above 0.
///
///     w_l = 1 if weight_range R = 1, else exp(-(p_l / sigma)^e) divided by its maximum,
///     p_l = l - (Lo - 1) / 2,  sigma = ((Lo - 1) / 2) / (ln R)^(1 / e),  e = weight_exp
///
/// so that the outermost bins weigh 1 / R of the middle. Source: J. Linder et al., "Predicting
/// RNA-seq coverage from DNA sequence as a unifying model of gene regulation", Nature Genetics 57,
/// 2025 (Borzoi), methods; `poisson_mn` of its configuration files.
struct PoissonMultinomialLoss {
    double total_weight = 0.2;
    double weight_range = 1;  ///< R >= 1.
    double weight_exp = 4;  ///< An even number: an odd one would weigh one side of the window only.

    /// Computed in fp32 (fp64 for an fp64 prediction); only `predicted` gets a gradient.
    ///
    /// @param predicted [B, Lo, T], >= 0 with a positive sum over Lo
    /// @param target    [B, Lo, T], >= 0
    /// @return scalar
    /// @throws Error if the shapes differ, a dimension is 0, or fault() names one.
    [[nodiscard]] at::Tensor operator()(const at::Tensor& predicted,
                                        const at::Tensor& target) const;

    /// w_l: [num_bins] fp64 on the CPU.
    [[nodiscard]] at::Tensor position_weights(std::int64_t num_bins) const;

    /// What is wrong with the options, or an empty string.
    [[nodiscard]] const char* fault() const;
};

}  // namespace flagen::models
