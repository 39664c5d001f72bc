#include "flagen/models/trunk.h"

#include <torch/torch.h>

#include "flagen/error.h"

namespace flagen::models {

Trunk::Trunk(const ModelConfig& config) {
    StreamShape shape = input_shape(config.seq_length);
    for (const BlockConfig& block : config.trunk) {
        for (std::int64_t repeat = 0; repeat < block.repeat; ++repeat) {
            const std::string name = std::to_string(blocks_.size()) + "_" + block.name;
            blocks_.push_back(register_module(name, block.spec->make(shape)));
            shape = blocks_.back()->output();
            if (blocks_.back()->is_convolution() && num_tower_blocks_ + 1 == blocks_.size()) {
                ++num_tower_blocks_;
                tower_shape_ = shape;
            }
        }
    }
    FLAGEN_CHECK(num_tower_blocks_ > 0, "a trunk that does not begin with a convolution");
    tokens_shape_ = shape;
}

TrunkOutput Trunk::forward(const at::Tensor& codes) {
    TrunkOutput result;
    at::Tensor x = codes;
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
        x = blocks_[i]->forward(x);
        if (i + 1 == num_tower_blocks_) {
            result.tower = x;
        }
    }
    result.tokens = x;
    return result;
}

}  // namespace flagen::models
