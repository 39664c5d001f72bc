#pragma once

#include <torch/nn/modules/linear.h>

#include <memory>

#include "flagen/models/depthwise_conv.h"
#include "flagen/models/linear_mixer_options.h"
#include "flagen/models/trunk_block.h"

namespace flagen::models {

/// The heads of a linear mixer that read one way: projections, short convolution, decay and scan.
///
/// Parameters beside the projections of q, k and v, with their starting values:
///   scalar          decay_proj, its bias at `decay_bias`; g = logsigmoid(W x + b) / temperature;
///   with
///                   a fixed decay the buffer `log_decay`: retention's ln(1 - 2^(-5 - h)) for head
///                   h
///   ssd             dt_proj; dt_bias: softplus(dt_bias) log-uniform in [1e-3, 0.1]; a_log: exp
///                   uniform in [1, 16]; skip d = 1
///   gla             decay_down, decay_up: a projection of rank decay_rank, with bias; g as above
///   deltanet        beta_proj; beta = sigmoid
///   gated_deltanet  decay_proj and beta_proj; a_log: exp uniform in (0, 16]; dt_bias as ssd;
///                   g = -exp(a_log) softplus(W x + dt_bias)
/// q and k of the delta kinds pass SiLU and are scaled to length 1.
class DirectionalScan : public torch::nn::Module {
  public:
    DirectionalScan(const LinearMixerOptions& options, std::int64_t num_channels,
                    ScanDirection direction);

    /// x [B, T, C] -> [B, T, heads of this direction, value].
    [[nodiscard]] at::Tensor forward(const at::Tensor& x);

    [[nodiscard]] StageCost cost(std::int64_t num_tokens) const;

  private:
    struct Heads {
        at::Tensor q, k, v;  // [B, T, Hq, K], [B, T, Hq, K], [B, T, H, V]
    };

    void make_decay();
    [[nodiscard]] Heads project(const at::Tensor& x);
    [[nodiscard]] at::Tensor log_decay(const at::Tensor& x);
    [[nodiscard]] at::Tensor scan(const at::Tensor& x, const Heads& heads);

    LinearMixerOptions options_;
    std::int64_t num_channels_;
    std::int64_t num_heads_;
    std::int64_t num_key_heads_;
    ScanDirection direction_;

    torch::nn::Linear qkv_proj_{nullptr};
    std::shared_ptr<DepthwiseConv> short_conv_;
    torch::nn::Linear decay_proj_{nullptr};
    torch::nn::Linear decay_down_{nullptr};
    torch::nn::Linear decay_up_{nullptr};
    torch::nn::Linear beta_proj_{nullptr};
    at::Tensor fixed_log_decay_;  // [H]
    at::Tensor a_log_;            // [H]
    at::Tensor dt_bias_;          // [H]
    at::Tensor d_;                // [H]
};

}  // namespace flagen::models
