#include "flagen/models/poisson_multinomial.h"

#include <torch/torch.h>

#include <cmath>

#include "flagen/error.h"
#include "flagen/models/to_device.h"

namespace flagen::models {
namespace {

constexpr double kEpsilon = 1e-7;

}  // namespace

const char* PoissonMultinomialLoss::fault() const {
    if (!(total_weight >= 0.0)) {
        return "total_weight must not be negative";
    }
    if (!(weight_range >= 1.0)) {
        return "weight_range must be at least 1";
    }
    if (!(weight_exp > 0.0) || std::fmod(weight_exp, 2.0) != 0.0) {
        return "weight_exp must be an even number: an odd one weighs one side of the window only";
    }
    return "";
}

at::Tensor PoissonMultinomialLoss::position_weights(std::int64_t num_bins) const {
    const auto options = at::TensorOptions().dtype(at::kDouble);
    if (weight_range == 1.0 || num_bins == 1) {
        return at::ones({num_bins}, options);
    }
    const double half = static_cast<double>(num_bins - 1) / 2.0;
    const double sigma = half / std::pow(std::log(weight_range), 1.0 / weight_exp);
    const at::Tensor position = at::arange(num_bins, options) - half;
    const at::Tensor weights = at::exp(-at::pow(position / sigma, weight_exp));
    return weights / weights.max();
}

at::Tensor PoissonMultinomialLoss::operator()(const at::Tensor& predicted,
                                              const at::Tensor& target) const {
    FLAGEN_CHECK(predicted.dim() == 3 && predicted.sizes() == target.sizes(),
                 "shapes differ: predicted ", predicted.sizes(), ", target ", target.sizes());
    FLAGEN_CHECK(predicted.numel() > 0, "nothing to compare: ", predicted.sizes());
    FLAGEN_CHECK(*fault() == '\0', fault());
    const auto dtype = predicted.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    at::Tensor yh = predicted.to(dtype);
    at::Tensor y = target.detach().to(predicted.device(), dtype);
    double total_position_weight = static_cast<double>(predicted.size(1));
    if (weight_range != 1.0) {
        const at::Tensor weights = position_weights(predicted.size(1));
        total_position_weight = weights.sum().item<double>();
        const at::Tensor column = to_device(weights.to(dtype), predicted.device()).view({1, -1, 1});
        yh = yh * column;
        y = y * column;
    }
    // sum_l (y_l + eps) log((yh_l + eps) / Sh), with the logarithm of Sh taken out of the sum:
    // one division a track instead of one a bin.
    const at::Tensor sum_yh = yh.sum(1);               // [B, T]
    const at::Tensor sum_y = y.sum(1);                 // [B, T]
    const at::Tensor log_yh = at::log(yh + kEpsilon);  // [B, Lo, T]
    const at::Tensor spread =
        ((y + kEpsilon) * log_yh).sum(1)  // [B, T]
        - (sum_y + kEpsilon * static_cast<double>(predicted.size(1))) * at::log(sum_yh);
    const at::Tensor total = sum_yh - sum_y * at::log(sum_yh + kEpsilon);
    return (total_weight * total - spread).mean() / total_position_weight;
}

}  // namespace flagen::models
