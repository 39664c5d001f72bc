#include "flagen/models/residual_block.h"

#include <torch/torch.h>

#include "activation_checkpoint.h"
#include "block_spec.h"
#include "flagen/models/linear_mixer.h"
#include "random_dropout.h"

namespace flagen::models {

void ResidualOptions::bind(OptionTable& table) {
    table.choice("norm_type", norm, token_norm_names());
    table.number("dropout", dropout, 0.0, 0.99);
    table.flag("checkpoint_activations", checkpoint_activations);
}

void LinearAttnBlockOptions::bind(OptionTable& table) {
    mixer.bind(table);
    residual.bind(table);
    OptionTable inner = table.object("feed_forward");
    feed_forward.bind(inner);
}

void LinearAttnBlockOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kTokens, json);
    mixer.check(input.num_channels, json);
}

StreamShape LinearAttnBlockOptions::output_shape(const StreamShape& input) const { return input; }

void SoftmaxAttnBlockOptions::bind(OptionTable& table) {
    mixer.bind(table);
    residual.bind(table);
    OptionTable inner = table.object("feed_forward");
    feed_forward.bind(inner);
}

void SoftmaxAttnBlockOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kTokens, json);
    mixer.check(input.num_channels, json);
}

StreamShape SoftmaxAttnBlockOptions::output_shape(const StreamShape& input) const { return input; }

void TransformerTowerOptions::bind(OptionTable& table) {
    attention.bind(table);
    table.number("dropout", dropout, 0.0, 0.99);
    table.number("dense_expansion", dense_expansion, 0.0, 64.0);
    table.flag("checkpoint_activations", checkpoint_activations);
    table.ignore({"mha_l2_scale", "l2_scale", "mha_initializer", "kernel_initializer"});
}

void TransformerTowerOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kTokens, json);
    attention.check(input.num_channels, json);
}

StreamShape TransformerTowerOptions::output_shape(const StreamShape& input) const { return input; }

ResidualOptions TransformerTowerOptions::residual() const {
    ResidualOptions options;
    options.norm_epsilon = 1e-3;
    options.dropout = dropout;
    options.checkpoint_activations = checkpoint_activations;
    return options;
}

FeedForwardOptions TransformerTowerOptions::feed_forward() const {
    return {dense_expansion, FeedForwardActivation::kRelu, dropout};
}

void FeedForwardBlockOptions::bind(OptionTable& table) {
    feed_forward.bind(table);
    table.choice("norm_type", residual.norm, token_norm_names());
    table.number("residual_dropout", residual.dropout, 0.0, 0.99);
    table.flag("checkpoint_activations", residual.checkpoint_activations);
}

void FeedForwardBlockOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kTokens, json);
    if (feed_forward.expansion == 0.0) {
        json.add_problem("expansion", "found 0: a feed_forward block needs hidden units");
    }
}

StreamShape FeedForwardBlockOptions::output_shape(const StreamShape& input) const { return input; }

ResidualBlock::ResidualBlock(const LinearAttnBlockOptions& options, const StreamShape& input)
    : TrunkBlock(input, input), options_(options.residual) {
    add_branch("mixer", std::make_shared<LinearMixer>(options.mixer, input.num_channels));
    add_feed_forward(options.feed_forward);
}

ResidualBlock::ResidualBlock(const SoftmaxAttnBlockOptions& options, const StreamShape& input)
    : TrunkBlock(input, input), options_(options.residual) {
    add_branch("mixer", std::make_shared<SoftmaxMixer>(options.mixer, input.num_channels));
    add_feed_forward(options.feed_forward);
}

ResidualBlock::ResidualBlock(const TransformerTowerOptions& options, const StreamShape& input)
    : TrunkBlock(input, input), options_(options.residual()) {
    add_branch("mixer", std::make_shared<RelativeAttention>(options.attention, input.num_channels));
    add_feed_forward(options.feed_forward());
}

ResidualBlock::ResidualBlock(const FeedForwardBlockOptions& options, const StreamShape& input)
    : TrunkBlock(input, input), options_(options.residual) {
    add_feed_forward(options.feed_forward);
}

void ResidualBlock::add_branch(const std::string& name, std::shared_ptr<TokenLayer> layer) {
    Branch branch;
    branch.norm = register_module(
        name + "_norm",
        std::make_shared<NormLayer>(options_.norm, input().num_channels,
                                    NormSettings{.epsilon = options_.norm_epsilon}));
    branch.layer = register_module(name, std::move(layer));
    branches_.push_back(std::move(branch));
}

void ResidualBlock::add_feed_forward(const FeedForwardOptions& options) {
    if (options.expansion > 0.0) {
        add_branch("feed_forward", std::make_shared<FeedForward>(options, input().num_channels));
    }
}

at::Tensor ResidualBlock::run_branches(at::Tensor x) {
    for (const Branch& branch : branches_) {
        at::Tensor y = branch.layer->forward(branch.norm->forward(x));
        if (options_.dropout > 0.0) {
            y = random_dropout(y, options_.dropout, is_training());
        }
        x = x + y;
    }
    return x;
}

at::Tensor ResidualBlock::forward(const at::Tensor& x) {
    if (!options_.checkpoint_activations) {
        return run_branches(x);
    }
    return run_checkpointed([this](const at::Tensor& y) { return run_branches(y); }, x);
}

StageCost ResidualBlock::cost() const {
    const double tensor_bytes =
        4.0 * static_cast<double>(input().num_tokens) * static_cast<double>(input().num_channels);
    StageCost total;
    for (const Branch& branch : branches_) {
        total += branch.layer->cost(input().num_tokens);
        // The branch's input, its norm and, with dropout, the mask.
        total.activation_bytes += tensor_bytes * (options_.dropout > 0.0 ? 2.25 : 2.0);
    }
    if (options_.checkpoint_activations) {
        total.activation_bytes = tensor_bytes;
    }
    return total;
}

void TokenNormOptions::bind(OptionTable& table) {
    table.choice("norm_type", norm, token_norm_names());
}

void TokenNormOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kTokens, json);
}

StreamShape TokenNormOptions::output_shape(const StreamShape& input) const { return input; }

TokenNorm::TokenNorm(const TokenNormOptions& options, const StreamShape& input)
    : TrunkBlock(input, input) {
    norm_ = register_module("norm", std::make_shared<NormLayer>(options.norm, input.num_channels));
}

at::Tensor TokenNorm::forward(const at::Tensor& x) { return norm_->forward(x); }

StageCost TokenNorm::cost() const {
    return {0.0, 4.0 * static_cast<double>(input().num_tokens) *
                     static_cast<double>(input().num_channels)};
}

}  // namespace flagen::models
