#pragma once

#include <torch/nn/modules/conv.h>

#include <memory>

#include "flagen/models/nac_options.h"
#include "flagen/models/norm_layer.h"
#include "flagen/models/trunk_block.h"

namespace flagen::models {

/// norm, then activation: tokens [B, T, C] of the same shape.
class NormActivation : public torch::nn::Module {
  public:
    NormActivation(const NacOptions& options, std::int64_t num_channels);

    [[nodiscard]] at::Tensor forward(const at::Tensor& x);
    /// fp32 tensors kept for the backward pass, over the size of the input.
    [[nodiscard]] double tensors_kept() const;

  private:
    NacOptions options_;
    std::shared_ptr<NormLayer> norm_;
};

/// norm -> activation -> convolution of stride 1 with bias: [B, T, in] -> [B, T, out].
class NacConv : public torch::nn::Module {
  public:
    NacConv(const NacOptions& options, std::int64_t in, std::int64_t out, std::int64_t kernel);

    [[nodiscard]] at::Tensor forward(const at::Tensor& x);
    [[nodiscard]] StageCost cost(std::int64_t num_tokens) const;

  private:
    std::int64_t in_;
    std::int64_t out_;
    std::int64_t kernel_;
    std::shared_ptr<NormActivation> before_;
    torch::nn::Conv1d conv_{nullptr};
};

}  // namespace flagen::models
