#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace flagen::models {

/// Spread of training targets, from which the gene head and its loss take their scale.
struct TargetScale {
    at::Tensor sample_mean;        ///< [S] fp32, mean over genes.
    double mean_scale = 1.0;       ///< SD over genes of m_g = mean over samples of (y - sample_mean).
    double deviation_scale = 1.0;  ///< SD over all present entries of y - sample_mean - m_g.

    /// Population SDs in fp64 over the present entries; a scale of 0 becomes 1.
    /// @param values [G, S]; ignored where mask is false
    /// @param mask   [G, S] bool
    /// @throws Error if shapes differ or a sample has no present entry.
    [[nodiscard]] static TargetScale fit(const at::Tensor& values, const at::Tensor& mask);
};

/// Loss of expression as the sum of two parts of very different variance:
///
///     e = predicted - target;  e_g = mean of e over the present samples of gene g
///     loss = mean over genes of h(e_g / mean_scale)
///          + deviation_weight * mean over entries of h((e - e_g) / deviation_scale)
///
/// with h the square (kMse) or Huber's function (kHuber; losses.h). How much a gene is expressed
/// differs far more between genes than between samples of one gene: without the split, the second
/// part would hardly be learnt.
struct ExpressionLoss {
    enum class Kind { kMse, kHuber };

    Kind kind = Kind::kMse;
    double huber_delta = 1.0;
    double mean_scale = 1.0;
    double deviation_scale = 1.0;
    double deviation_weight = 1.0;

    /// @param predicted [G, S]  @param target [G, S]  @param mask [G, S] bool
    /// @return scalar fp32; 0 without present entries.
    [[nodiscard]] at::Tensor operator()(const at::Tensor& predicted, const at::Tensor& target,
                                        const at::Tensor& mask) const;
};

}  // namespace flagen::models
