#pragma once

#include <torch/nn/modules/conv.h>

namespace flagen::models {

/// A convolution that makes one token of `stride` inputs: T -> T / stride for T a multiple of
/// stride.
///
/// Pads ceil((kernel - stride) / 2) zeros on both sides; the surplus on the right is never read.
/// Needs kernel >= stride, and an odd kernel where stride is 1. Weights are LibTorch's default
/// (Kaiming uniform), from the torch generator.
inline torch::nn::Conv1d make_strided_conv(std::int64_t in, std::int64_t out, std::int64_t kernel,
                                           std::int64_t stride, bool bias) {
    const std::int64_t padding = (kernel - stride + 1) / 2;
    return torch::nn::Conv1d(
        torch::nn::Conv1dOptions(in, out, kernel).stride(stride).padding(padding).bias(bias));
}

/// What is wrong with such a kernel, or an empty string.
inline const char* strided_conv_fault(std::int64_t kernel, std::int64_t stride) {
    if (kernel < stride) {
        return "must not be smaller than the stride, or bases are skipped";
    }
    return stride == 1 && kernel % 2 == 0 ? "must be odd where the stride is 1" : "";
}

}  // namespace flagen::models
