#include "flagen/models/linear_mixer.h"

#include <torch/torch.h>

namespace flagen::models {

LinearMixer::LinearMixer(const LinearMixerOptions& options, std::int64_t num_channels)
    : options_(options),
      num_channels_(num_channels),
      inner_width_(options.num_directions() * options.heads_per_direction() * options.value) {
    if (options.local_conv > 0) {
        local_conv_ = register_module(
            "local_conv", std::make_shared<DepthwiseConv>(num_channels, options.local_conv,
                                                          DepthwiseConv::Reach::kCentred));
    }
    forward_scan_ = register_module(
        "forward_scan",
        std::make_shared<DirectionalScan>(options, num_channels, ScanDirection::kForward));
    if (options.bidirectional) {
        reverse_scan_ = register_module(
            "reverse_scan",
            std::make_shared<DirectionalScan>(options, num_channels, ScanDirection::kReverse));
    }
    output_norm_ =
        register_module("output_norm", std::make_shared<NormLayer>(NormType::kRms, options.value));
    if (options.output_gate) {
        gate_proj_ = register_module(
            "gate_proj",
            torch::nn::Linear(torch::nn::LinearOptions(num_channels, inner_width_).bias(false)));
    }
    out_proj_ = register_module(
        "out_proj",
        torch::nn::Linear(torch::nn::LinearOptions(inner_width_, num_channels).bias(false)));
}

at::Tensor LinearMixer::forward(const at::Tensor& x) {
    const at::Tensor y = local_conv_ ? x + at::silu(local_conv_->forward(x)) : x;
    at::Tensor o = forward_scan_->forward(y);  // [B, T, H, V]
    if (reverse_scan_) {
        o = at::cat({o, reverse_scan_->forward(y)}, 2);
    }
    const bool gate_first = options_.kind == MixerKind::kSsd;  // as Mamba-2's gated norm
    const at::Tensor gate = gate_proj_ ? at::silu(gate_proj_->forward(y)).view_as(o) : at::Tensor();
    if (gate.defined() && gate_first) {
        o = o * gate;
    }
    o = output_norm_->forward(o);
    if (gate.defined() && !gate_first) {
        o = o * gate;
    }
    return out_proj_->forward(o.flatten(2));
}

StageCost LinearMixer::cost(std::int64_t num_tokens) const {
    const auto tokens = static_cast<double>(num_tokens);
    const auto channels = static_cast<double>(num_channels_);
    const auto inner = static_cast<double>(inner_width_);
    StageCost cost = forward_scan_->cost(num_tokens);
    if (reverse_scan_) {
        cost += reverse_scan_->cost(num_tokens);
    }
    const double projections = gate_proj_ ? 2.0 : 1.0;
    cost.flops += tokens * 2.0 * channels * inner * projections;
    cost.flops += tokens * 2.0 * channels * static_cast<double>(options_.local_conv);
    // The joined heads and their norm, the gate before and after SiLU, the gated product.
    cost.activation_bytes += 4.0 * tokens * inner * (gate_proj_ ? 5.0 : 2.0);
    cost.activation_bytes += 4.0 * tokens * channels * (local_conv_ ? 3.0 : 0.0);
    return cost;
}

}  // namespace flagen::models
