#include "flagen/models/relative_attention.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "block_spec.h"
#include "flagen/models/to_device.h"
#include "random_dropout.h"

namespace flagen::models {
namespace {

constexpr std::int64_t kQueryBlock = 512;  // queries whose logits stand in memory together

torch::nn::Linear map_without_bias(std::int64_t in, std::int64_t out) {
    return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(false));
}

/// Row i of `logits` holds distances from -(first + i) ... in their order; the result has entry j
/// of row i for key j. logits [B, H, Q, T + Q - 1] -> [B, H, Q, T], a view.
at::Tensor align_distances(const at::Tensor& logits, std::int64_t num_tokens) {
    const std::int64_t queries = logits.size(2);
    const std::int64_t width = logits.size(3);
    // Row i begins (queries - 1 - i) columns in: a step of width - 1 from row to row.
    return logits.as_strided({logits.size(0), logits.size(1), queries, num_tokens},
                             {logits.size(1) * queries * width, queries * width, width - 1, 1},
                             logits.storage_offset() + queries - 1);
}

}  // namespace

void RelativeAttentionOptions::bind(OptionTable& table) {
    table.integer("heads", heads, 1, 1024);
    table.integer("key_size", key_size, 1, 4096);
    table.integer("num_position_features", num_position_features, 2, 4096);
    table.number("attention_dropout", attention_dropout, 0.0, 0.99);
    table.number("position_dropout", position_dropout, 0.0, 0.99);
}

void RelativeAttentionOptions::check(std::int64_t num_channels, JsonObject& json) const {
    require_divides(heads, "heads", num_channels, "the number of channels", json);
    if (num_position_features % 2 != 0) {
        json.add_problem("num_position_features",
                         detail::concatenate("found ", num_position_features, "; must be even"));
    }
}

at::Tensor central_mask_features(std::int64_t num_tokens, std::int64_t num_features) {
    FLAGEN_CHECK(num_tokens > 0 && num_features > 0 && num_features % 2 == 0, num_features,
                 " features of ", num_tokens, " tokens");
    const std::int64_t half = num_features / 2;
    const at::Tensor distance = at::arange(1 - num_tokens, num_tokens, at::kDouble).unsqueeze(1);
    const double rate = std::log(static_cast<double>(num_tokens + 1)) / static_cast<double>(half);
    const at::Tensor width = at::expm1(at::arange(1, half + 1, at::kDouble) * rate);
    const at::Tensor mask = (distance.abs() < width).to(at::kDouble);  // [2 T - 1, F / 2]
    return at::cat({mask, distance.sign() * mask}, 1).to(at::kFloat);
}

RelativeAttention::RelativeAttention(const RelativeAttentionOptions& options,
                                     std::int64_t num_channels)
    : options_(options), num_channels_(num_channels) {
    FLAGEN_CHECK(num_channels % options.heads == 0, options.heads, " heads on ", num_channels,
                 " channels");
    const std::int64_t key_width = options.heads * options.key_size;
    q_proj_ = register_module("q_proj", map_without_bias(num_channels, key_width));
    k_proj_ = register_module("k_proj", map_without_bias(num_channels, key_width));
    v_proj_ = register_module("v_proj", map_without_bias(num_channels, num_channels));
    position_proj_ = register_module("position_proj",
                                     map_without_bias(options.num_position_features, key_width));
    out_proj_ = register_module("out_proj", torch::nn::Linear(num_channels, num_channels));
    content_bias_ = register_parameter("content_bias",
                                       torch::randn({options.heads, 1, options.key_size}) * 0.02);
    position_bias_ = register_parameter("position_bias",
                                        torch::randn({options.heads, 1, options.key_size}) * 0.02);
}

at::Tensor RelativeAttention::distance_keys(const at::Tensor& x) {
    at::Tensor features = to_device(central_mask_features(x.size(1), options_.num_position_features)
                                        .to(position_proj_->weight.scalar_type()),
                                    x.device());
    features = random_dropout(features, options_.position_dropout, is_training());
    return position_proj_
        ->forward(features)                                 // [2 T - 1, H K]
        .unflatten(1, {options_.heads, options_.key_size})  // [2 T - 1, H, K]
        .permute({1, 2, 0});                                // [H, K, 2 T - 1]
}

at::Tensor RelativeAttention::attend(const Heads& heads, std::int64_t first,
                                     std::int64_t num_queries) const {
    const std::int64_t num_tokens = heads.value.size(2);
    // Distances of these queries: from -(first + num_queries - 1), which is column
    // num_tokens - first - num_queries of all of them.
    const at::Tensor distance_key_t = heads.distance_key_t.narrow(
        2, num_tokens - first - num_queries, num_tokens + num_queries - 1);
    const at::Tensor by_distance =
        heads.position_query.narrow(2, first, num_queries).matmul(distance_key_t).contiguous();
    at::Tensor logits = heads.content_query.narrow(2, first, num_queries).matmul(heads.key_t);
    logits = logits + align_distances(by_distance, num_tokens);
    const auto dtype = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    at::Tensor weights = at::softmax(logits, -1, dtype);
    weights = random_dropout(weights, options_.attention_dropout, is_training());
    return weights.to(heads.value.scalar_type()).matmul(heads.value);  // [B, H, Q, V]
}

at::Tensor RelativeAttention::forward(const at::Tensor& x) {
    const auto split = [this](const at::Tensor& y) {
        return y.unflatten(-1, {options_.heads, y.size(-1) / options_.heads}).transpose(1, 2);
    };
    const at::Tensor q =
        split(q_proj_->forward(x)) * (1.0 / std::sqrt(static_cast<double>(options_.key_size)));
    const Heads heads{q + content_bias_.to(q.scalar_type()), q + position_bias_.to(q.scalar_type()),
                      split(k_proj_->forward(x)).transpose(2, 3), split(v_proj_->forward(x)),
                      distance_keys(x)};
    std::vector<at::Tensor> blocks;
    for (std::int64_t first = 0; first < x.size(1); first += kQueryBlock) {
        blocks.push_back(attend(heads, first, std::min(kQueryBlock, x.size(1) - first)));
    }
    return out_proj_->forward(at::cat(blocks, 2).transpose(1, 2).flatten(2));
}

StageCost RelativeAttention::cost(std::int64_t num_tokens) const {
    const auto tokens = static_cast<double>(num_tokens);
    const auto heads = static_cast<double>(options_.heads);
    const auto key = static_cast<double>(options_.key_size);
    const auto channels = static_cast<double>(num_channels_);
    const double features = static_cast<double>(options_.num_position_features);
    const double distances = tokens + static_cast<double>(std::min(kQueryBlock, num_tokens)) - 1.0;
    StageCost cost;
    cost.flops = 2.0 * tokens * channels * (2.0 * heads * key + 2.0 * channels)  // q, k, v, out
                 + 2.0 * 2.0 * tokens * features * heads * key                   // distances
                 + 2.0 * tokens * (tokens * (heads * key + channels) + distances * heads * key);
    // q twice, k, v, the joined heads; of the weights the softmax and, with dropout, two more.
    const double weights = options_.attention_dropout > 0.0 ? 3.0 : 1.0;
    cost.activation_bytes = 4.0 * tokens * (3.0 * heads * key + 2.0 * channels) +
                            4.0 * weights * heads * tokens * tokens;
    return cost;
}

}  // namespace flagen::models
