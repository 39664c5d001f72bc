#include "flagen/models/conv_tower.h"

#include <torch/torch.h>

#include "block_spec.h"
#include "random_dropout.h"

namespace flagen::models {

void ConvTowerOptions::bind(OptionTable& table) {
    table.integers("filters", filters, 1, 65536);
    table.integer("kernel_size", kernel_size, 1, 1023);
    table.integer("stride", stride, 1, 1024);
    table.choice("norm_type", norm, norm_type_names());
    table.choice("activation", activation, activation_names());
    table.flag("residual", residual);
    table.number("dropout", dropout, 0.0, 0.99);
}

void ConvTowerOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kTokens, json);
    if (filters.empty()) {
        json.add_problem("filters", "needs one entry a stage, found none");
    }
    if (residual && kernel_size % 2 == 0) {
        json.add_problem("kernel_size", detail::concatenate("found ", kernel_size,
                                                            "; must be odd with \"residual\""));
    }
    std::int64_t tokens = input.num_tokens;
    for (std::size_t stage = 0; stage < filters.size(); ++stage) {
        if (!require_strided_conv(kernel_size, stride, tokens, json)) {
            return;
        }
        tokens /= stride;
    }
}

StreamShape ConvTowerOptions::output_shape(const StreamShape& input) const {
    StreamShape shape = input;
    for (const std::int64_t channels : filters) {
        shape.num_tokens /= stride;
        shape.bp_per_token *= stride;
        shape.num_channels = channels;
    }
    shape.layout = Layout::kTokens;
    return shape;
}

ConvTower::ConvTower(const ConvTowerOptions& options, const StreamShape& input)
    : TrunkBlock(input, options.output_shape(input)), options_(options) {
    const bool bias = options.norm == NormType::kNone;
    std::int64_t in = input.num_channels;
    for (const std::int64_t out : options.filters) {
        std::string suffix = "_";
        suffix += std::to_string(stages_.size());
        Stage stage;
        stage.conv = register_module(
            "conv" + suffix, make_strided_conv(in, out, options.kernel_size, options.stride, bias));
        stage.norm =
            register_module("norm" + suffix, std::make_shared<NormLayer>(options.norm, out));
        if (options.residual) {
            stage.residual_conv =
                register_module("residual_conv" + suffix,
                                make_strided_conv(out, out, options.kernel_size, 1, bias));
            stage.residual_norm = register_module("residual_norm" + suffix,
                                                  std::make_shared<NormLayer>(options.norm, out));
        }
        stages_.push_back(std::move(stage));
        in = out;
    }
}

at::Tensor ConvTower::forward(const at::Tensor& x) {
    at::Tensor y = x;
    for (Stage& stage : stages_) {
        y = activate(stage.norm->forward(
                         strided_conv(y, stage.conv->weight, stage.conv->bias, options_.stride)),
                     options_.activation);
        if (options_.residual) {
            y = y + activate(stage.residual_norm->forward(strided_conv(
                                 y, stage.residual_conv->weight, stage.residual_conv->bias, 1)),
                             options_.activation);
        }
        if (options_.dropout > 0.0) {
            y = random_dropout(y, options_.dropout, is_training());
        }
    }
    return y;
}

StageCost ConvTower::cost() const {
    const auto kernel = static_cast<double>(options_.kernel_size);
    const double kept_outputs = (options_.norm == NormType::kNone ? 0.0 : 1.0) +
                                (options_.activation == Activation::kNone ? 0.0 : 1.0);
    auto tokens = static_cast<double>(input().num_tokens);
    auto in = static_cast<double>(input().num_channels);
    StageCost cost;
    // Each convolution keeps its padded input, and its output before and after norm and activation.
    const auto add = [&](double in_values, double out_values, double in_channels) {
        cost.flops += 2.0 * out_values * kernel * in_channels;
        cost.activation_bytes += 4.0 * (in_values + kept_outputs * out_values);
    };
    for (const std::int64_t channels : options_.filters) {
        const auto out = static_cast<double>(channels);
        const double in_values = tokens * in;
        tokens /= static_cast<double>(options_.stride);
        add(in_values, tokens * out, in);
        if (options_.residual) {
            add(tokens * out, tokens * out, out);
        }
        in = out;
    }
    return cost;
}

}  // namespace flagen::models
