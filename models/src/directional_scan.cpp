#include "flagen/models/directional_scan.h"

#include <fla/torch/ops.h>
#include <torch/torch.h>

#include <cmath>

#include "flagen/error.h"
#include "fp32_linear.h"

namespace flagen::models {
namespace {

constexpr double kNormEpsilon = 1e-6;

at::Tensor widen(const at::Tensor& x) {
    return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

/// x / sqrt(|x|^2 + epsilon) over the last dimension, computed in fp32.
at::Tensor unit_length(const at::Tensor& x) {
    const at::Tensor wide = widen(x);
    const at::Tensor squares = (wide * wide).sum(-1, /*keepdim=*/true);
    return (wide * (squares + kNormEpsilon).rsqrt()).to(x.scalar_type());
}

/// Biases whose softplus is log-uniform in [1e-3, 0.1], as Mamba-2 starts its step sizes.
at::Tensor make_dt_bias(std::int64_t num_heads) {
    const at::Tensor dt =
        torch::exp(torch::rand({num_heads}) * (std::log(0.1) - std::log(1e-3)) + std::log(1e-3));
    return dt + torch::log(-torch::expm1(-dt));
}

/// Retention's decays, ln(1 - 2^(-5 - h)).
at::Tensor retention_log_decay(std::int64_t num_heads) {
    const at::Tensor h = torch::arange(num_heads, torch::kDouble);
    return torch::log1p(-torch::pow(2.0, -5.0 - h));
}

}  // namespace

DirectionalScan::DirectionalScan(const LinearMixerOptions& options, std::int64_t num_channels,
                                 ScanDirection direction)
    : options_(options),
      num_channels_(num_channels),
      num_heads_(options.heads_per_direction()),
      num_key_heads_(options.key_heads_per_direction()),
      direction_(direction) {
    FLAGEN_CHECK(num_heads_ > 0 && num_key_heads_ > 0 && num_heads_ % num_key_heads_ == 0,
                 num_heads_, " heads and ", num_key_heads_, " key heads");
    const std::int64_t qkv_width = 2 * num_key_heads_ * options.key + num_heads_ * options.value;
    qkv_proj_ = register_module(
        "qkv_proj",
        torch::nn::Linear(torch::nn::LinearOptions(num_channels, qkv_width).bias(false)));
    if (options.short_conv > 0) {
        const auto reach = direction == ScanDirection::kForward ? DepthwiseConv::Reach::kPast
                                                                : DepthwiseConv::Reach::kFuture;
        short_conv_ = register_module(
            "short_conv", std::make_shared<DepthwiseConv>(qkv_width, options.short_conv, reach));
    }
    make_decay();
}

void DirectionalScan::make_decay() {
    const auto per_head = [this](bool bias) {
        return torch::nn::Linear(torch::nn::LinearOptions(num_channels_, num_heads_).bias(bias));
    };
    const MixerKind kind = options_.kind;
    if (kind == MixerKind::kScalar) {
        if (options_.decay == DecaySource::kFixed) {
            fixed_log_decay_ =
                register_buffer("log_decay", retention_log_decay(num_heads_).to(torch::kFloat));
            return;
        }
        decay_proj_ = register_module("decay_proj", per_head(true));
        torch::nn::init::constant_(decay_proj_->bias, options_.decay_bias);
    } else if (kind == MixerKind::kGla) {
        decay_down_ = register_module(
            "decay_down",
            torch::nn::Linear(
                torch::nn::LinearOptions(num_channels_, options_.decay_rank).bias(false)));
        decay_up_ = register_module(
            "decay_up", torch::nn::Linear(options_.decay_rank, num_heads_ * options_.key));
    } else if (kind == MixerKind::kSsd || kind == MixerKind::kGatedDeltanet) {
        const double smallest = kind == MixerKind::kSsd ? 1.0 : 1e-4;
        decay_proj_ =
            register_module(kind == MixerKind::kSsd ? "dt_proj" : "decay_proj", per_head(false));
        a_log_ = register_parameter(
            "a_log", torch::log(torch::empty({num_heads_}).uniform_(smallest, 16.0)));
        dt_bias_ = register_parameter("dt_bias", make_dt_bias(num_heads_));
    }
    if (kind == MixerKind::kSsd) {
        d_ = register_parameter("d", torch::ones({num_heads_}));
    }
    if (kind == MixerKind::kDeltanet || kind == MixerKind::kGatedDeltanet) {
        beta_proj_ = register_module("beta_proj", per_head(false));
    }
}

DirectionalScan::Heads DirectionalScan::project(const at::Tensor& x) {
    const bool delta =
        options_.kind == MixerKind::kDeltanet || options_.kind == MixerKind::kGatedDeltanet;
    at::Tensor qkv = qkv_proj_->forward(x);
    if (short_conv_) {
        qkv = at::silu(short_conv_->forward(qkv));
    }
    const std::int64_t key_width = num_key_heads_ * options_.key;
    const auto heads = [](const at::Tensor& part, std::int64_t count, std::int64_t width) {
        return part.unflatten(-1, {count, width});
    };
    Heads result;
    result.q = heads(qkv.narrow(-1, 0, key_width), num_key_heads_, options_.key);
    result.k = heads(qkv.narrow(-1, key_width, key_width), num_key_heads_, options_.key);
    result.v = heads(qkv.narrow(-1, 2 * key_width, num_heads_ * options_.value), num_heads_,
                     options_.value);
    if (delta) {
        if (!short_conv_) {
            result.q = at::silu(result.q);
            result.k = at::silu(result.k);
        }
        result.q = unit_length(result.q);
        result.k = unit_length(result.k);
    }
    return result;
}

at::Tensor DirectionalScan::log_decay(const at::Tensor& x) {
    switch (options_.kind) {
        case MixerKind::kScalar:
            if (options_.decay == DecaySource::kFixed) {
                return widen(fixed_log_decay_).expand({x.size(0), x.size(1), num_heads_});
            }
            return at::log_sigmoid(widen(fp32_linear(decay_proj_, x))) /
                   options_.scalar_temperature;
        case MixerKind::kGla: {
            const at::Tensor logits = widen(fp32_linear(decay_up_, fp32_linear(decay_down_, x)));
            return (at::log_sigmoid(logits) / options_.gla_temperature)
                .unflatten(-1, {num_heads_, options_.key});
        }
        case MixerKind::kGatedDeltanet:
            return -at::exp(widen(a_log_)) *
                   at::softplus(widen(fp32_linear(decay_proj_, x)) + widen(dt_bias_));
        default:
            throw_error("this kind of mixer has no log decay");
    }
}

at::Tensor DirectionalScan::scan(const at::Tensor& x, const Heads& heads) {
    const auto direction = direction_ == ScanDirection::kForward ? fla::ops::Direction::kForward
                                                                 : fla::ops::Direction::kReverse;
    const auto& [q, k, v] = heads;
    fla::ops::ScanOptions options;
    options.direction = direction;
    switch (options_.kind) {
        case MixerKind::kLinear: {
            fla::ops::LinearAttnOptions linear;
            linear.normalize = options_.normalize;
            linear.direction = direction;
            return fla::ops::chunk_linear_attn(q, k, v, linear).o;
        }
        case MixerKind::kScalar:
            return fla::ops::chunk_simple_gla(q, k, v, log_decay(x), options).o;
        case MixerKind::kGla:
            return fla::ops::chunk_gla(q, k, v, log_decay(x), options).o;
        case MixerKind::kSsd: {
            fla::ops::SsdInputs inputs;
            inputs.x = v;
            inputs.dt = widen(fp32_linear(decay_proj_, x));
            inputs.a_log = a_log_;
            inputs.b = k;
            inputs.c = q;
            inputs.d = d_;
            inputs.dt_bias = dt_bias_;
            fla::ops::SsdOptions ssd;
            ssd.direction = direction;
            return fla::ops::chunk_ssd(inputs, ssd).y;
        }
        case MixerKind::kDeltanet:
            return fla::ops::chunk_delta_rule(
                       q, k, v, at::sigmoid(widen(fp32_linear(beta_proj_, x))), options)
                .o;
        case MixerKind::kGatedDeltanet:
            return fla::ops::chunk_gated_delta_rule(q, k, v, log_decay(x),
                                                    at::sigmoid(widen(fp32_linear(beta_proj_, x))),
                                                    options)
                .o;
    }
    throw_error("unknown kind of mixer");
}

at::Tensor DirectionalScan::forward(const at::Tensor& x) { return scan(x, project(x)); }

StageCost DirectionalScan::cost(std::int64_t num_tokens) const {
    constexpr double kChunk = 64.0;
    const auto tokens = static_cast<double>(num_tokens);
    const auto channels = static_cast<double>(num_channels_);
    const auto key = static_cast<double>(options_.key);
    const auto value = static_cast<double>(options_.value);
    const auto heads = static_cast<double>(num_heads_);
    const double qkv_width = 2.0 * static_cast<double>(num_key_heads_) * key + heads * value;
    const bool delta =
        options_.kind == MixerKind::kDeltanet || options_.kind == MixerKind::kGatedDeltanet;
    // Inside a chunk (scores, values) and through the state (read, write); the delta rule adds the
    // chunk's triangular solve.
    const double scan = 2.0 * kChunk * (key + value) + 4.0 * key * value +
                        (delta ? 2.0 * kChunk * (key + value) : 0.0);
    double flops = 2.0 * channels * qkv_width + heads * scan +
                   2.0 * qkv_width * static_cast<double>(options_.short_conv);
    double kept = qkv_width * (short_conv_ ? 3.0 : 1.0) + heads * value;
    if (options_.kind == MixerKind::kGla) {
        const auto rank = static_cast<double>(options_.decay_rank);
        flops += 2.0 * rank * (channels + heads * key);
        kept += rank + 2.0 * heads * key;
    }
    return {tokens * flops, 4.0 * tokens * kept};
}

}  // namespace flagen::models
