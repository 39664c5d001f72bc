#include "flagen/models/losses.h"

#include <torch/torch.h>

#include "flagen/error.h"

namespace flagen::models {
namespace {

/// predicted - target where present, 0 elsewhere; fp32 (fp64 if the prediction is).
at::Tensor masked_difference(const at::Tensor& predicted, const at::Tensor& target,
                             const at::Tensor& mask) {
    FLAGEN_CHECK(predicted.sizes() == target.sizes() && predicted.sizes() == mask.sizes(),
                 "shapes differ: predicted ", predicted.sizes(), ", target ", target.sizes(),
                 ", mask ", mask.sizes());
    FLAGEN_CHECK(mask.scalar_type() == at::kBool, "the mask is ", mask.scalar_type());
    const auto dtype = predicted.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor difference = predicted.to(dtype) - target.detach().to(dtype);
    // where() and not a product: NaN * 0 is NaN, in the gradient too.
    return at::where(mask, difference, at::zeros({}, difference.options()));
}

at::Tensor mean_over_present(const at::Tensor& terms, const at::Tensor& mask) {
    return terms.sum() / mask.sum().clamp_min(1).to(terms.scalar_type());
}

}  // namespace

at::Tensor masked_mse(const at::Tensor& predicted, const at::Tensor& target,
                      const at::Tensor& mask) {
    return mean_over_present(masked_difference(predicted, target, mask).square(), mask);
}

at::Tensor masked_huber(const at::Tensor& predicted, const at::Tensor& target,
                        const at::Tensor& mask, double delta) {
    FLAGEN_CHECK(delta > 0.0, "delta is ", delta);
    const at::Tensor size = masked_difference(predicted, target, mask).abs();
    const at::Tensor inner = size.clamp_max(delta);  // h = inner * (size - inner / 2) on both sides
    return mean_over_present(inner * (size - 0.5 * inner), mask);
}

}  // namespace flagen::models
