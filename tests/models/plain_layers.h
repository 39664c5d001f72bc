#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace flagen::models::testing {

/// Layers written as loops over fp64 values, for comparison. Tokens are [B, T, C].

inline at::Tensor plain_map(const at::Tensor& x, double (*f)(double)) {
    at::Tensor y = x.detach().clone().contiguous();
    double* values = y.data_ptr<double>();
    std::transform(values, values + y.numel(), values, f);
    return y;
}

inline double plain_gelu_tanh(double x) {
    const double root = std::sqrt(2.0 / std::acos(-1.0));
    return 0.5 * x * (1.0 + std::tanh(root * (x + 0.044715 * x * x * x)));
}

/// (x - mean) / sqrt(variance + epsilon) * weight + bias with given statistics a channel.
inline at::Tensor plain_scale(const at::Tensor& x, const at::Tensor& mean,
                              const at::Tensor& variance, const at::Tensor& weight,
                              const at::Tensor& bias, double epsilon) {
    at::Tensor y = x.detach().clone().contiguous();
    auto out = y.accessor<double, 3>();
    for (std::int64_t b = 0; b < y.size(0); ++b) {
        for (std::int64_t t = 0; t < y.size(1); ++t) {
            for (std::int64_t c = 0; c < y.size(2); ++c) {
                out[b][t][c] = (out[b][t][c] - mean[c].item<double>()) /
                                   std::sqrt(variance[c].item<double>() + epsilon) *
                                   weight[c].item<double>() +
                               bias[c].item<double>();
            }
        }
    }
    return y;
}

/// Batch norm of training: statistics over windows and tokens, variance divided by their number.
inline at::Tensor plain_batch_norm(const at::Tensor& x, const at::Tensor& weight,
                                   const at::Tensor& bias, double epsilon) {
    at::Tensor mean = torch::zeros({x.size(2)}, torch::kDouble);
    at::Tensor variance = torch::zeros({x.size(2)}, torch::kDouble);
    const double count = static_cast<double>(x.size(0) * x.size(1));
    const at::Tensor values = x.detach().contiguous();
    const auto in = values.accessor<double, 3>();
    for (std::int64_t c = 0; c < x.size(2); ++c) {
        double sum = 0;
        double squares = 0;
        for (int pass = 0; pass < 2; ++pass) {
            for (std::int64_t b = 0; b < x.size(0); ++b) {
                for (std::int64_t t = 0; t < x.size(1); ++t) {
                    const double from_mean = in[b][t][c] - sum / count;
                    (pass == 0 ? sum : squares) += pass == 0 ? in[b][t][c] : from_mean * from_mean;
                }
            }
        }
        mean[c] = sum / count;
        variance[c] = squares / count;
    }
    return plain_scale(x, mean, variance, weight, bias, epsilon);
}

/// Centred convolution with zeros beyond the ends; weight [out, in, kernel].
inline at::Tensor plain_conv(const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& bias) {
    const at::Tensor values = x.detach().contiguous();
    const at::Tensor kernel = weight.detach().contiguous();
    at::Tensor y = torch::zeros({x.size(0), x.size(1), weight.size(0)}, torch::kDouble);
    const auto in = values.accessor<double, 3>();
    const auto w = kernel.accessor<double, 3>();
    auto out = y.accessor<double, 3>();
    for (std::int64_t b = 0; b < x.size(0); ++b) {
        for (std::int64_t t = 0; t < x.size(1); ++t) {
            for (std::int64_t o = 0; o < weight.size(0); ++o) {
                double sum = bias.defined() ? bias[o].item<double>() : 0.0;
                for (std::int64_t j = 0; j < weight.size(2); ++j) {
                    const std::int64_t from = t + j - weight.size(2) / 2;
                    for (std::int64_t c = 0; from >= 0 && from < x.size(1) && c < x.size(2); ++c) {
                        sum += w[o][c][j] * in[b][from][c];
                    }
                }
                out[b][t][o] = sum;
            }
        }
    }
    return y;
}

/// Every channel by itself; weight [C, 1, kernel].
inline at::Tensor plain_depthwise(const at::Tensor& x, const at::Tensor& weight) {
    at::Tensor full = torch::zeros({x.size(2), x.size(2), weight.size(2)}, torch::kDouble);
    for (std::int64_t c = 0; c < x.size(2); ++c) {
        full[c][c] = weight.detach()[c][0];
    }
    return plain_conv(x, full, {});
}

inline at::Tensor plain_max_pool(const at::Tensor& x, std::int64_t size) {
    const at::Tensor values = x.detach().contiguous();
    at::Tensor y = torch::zeros({x.size(0), x.size(1) / size, x.size(2)}, torch::kDouble);
    const auto in = values.accessor<double, 3>();
    auto out = y.accessor<double, 3>();
    for (std::int64_t b = 0; b < x.size(0); ++b) {
        for (std::int64_t t = 0; t < y.size(1); ++t) {
            for (std::int64_t c = 0; c < x.size(2); ++c) {
                out[b][t][c] = in[b][t * size][c];
                for (std::int64_t i = 1; i < size; ++i) {
                    out[b][t][c] = std::max(out[b][t][c], in[b][t * size + i][c]);
                }
            }
        }
    }
    return y;
}

}  // namespace flagen::models::testing
