#pragma once

#include <torch/nn/module.h>

namespace flagen::models {

/// A convolution of every channel by itself along the tokens: [B, T, C] -> [B, T, C], zeros beyond
/// both ends.
class DepthwiseConv : public torch::nn::Module {
  public:
    /// Which tokens an output sees.
    enum class Reach {
        kPast,     ///< t - width + 1 .. t
        kFuture,   ///< t .. t + width - 1
        kCentred,  ///< t - width / 2 .. t + width / 2; width is odd
    };

    enum class Bias { kNo, kYes };

    DepthwiseConv(std::int64_t num_channels, std::int64_t width, Reach reach,
                  Bias bias = Bias::kYes);

    [[nodiscard]] at::Tensor forward(const at::Tensor& x) const;

  private:
    std::int64_t num_channels_;
    std::int64_t width_;
    Reach reach_;
    at::Tensor weight_;  // [C, 1, width]; tap j of kPast reads token t - width + 1 + j
    at::Tensor bias_;    // [C], or undefined
};

}  // namespace flagen::models
