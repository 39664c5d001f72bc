#include "flagen/models/softmax_mixer.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "block_spec.h"

namespace flagen::models {

void SoftmaxMixerOptions::bind(OptionTable& table) {
    table.integer("heads", heads, 1, 1024);
    table.integer("key", key, 1, 1024);
    table.integer("value", value, 1, 1024);
    table.flag("rotary", rotary);
    if (rotary) {
        table.number("rotary_base", rotary_base, 1.0, 1e9);
    }
    table.number("attention_dropout", attention_dropout, 0.0, 0.99);
}

void SoftmaxMixerOptions::check(std::int64_t /*num_channels*/, JsonObject& json) const {
    if (rotary && key % 2 != 0) {
        json.add_problem("key",
                         detail::concatenate("found ", key, "; must be even with \"rotary\""));
    }
}

at::Tensor rotate_positions(const at::Tensor& x, double base) {
    const std::int64_t half = x.size(-1) / 2;
    // Angles in fp64: position times frequency loses digits in fp32 past some thousand tokens.
    const auto wide = at::TensorOptions().dtype(at::kDouble).device(x.device());
    const at::Tensor rate =
        at::exp(at::arange(half, wide) * (-std::log(base) / static_cast<double>(half)));
    const at::Tensor angle = at::arange(x.size(-2), wide).unsqueeze(1) * rate;  // [T, K / 2]
    const at::Tensor cosine = angle.cos().to(x.scalar_type());
    const at::Tensor sine = angle.sin().to(x.scalar_type());
    const at::Tensor first = x.narrow(-1, 0, half);
    const at::Tensor second = x.narrow(-1, half, half);
    return at::cat({first * cosine - second * sine, second * cosine + first * sine}, -1);
}

SoftmaxMixer::SoftmaxMixer(const SoftmaxMixerOptions& options, std::int64_t num_channels)
    : options_(options), num_channels_(num_channels) {
    const auto linear = [](std::int64_t in, std::int64_t out) {
        return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(false));
    };
    q_proj_ = register_module("q_proj", linear(num_channels, options.heads * options.key));
    k_proj_ = register_module("k_proj", linear(num_channels, options.heads * options.key));
    v_proj_ = register_module("v_proj", linear(num_channels, options.heads * options.value));
    out_proj_ = register_module("out_proj", linear(options.heads * options.value, num_channels));
}

at::Tensor SoftmaxMixer::forward(const at::Tensor& x) {
    const auto heads = [this](const at::Tensor& y, std::int64_t width) {
        return y.unflatten(-1, {options_.heads, width}).transpose(1, 2);  // [B, H, T, width]
    };
    at::Tensor q = heads(q_proj_->forward(x), options_.key);
    at::Tensor k = heads(k_proj_->forward(x), options_.key);
    at::Tensor v = heads(v_proj_->forward(x), options_.value);
    if (options_.rotary) {
        q = rotate_positions(q, options_.rotary_base);
        k = rotate_positions(k, options_.rotary_base);
    }
    // The kernel that keeps no T x T matrix wants one width for all: pad with zeros, cut them off.
    const std::int64_t width = std::max(options_.key, options_.value);
    const auto pad = [width](const at::Tensor& y) {
        return y.size(-1) == width ? y : at::constant_pad_nd(y, {0, width - y.size(-1)});
    };
    const double dropout = is_training() ? options_.attention_dropout : 0.0;
    const double scale = 1.0 / std::sqrt(static_cast<double>(options_.key));
    const at::Tensor o =
        at::scaled_dot_product_attention(pad(q), pad(k), pad(v), /*attn_mask=*/{}, dropout,
                                         /*is_causal=*/false, scale)
            .narrow(-1, 0, options_.value);
    return out_proj_->forward(o.transpose(1, 2).flatten(2));
}

StageCost SoftmaxMixer::cost(std::int64_t num_tokens) const {
    const auto tokens = static_cast<double>(num_tokens);
    const auto heads = static_cast<double>(options_.heads);
    const double widths = static_cast<double>(options_.key + options_.value);
    const double projections = 2.0 * static_cast<double>(num_channels_) * heads * 2.0 * widths;
    StageCost cost;
    cost.flops = tokens * (projections + 2.0 * tokens * heads * widths);
    cost.activation_bytes = 4.0 * tokens * heads * widths * (options_.rotary ? 2.0 : 1.5);
    return cost;
}

}  // namespace flagen::models
