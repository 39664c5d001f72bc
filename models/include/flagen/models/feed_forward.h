#pragma once

#include <torch/nn/modules/linear.h>

#include "flagen/models/trunk_block.h"

namespace flagen {
class JsonObject;
}

namespace flagen::models {

class OptionTable;

enum class FeedForwardActivation { kGelu, kRelu, kSwiglu };

/// Options of `feed_forward`.
struct FeedForwardOptions {
    double expansion =
        2.0;  ///< Hidden width over channels; 0 leaves the layer out of a mixer block.
    FeedForwardActivation activation = FeedForwardActivation::kGelu;
    double dropout = 0.0;  ///< Of the hidden units.

    void bind(OptionTable& table);
    [[nodiscard]] std::int64_t hidden_width(std::int64_t num_channels) const;
};

/// Two linear maps of every token: [B, T, C] -> [B, T, C], act(x W1 + b1) W2 + b2. swiglu:
/// (silu(x W1) * x W3) W2, biases as well (arXiv:2002.05202).
class FeedForward : public TokenLayer {
  public:
    FeedForward(const FeedForwardOptions& options, std::int64_t num_channels);

    at::Tensor forward(const at::Tensor& x) override;
    [[nodiscard]] StageCost cost(std::int64_t num_tokens) const override;

  private:
    FeedForwardOptions options_;
    std::int64_t num_channels_;
    std::int64_t hidden_;
    torch::nn::Linear up_proj_{nullptr};  // to hidden, or to 2 hidden: silu half, then linear half
    torch::nn::Linear down_proj_{nullptr};
};

}  // namespace flagen::models
