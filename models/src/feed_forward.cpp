#include "flagen/models/feed_forward.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "option_table.h"
#include "random_dropout.h"

namespace flagen::models {

void FeedForwardOptions::bind(OptionTable& table) {
    table.number("expansion", expansion, 0.0, 64.0);
    table.choice<FeedForwardActivation>("activation", activation,
                                        {{FeedForwardActivation::kGelu, "gelu"},
                                         {FeedForwardActivation::kRelu, "relu"},
                                         {FeedForwardActivation::kSwiglu, "swiglu"}});
    table.number("dropout", dropout, 0.0, 0.99);
}

std::int64_t FeedForwardOptions::hidden_width(std::int64_t num_channels) const {
    const double width = expansion * static_cast<double>(num_channels);
    return std::max<std::int64_t>(1, std::llround(width));
}

FeedForward::FeedForward(const FeedForwardOptions& options, std::int64_t num_channels)
    : options_(options), num_channels_(num_channels), hidden_(options.hidden_width(num_channels)) {
    const bool gated = options.activation == FeedForwardActivation::kSwiglu;
    up_proj_ =
        register_module("up_proj", torch::nn::Linear(num_channels, gated ? 2 * hidden_ : hidden_));
    down_proj_ = register_module("down_proj", torch::nn::Linear(hidden_, num_channels));
}

at::Tensor FeedForward::forward(const at::Tensor& x) {
    at::Tensor h = up_proj_->forward(x);
    switch (options_.activation) {
        case FeedForwardActivation::kGelu:
            h = at::gelu(h);
            break;
        case FeedForwardActivation::kRelu:
            h = h.relu_();
            break;
        case FeedForwardActivation::kSwiglu:
            h = at::silu(h.narrow(-1, 0, hidden_)) * h.narrow(-1, hidden_, hidden_);
            break;
    }
    if (options_.dropout > 0.0) {
        h = random_dropout(h, options_.dropout, is_training());
    }
    return down_proj_->forward(h);
}

StageCost FeedForward::cost(std::int64_t num_tokens) const {
    const bool gated = options_.activation == FeedForwardActivation::kSwiglu;
    const double products = gated ? 3.0 : 2.0;
    const double tensors = (gated ? 4.0 : 2.0) + (options_.dropout > 0.0 ? 1.25 : 0.0);
    const double hidden = static_cast<double>(num_tokens) * static_cast<double>(hidden_);
    return {2.0 * products * hidden * static_cast<double>(num_channels_), 4.0 * hidden * tensors};
}

}  // namespace flagen::models
