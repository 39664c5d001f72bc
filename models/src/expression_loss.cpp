#include "flagen/models/expression_loss.h"

#include <torch/torch.h>

#include <cmath>

#include "flagen/error.h"
#include "flagen/models/losses.h"

namespace flagen::models {
namespace {

// Mean over dimension `dim` of the entries that the mask (0 or 1, fp64) keeps.
at::Tensor masked_mean(const at::Tensor& values, const at::Tensor& mask, std::int64_t dim) {
    return (values * mask).sum(dim, /*keepdim=*/true) / mask.sum(dim, /*keepdim=*/true);
}

double one_if_zero(double scale) { return scale > 0.0 ? scale : 1.0; }

}  // namespace

TargetScale TargetScale::fit(const at::Tensor& values, const at::Tensor& mask) {
    FLAGEN_CHECK(values.sizes() == mask.sizes() && values.dim() == 2, "values and mask must be [G, S]");
    FLAGEN_CHECK(mask.any(0).all().item<bool>(), "a sample has no measured training gene");
    const at::Tensor present = mask.to(at::kDouble);
    const at::Tensor y = at::where(mask, values.to(at::kDouble), at::zeros({}, at::kDouble));
    const at::Tensor sample_mean = masked_mean(y, present, 0);  // [1, S]
    const at::Tensor measured = mask.any(1);                    // [G]
    const at::Tensor gene_mean = masked_mean(y - sample_mean, present, 1).nan_to_num(0.0);  // [G, 1]
    const at::Tensor deviation = (y - sample_mean - gene_mean) * present;

    TargetScale scale;
    scale.sample_mean = sample_mean.squeeze(0).to(at::kFloat);
    scale.mean_scale =
        one_if_zero(gene_mean.squeeze(1).masked_select(measured).std(/*unbiased=*/false).item<double>());
    scale.deviation_scale =
        one_if_zero(std::sqrt((deviation.square().sum() / present.sum()).item<double>()));
    return scale;
}

at::Tensor ExpressionLoss::operator()(const at::Tensor& predicted, const at::Tensor& target,
                                      const at::Tensor& mask) const {
    const at::Tensor present = mask.to(at::kFloat);
    const at::Tensor error = at::where(mask, predicted.to(at::kFloat) - target,
                                       at::zeros({}, predicted.options().dtype(at::kFloat)));
    const at::Tensor num_present = present.sum(1, /*keepdim=*/true);                             // [G, 1]
    const at::Tensor gene_error = error.sum(1, /*keepdim=*/true) / num_present.clamp_min(1.0F);  // [G, 1]
    const auto penalty = [this](const at::Tensor& scaled, const at::Tensor& entries) {
        const at::Tensor zero = at::zeros_like(scaled);
        return kind == Kind::kMse ? masked_mse(scaled, zero, entries)
                                  : masked_huber(scaled, zero, entries, huber_delta);
    };
    return penalty(gene_error / mean_scale, num_present > 0) +
           deviation_weight * penalty((error - gene_error) / deviation_scale, mask);
}

}  // namespace flagen::models
