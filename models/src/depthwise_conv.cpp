#include "flagen/models/depthwise_conv.h"

#include <torch/torch.h>

#include <cmath>

#include "flagen/error.h"

namespace flagen::models {

DepthwiseConv::DepthwiseConv(std::int64_t num_channels, std::int64_t width, Reach reach, Bias bias)
    : num_channels_(num_channels), width_(width), reach_(reach) {
    FLAGEN_CHECK(width > 0 && (reach != Reach::kCentred || width % 2 == 1),
                 "bad width of a depthwise convolution: ", width);
    const double bound = 1.0 / std::sqrt(static_cast<double>(width));
    weight_ = register_parameter("weight",
                                 torch::empty({num_channels, 1, width}).uniform_(-bound, bound));
    if (bias == Bias::kYes) {
        bias_ = register_parameter("bias", torch::empty({num_channels}).uniform_(-bound, bound));
    }
}

at::Tensor DepthwiseConv::forward(const at::Tensor& x) const {
    const std::int64_t num_tokens = x.size(1);
    const bool centred = reach_ == Reach::kCentred;
    const std::int64_t padding = centred ? width_ / 2 : width_ - 1;
    const at::Tensor y = at::conv1d(x.transpose(1, 2), weight_, bias_, /*stride=*/1, padding,
                                    /*dilation=*/1, num_channels_);
    // Padded on both sides, so the causal result stands first and the anti-causal one last.
    const std::int64_t first = reach_ == Reach::kFuture ? width_ - 1 : 0;
    return y.narrow(2, first, num_tokens).transpose(1, 2).contiguous();
}

}  // namespace flagen::models
