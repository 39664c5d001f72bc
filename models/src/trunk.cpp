#include "flagen/models/trunk.h"

#include <torch/torch.h>

#include "flagen/error.h"

namespace flagen::models {

Trunk::Trunk(const ModelConfig& config) {
    StreamShape shape = input_shape(config.seq_length);
    tower_shape_ = as_tokens(shape);
    for (const BlockConfig& block : config.trunk) {
        for (std::int64_t repeat = 0; repeat < block.repeat; ++repeat) {
            const std::string name = std::to_string(blocks_.size()) + "_" + block.name;
            blocks_.push_back(register_module(name, block.spec->make(shape)));
            shape = blocks_.back()->output();
            if (shape.layout == Layout::kChannels) {
                tower_shape_ = as_tokens(shape);
            }
        }
    }
    FLAGEN_CHECK(shape.layout != Layout::kCodes, "a trunk without blocks");
    tokens_shape_ = as_tokens(shape);
}

TrunkOutput Trunk::forward(const at::Tensor& codes) {
    TrunkOutput result;
    at::Tensor x = codes;
    for (const auto& block : blocks_) {
        if (block->input().layout == Layout::kTokens && !result.tower.defined()) {
            x = x.transpose(1, 2).contiguous();
            result.tower = x;
        }
        x = block->forward(x);
    }
    if (!result.tower.defined()) {
        x = x.transpose(1, 2).contiguous();
        result.tower = x;
    }
    result.tokens = x;
    return result;
}

}  // namespace flagen::models
