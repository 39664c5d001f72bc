#pragma once

#include <torch/nn/module.h>

#include "flagen/models/norm_types.h"

namespace flagen::models {

/// gelu is the exact (erf) form, gelu_tanh the approximation 0.5 x (1 + tanh(sqrt(2 / pi) (x +
/// 0.044715 x^3))).
[[nodiscard]] at::Tensor activate(const at::Tensor& x, Activation activation);

/// Normalises the channels of tokens [B, T, C].
///
/// batch: over windows and tokens of a batch, running mean and variance in evaluation; the buffers
/// `running_mean` and `running_var` are part of the state. layer, rms: over the channels of each
/// token. Computed in fp32 (fp64 for fp64 input), returned in the dtype of x; weights start at 1,
/// biases at 0.
class NormLayer : public torch::nn::Module {
  public:
    NormLayer(NormType type, std::int64_t num_channels, const NormSettings& settings = {});

    [[nodiscard]] at::Tensor forward(const at::Tensor& x);

  private:
    NormType type_;
    std::int64_t num_channels_;
    NormSettings settings_;
    at::Tensor weight_;
    at::Tensor bias_;
    at::Tensor running_mean_;
    at::Tensor running_var_;
};

}  // namespace flagen::models
