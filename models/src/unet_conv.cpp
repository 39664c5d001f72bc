#include "flagen/models/unet_conv.h"

#include <torch/torch.h>

#include "block_spec.h"
#include "nac_conv.h"

namespace flagen::models {
namespace {

/// The newest skip of twice the tokens.
std::optional<std::size_t> matching_skip(const StreamShape& input) {
    for (std::size_t i = input.skips.size(); i > 0; --i) {
        if (input.skips[i - 1].num_tokens == 2 * input.num_tokens) {
            return i - 1;
        }
    }
    return std::nullopt;
}

}  // namespace

void UnetConvOptions::bind(OptionTable& table) {
    table.integer("kernel_size", kernel_size, 1, 1023);
    table.flag("upsample_conv", upsample_conv);
    nac.bind(table);
}

void UnetConvOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kTokens, json);
    require_strided_conv(kernel_size, 1, input.num_tokens, json);
    if (input.layout == Layout::kTokens && !matching_skip(input)) {
        json.add_problem("name", detail::concatenate("needs the ", 2 * input.num_tokens,
                                                     " tokens of an earlier res_tower before "
                                                     "pooling; no stage has them"));
    }
}

StreamShape UnetConvOptions::output_shape(const StreamShape& input) const {
    StreamShape shape = input;
    shape.num_tokens *= 2;
    shape.bp_per_token /= 2;
    if (const auto taken = matching_skip(input)) {
        shape.skips.erase(shape.skips.begin() + static_cast<std::ptrdiff_t>(*taken));
    }
    return shape;
}

UnetConv::UnetConv(const UnetConvOptions& options, const StreamShape& input)
    : TrunkBlock(input, options.output_shape(input)), options_(options) {
    const auto taken = matching_skip(input);
    FLAGEN_CHECK(taken, "no skip of ", 2 * input.num_tokens, " tokens");
    const std::int64_t channels = input.num_channels;
    if (options.upsample_conv) {
        coarse_conv_ = register_module(
            "coarse", std::make_shared<NacConv>(options.nac, channels, channels, 1));
    } else {
        coarse_ =
            register_module("coarse", std::make_shared<NormActivation>(options.nac, channels));
    }
    skip_conv_ = register_module(
        "skip",
        std::make_shared<NacConv>(options.nac, input.skips[*taken].num_channels, channels, 1));
    depthwise_ =
        register_module("depthwise", std::make_shared<DepthwiseConv>(channels, options.kernel_size,
                                                                     DepthwiseConv::Reach::kCentred,
                                                                     DepthwiseConv::Bias::kNo));
    pointwise_ = register_module("pointwise", torch::nn::Linear(channels, channels));
}

std::optional<std::size_t> UnetConv::taken_skip() const { return matching_skip(input()); }

at::Tensor UnetConv::forward(const at::Tensor& /*x*/) {
    throw_error("unet_conv runs with the skips of its trunk only");
}

at::Tensor UnetConv::forward_with_skips(const at::Tensor& x, TrunkSkips& skips) {
    const at::Tensor fine = skip_conv_->forward(skips.take(2 * x.size(1)));
    const at::Tensor coarse = coarse_conv_ ? coarse_conv_->forward(x) : coarse_->forward(x);
    // Adding each coarse token to its two fine ones doubles it without a copy.
    const at::Tensor sum = (fine.unflatten(1, {x.size(1), 2}) + coarse.unsqueeze(2)).flatten(1, 2);
    return pointwise_->forward(depthwise_->forward(sum));
}

StageCost UnetConv::cost() const {
    const auto tokens = static_cast<double>(output().num_tokens);
    const auto channels = static_cast<double>(output().num_channels);
    StageCost cost = skip_conv_->cost(output().num_tokens);
    if (coarse_conv_) {
        cost += coarse_conv_->cost(input().num_tokens);
    } else {
        cost.activation_bytes +=
            4.0 * static_cast<double>(input().num_tokens) * channels * coarse_->tensors_kept();
    }
    cost.flops += 2.0 * tokens * channels * (channels + static_cast<double>(options_.kernel_size));
    cost.activation_bytes += 4.0 * 2.0 * tokens * channels;  // both convolutions' inputs
    return cost;
}

}  // namespace flagen::models
