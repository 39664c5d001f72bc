#include "flagen/models/block_registry.h"

#include <algorithm>
#include <functional>

#include "block_spec.h"
#include "flagen/models/conv_dna.h"
#include "flagen/models/conv_nac.h"
#include "flagen/models/conv_tower.h"
#include "flagen/models/res_tower.h"
#include "flagen/models/residual_block.h"
#include "flagen/models/unet_conv.h"
#include "flagen/problems.h"

namespace flagen::models {
namespace {

struct BlockType {
    std::string name;
    std::function<std::shared_ptr<const BlockSpec>(JsonObject&, const BlockDefaults&)> parse;
    bool owns_repeat = false;
};

/// The one list of blocks: a new block is one line here.
const std::vector<BlockType>& block_types() {
    static const std::vector<BlockType> types = {
        {"conv_dna", parse_spec<ConvDnaOptions, ConvDna>},
        {"conv_tower", parse_spec<ConvTowerOptions, ConvTower>},
        {"linear_attn", parse_spec<LinearAttnBlockOptions, ResidualBlock>},
        {"softmax_attn", parse_spec<SoftmaxAttnBlockOptions, ResidualBlock>},
        {"feed_forward", parse_spec<FeedForwardBlockOptions, ResidualBlock>},
        {"token_norm", parse_spec<TokenNormOptions, TokenNorm>},
        {"res_tower", parse_spec<ResTowerOptions, ResTower>, /*owns_repeat=*/true},
        {"transformer_tower", parse_spec<TransformerTowerOptions, ResidualBlock>},
        {"unet_conv", parse_spec<UnetConvOptions, UnetConv>},
        {"Cropping1D", parse_spec<CroppingOptions, Cropping>},
        {"conv_nac", parse_spec<ConvNacOptions, ConvNac>},
    };
    return types;
}

const char* layout_name(Layout layout) {
    switch (layout) {
        case Layout::kCodes:
            return "base codes";
        case Layout::kTokens:
            return "tokens";
    }
    return "?";
}

}  // namespace

const std::vector<std::string>& block_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> list;
        for (const BlockType& type : block_types()) {
            list.push_back(type.name);
        }
        return list;
    }();
    return names;
}

bool block_owns_repeat(const std::string& name) {
    const auto& types = block_types();
    return std::any_of(types.begin(), types.end(), [&name](const BlockType& type) {
        return type.name == name && type.owns_repeat;
    });
}

std::shared_ptr<const BlockSpec> parse_block(const std::string& name, JsonObject& json,
                                             const BlockDefaults& defaults) {
    for (const BlockType& type : block_types()) {
        if (type.name == name) {
            return type.parse(json, defaults);
        }
    }
    for (const std::string& key : json.keys()) {
        json.ignore(key);  // nobody knows which of them are right
    }
    json.add_problem("name", "unknown block \"" + name + "\"" + did_you_mean(name, block_names()));
    return nullptr;
}

void require_layout(const StreamShape& input, Layout layout, JsonObject& json) {
    if (input.layout != layout) {
        json.add_problem("name",
                         detail::concatenate("needs ", layout_name(layout), ", but receives ",
                                             layout_name(input.layout), " from the block before"));
    }
}

bool require_strided_conv(std::int64_t kernel, std::int64_t stride, std::int64_t num_tokens,
                          JsonObject& json) {
    const std::string fault = strided_conv_fault(kernel, stride);
    if (!fault.empty()) {
        json.add_problem("kernel_size", detail::concatenate("found ", kernel, " with stride ",
                                                            stride, "; ", fault));
        return false;
    }
    if (num_tokens % stride != 0) {
        json.add_problem("stride", detail::concatenate(stride, " does not divide the ", num_tokens,
                                                       " tokens that this stage receives"));
        return false;
    }
    return true;
}

void require_divides(std::int64_t part, const std::string& key, std::int64_t whole,
                     const std::string& what, JsonObject& json) {
    if (part <= 0 || whole % part != 0) {
        json.add_problem(key, detail::concatenate(part, " does not divide ", what, " ", whole));
    }
}

}  // namespace flagen::models
