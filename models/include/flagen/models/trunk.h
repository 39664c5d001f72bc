#pragma once

#include <torch/nn/module.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "flagen/models/model_config.h"
#include "flagen/models/trunk_block.h"

namespace flagen::models {

/// What the heads read. Both have the layout [B, T, C], with sizes of their own.
struct TrunkOutput {
    at::Tensor tokens;  ///< After the last block.
    at::Tensor
        tower;  ///< After the convolutions that the trunk begins with; `tokens` if none follows.
};

/// The blocks of a model in their order. Child modules are named "<index>_<block>", the index
/// counting repeats, as in "trunk.2_linear_attn.mixer.out_proj.weight".
class Trunk : public torch::nn::Module {
  public:
    explicit Trunk(const ModelConfig& config);

    /// codes: uint8 [B, L].
    [[nodiscard]] TrunkOutput forward(const at::Tensor& codes);

    [[nodiscard]] const StreamShape& tokens_shape() const { return tokens_shape_; }
    [[nodiscard]] const StreamShape& tower_shape() const { return tower_shape_; }
    [[nodiscard]] const std::vector<std::shared_ptr<TrunkBlock>>& blocks() const { return blocks_; }

  private:
    void plan_skips();

    std::vector<std::shared_ptr<TrunkBlock>> blocks_;
    std::vector<bool> wanted_skips_;  // in the order of the offers
    std::size_t num_tower_blocks_ = 0;
    StreamShape tokens_shape_;
    StreamShape tower_shape_;
};

}  // namespace flagen::models
