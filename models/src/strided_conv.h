#pragma once

#include <torch/nn/modules/conv.h>

namespace flagen::models {

/// A convolution along the tokens that makes one token of `stride`: [B, T, Cin] -> [B, T / stride,
/// Cout].
///
///     y[b, t, o] = bias[o] + sum_j sum_c weight[o, c, j] x[b, t * stride - padding + j, c]
///
/// with padding = ceil((kernel - stride) / 2) and zeros beyond both ends. T is a multiple of
/// stride, kernel >= stride, and kernel is odd where stride is 1. `weight` [Cout, Cin, kernel] is
/// laid out as conv1d's; `bias` may be undefined.
///
/// Seen as rows of stride * Cin values, x gives the result as ceil(kernel / stride) matrix products
/// without any copy of x but the padding: on a CPU about half the time of conv1d forward and
/// backward, and no transposition before or after. Under autocast it runs in the autocast dtype.
[[nodiscard]] at::Tensor strided_conv(const at::Tensor& x, const at::Tensor& weight,
                                      const at::Tensor& bias, std::int64_t stride);

/// Holds the parameters of such a convolution, with LibTorch's default start (Kaiming uniform) from
/// the torch generator.
inline torch::nn::Conv1d make_strided_conv(std::int64_t in, std::int64_t out, std::int64_t kernel,
                                           std::int64_t stride, bool bias) {
    return torch::nn::Conv1d(torch::nn::Conv1dOptions(in, out, kernel).stride(stride).bias(bias));
}

/// What is wrong with such a kernel, or an empty string.
inline const char* strided_conv_fault(std::int64_t kernel, std::int64_t stride) {
    if (kernel < stride) {
        return "must not be smaller than the stride, or bases are skipped";
    }
    return stride == 1 && kernel % 2 == 0 ? "must be odd where the stride is 1" : "";
}

}  // namespace flagen::models
