#pragma once

#include <torch/nn/modules/linear.h>

#include "flagen/models/trunk_block.h"

namespace flagen {
class JsonObject;
}

namespace flagen::models {

class OptionTable;

/// Options of `softmax_attn`.
struct SoftmaxMixerOptions {
    std::int64_t heads = 4;
    std::int64_t key = 32;    ///< Key width of a head; even with rotary positions.
    std::int64_t value = 32;  ///< Value width of a head.
    bool rotary = true;
    double rotary_base = 10000.0;
    double attention_dropout = 0.0;

    void bind(OptionTable& table);
    void check(std::int64_t num_channels, JsonObject& json) const;
};

/// Rotates pairs (i, i + K / 2) of the last dimension by position * base^(-2 i / K).
///
/// x [B, H, T, K], K even; positions are 0 .. T - 1. Source: arXiv:2104.09864, halves paired as in
/// GPT-NeoX.
[[nodiscard]] at::Tensor rotate_positions(const at::Tensor& x, double base);

/// Full softmax attention over all tokens, [B, T, C] -> [B, T, C], through LibTorch's
/// scaled_dot_product_attention: softmax(q k^T / sqrt(key)) v. Time grows with T squared.
class SoftmaxMixer : public TokenLayer {
  public:
    SoftmaxMixer(const SoftmaxMixerOptions& options, std::int64_t num_channels);

    at::Tensor forward(const at::Tensor& x) override;
    [[nodiscard]] StageCost cost(std::int64_t num_tokens) const override;

  private:
    SoftmaxMixerOptions options_;
    std::int64_t num_channels_;
    torch::nn::Linear q_proj_{nullptr};
    torch::nn::Linear k_proj_{nullptr};
    torch::nn::Linear v_proj_{nullptr};
    torch::nn::Linear out_proj_{nullptr};
};

}  // namespace flagen::models
