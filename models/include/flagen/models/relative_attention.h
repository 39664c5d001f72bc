#pragma once

#include <torch/nn/modules/linear.h>

#include "flagen/models/trunk_block.h"

namespace flagen {
class JsonObject;
}

namespace flagen::models {

class OptionTable;

/// Options of the attention in `transformer_tower`.
struct RelativeAttentionOptions {
    std::int64_t heads = 1;
    std::int64_t key_size = 64;               ///< Key width of a head.
    std::int64_t num_position_features = 32;  ///< Even.
    double attention_dropout = 0.05;          ///< Of the attention weights.
    double position_dropout = 0.01;           ///< Of the position features.

    void bind(OptionTable& table);
    void check(std::int64_t num_channels, JsonObject& json) const;
};

/// Central-mask features of the distances d = -(T - 1) .. T - 1 between tokens, [2 T - 1, F] of
/// dtype fp32: for i = 1 .. F / 2
///
///     f_i(d) = 1 if |d| < (T + 1)^(2 i / F) - 1, else 0;      f_(F/2 + i)(d) = sign(d) f_i(d)
///
/// Widths grow by a constant factor up to T. Source: Z. Avsec et al., "Effective gene expression
/// prediction from sequence by integrating long-range interactions", Nature Methods 18, 2021,
/// supplementary methods (Enformer); Borzoi has these features alone.
[[nodiscard]] at::Tensor central_mask_features(std::int64_t num_tokens, std::int64_t num_features);

/// Softmax attention with learned logits of the distance, [B, T, C] -> [B, T, C]:
///
///     a[i, j] = (q_i / sqrt(K) + u) . k_j + (q_i / sqrt(K) + v) . r_(j - i)
///     y_i     = W_o concat_heads( sum_j softmax_j(a[i, j]) value_j ) + b_o
///
/// with r_d = W_r f(d), and u (content) and v (position) biases a head. The value width of a head
/// is C / heads. Time and, in training, memory grow with T squared; queries go in blocks, so that
/// the logits of all distances never stand in memory at once. Logits and weights are fp32 under
/// autocast from the softmax on. Source: Z. Dai et al., "Transformer-XL", ACL 2019,
/// arXiv:1901.02860, section 3.3.
class RelativeAttention : public TokenLayer {
  public:
    RelativeAttention(const RelativeAttentionOptions& options, std::int64_t num_channels);

    at::Tensor forward(const at::Tensor& x) override;
    [[nodiscard]] StageCost cost(std::int64_t num_tokens) const override;

  private:
    struct Heads {
        at::Tensor content_query, position_query;  // [B, H, T, K], scaled, with their bias
        at::Tensor key_t;                          // [B, H, K, T]
        at::Tensor value;                          // [B, H, T, V]
        at::Tensor distance_key_t;                 // [H, K, 2 T - 1]
    };

    [[nodiscard]] at::Tensor attend(const Heads& heads, std::int64_t first,
                                    std::int64_t num_queries) const;
    [[nodiscard]] at::Tensor distance_keys(const at::Tensor& x);

    RelativeAttentionOptions options_;
    std::int64_t num_channels_;
    torch::nn::Linear q_proj_{nullptr};
    torch::nn::Linear k_proj_{nullptr};
    torch::nn::Linear v_proj_{nullptr};
    torch::nn::Linear position_proj_{nullptr};
    torch::nn::Linear out_proj_{nullptr};
    at::Tensor content_bias_;   // [H, 1, K]
    at::Tensor position_bias_;  // [H, 1, K]
};

}  // namespace flagen::models
