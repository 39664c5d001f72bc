#include "flagen/models/trunk.h"

#include <torch/torch.h>

#include <algorithm>
#include <cstddef>

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
    plan_skips();
}

void Trunk::plan_skips() {
    std::vector<std::size_t> open;  // numbers of the offers that are not taken yet
    for (const auto& block : blocks_) {
        if (const auto taken = block->taken_skip()) {
            wanted_skips_[open.at(*taken)] = true;
            open.erase(open.begin() + static_cast<std::ptrdiff_t>(*taken));
        }
        const std::size_t num_left = block->output().skips.size();
        open.resize(std::min(open.size(), num_left));  // cropping ends what is left
        for (std::size_t i = open.size(); i < num_left; ++i) {
            open.push_back(wanted_skips_.size());
            wanted_skips_.push_back(false);
        }
    }
}

TrunkOutput Trunk::forward(const at::Tensor& codes) {
    TrunkOutput result;
    TrunkSkips skips(wanted_skips_);
    at::Tensor x = codes;
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
        x = blocks_[i]->forward_with_skips(x, skips);
        if (i + 1 == num_tower_blocks_) {
            result.tower = x;
        }
    }
    result.tokens = x;
    return result;
}

}  // namespace flagen::models
