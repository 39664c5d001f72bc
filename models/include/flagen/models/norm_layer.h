#pragma once

#include <torch/nn/module.h>

#include <string>
#include <utility>
#include <vector>

namespace flagen::models {

enum class NormType { kNone, kBatch, kLayer, kRms };
enum class Activation { kNone, kRelu, kGelu, kSilu };

[[nodiscard]] const std::vector<std::pair<NormType, std::string>>& norm_type_names();
/// The norms that work on one token alone: all but batch.
[[nodiscard]] const std::vector<std::pair<NormType, std::string>>& token_norm_names();
[[nodiscard]] const std::vector<std::pair<Activation, std::string>>& activation_names();

/// gelu is the exact (erf) form.
[[nodiscard]] at::Tensor activate(const at::Tensor& x, Activation activation);

/// Normalises the channels of tokens [B, T, C].
///
/// batch: over windows and tokens of a batch, running mean and variance (momentum 0.1) in
/// evaluation; the buffers `running_mean` and `running_var` are part of the state. layer, rms: over
/// the channels of each token. Computed in fp32 (fp64 for fp64 input), returned in the dtype of x;
/// epsilon 1e-5; weights start at 1, biases at 0.
class NormLayer : public torch::nn::Module {
  public:
    NormLayer(NormType type, std::int64_t num_channels);

    [[nodiscard]] at::Tensor forward(const at::Tensor& x);

  private:
    NormType type_;
    std::int64_t num_channels_;
    at::Tensor weight_;
    at::Tensor bias_;
    at::Tensor running_mean_;
    at::Tensor running_var_;
};

}  // namespace flagen::models
