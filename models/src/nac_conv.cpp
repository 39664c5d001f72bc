#include "nac_conv.h"

#include <torch/torch.h>

#include "flagen/models/block_registry.h"
#include "option_table.h"
#include "strided_conv.h"

namespace flagen::models {

void NacOptions::bind(OptionTable& table) {
    table.choice_or_null("norm_type", norm, borzoi_norm_names(), NormType::kNone);
    table.choice("activation", activation, borzoi_activation_names());
    table.number("bn_momentum", bn_momentum, 0.0, 1.0);
    table.ignore({"kernel_initializer", "l2_scale"});
}

void NacOptions::inherit(const BlockDefaults& defaults) {
    norm = defaults.norm.value_or(norm);
    activation = defaults.activation.value_or(activation);
    bn_momentum = defaults.bn_momentum.value_or(bn_momentum);
}

NormActivation::NormActivation(const NacOptions& options, std::int64_t num_channels)
    : options_(options) {
    norm_ = register_module(
        "norm", std::make_shared<NormLayer>(options.norm, num_channels, options.norm_settings()));
}

at::Tensor NormActivation::forward(const at::Tensor& x) {
    return activate(norm_->forward(x), options_.activation);
}

double NormActivation::tensors_kept() const {
    return (options_.norm == NormType::kNone ? 0.0 : 1.0) +
           (options_.activation == Activation::kNone ? 0.0 : 1.0);
}

NacConv::NacConv(const NacOptions& options, std::int64_t in, std::int64_t out, std::int64_t kernel)
    : in_(in), out_(out), kernel_(kernel) {
    before_ = register_module("before", std::make_shared<NormActivation>(options, in));
    conv_ =
        register_module("conv", make_strided_conv(in, out, kernel, /*stride=*/1, /*bias=*/true));
}

at::Tensor NacConv::forward(const at::Tensor& x) {
    const at::Tensor y = before_->forward(x);
    if (kernel_ == 1) {
        return at::linear(y, conv_->weight.squeeze(2), conv_->bias);
    }
    return strided_conv(y, conv_->weight, conv_->bias, /*stride=*/1);
}

StageCost NacConv::cost(std::int64_t num_tokens) const {
    const auto tokens = static_cast<double>(num_tokens);
    const auto in = static_cast<double>(in_);
    return {2.0 * tokens * in * static_cast<double>(out_) * static_cast<double>(kernel_),
            4.0 * tokens * in * (before_->tensors_kept() + 1.0)};
}

}  // namespace flagen::models
