#pragma once

#include <torch/nn/modules/conv.h>

#include <memory>
#include <vector>

#include "flagen/models/norm_layer.h"
#include "flagen/models/trunk_block.h"

namespace flagen {
class JsonObject;
}

namespace flagen::models {

class OptionTable;

/// Options of `conv_tower`.
struct ConvTowerOptions {
    std::vector<std::int64_t> filters = {48, 64, 88, 128};  ///< Output channels, one entry a stage.
    std::int64_t kernel_size = 5;
    std::int64_t stride = 2;  ///< Of every stage; the tokens divide by stride ^ stages.
    NormType norm = NormType::kBatch;
    Activation activation = Activation::kRelu;
    bool residual = false;  ///< Adds act(norm(conv(x))) of stride 1 to each stage's output x.
    double dropout = 0.0;   ///< After each stage.

    void bind(OptionTable& table);
    void check(const StreamShape& input, JsonObject& json) const;
    [[nodiscard]] StreamShape output_shape(const StreamShape& input) const;
};

/// Stages of { strided convolution -> norm -> activation [-> residual convolution] [-> dropout] }:
/// [B, T, C] -> [B, T / stride ^ stages, filters.back()]. Convolutions carry a bias only where no
/// norm follows. Alignment of tokens as in ConvDna.
class ConvTower : public TrunkBlock {
  public:
    ConvTower(const ConvTowerOptions& options, const StreamShape& input);

    at::Tensor forward(const at::Tensor& x) override;
    [[nodiscard]] StageCost cost() const override;
    [[nodiscard]] bool is_convolution() const override { return true; }

  private:
    struct Stage {
        torch::nn::Conv1d conv{nullptr};
        std::shared_ptr<NormLayer> norm;
        torch::nn::Conv1d residual_conv{nullptr};
        std::shared_ptr<NormLayer> residual_norm;
    };

    ConvTowerOptions options_;
    std::vector<Stage> stages_;
};

}  // namespace flagen::models
