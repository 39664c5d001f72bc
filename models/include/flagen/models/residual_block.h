#pragma once

#include <memory>
#include <vector>

#include "flagen/models/feed_forward.h"
#include "flagen/models/linear_mixer_options.h"
#include "flagen/models/norm_layer.h"
#include "flagen/models/relative_attention.h"
#include "flagen/models/softmax_mixer.h"
#include "flagen/models/trunk_block.h"

namespace flagen::models {

/// Options that every residual block has.
struct ResidualOptions {
    NormType norm = NormType::kLayer;
    double norm_epsilon = 1e-5;  ///< No key: a block's kind sets it.
    double dropout = 0.0;        ///< Of each branch's result, before it is added.
    /// Keeps only the block's input and computes the block a second time in the backward pass.
    bool checkpoint_activations = false;

    void bind(OptionTable& table);
};

/// `linear_attn`: a linear mixer, then a feed-forward layer (object `feed_forward`).
struct LinearAttnBlockOptions {
    LinearMixerOptions mixer;
    FeedForwardOptions feed_forward;
    ResidualOptions residual;

    void bind(OptionTable& table);
    void check(const StreamShape& input, JsonObject& json) const;
    [[nodiscard]] StreamShape output_shape(const StreamShape& input) const;
};

/// `softmax_attn`: a softmax mixer, then a feed-forward layer (object `feed_forward`).
struct SoftmaxAttnBlockOptions {
    SoftmaxMixerOptions mixer;
    FeedForwardOptions feed_forward;
    ResidualOptions residual;

    void bind(OptionTable& table);
    void check(const StreamShape& input, JsonObject& json) const;
    [[nodiscard]] StreamShape output_shape(const StreamShape& input) const;
};

/// `transformer_tower`, one layer of Borzoi's: attention with relative positions, then a ReLU
/// feed-forward layer. One dropout for both branches and the hidden units; layer norms of epsilon
/// 1e-3.
struct TransformerTowerOptions {
    RelativeAttentionOptions attention;
    double dropout = 0.25;
    double dense_expansion = 2.0;         ///< Hidden width over channels; 0 leaves the layer out.
    bool checkpoint_activations = false;  ///< As in ResidualOptions.

    void bind(OptionTable& table);
    void check(const StreamShape& input, JsonObject& json) const;
    [[nodiscard]] StreamShape output_shape(const StreamShape& input) const;
    [[nodiscard]] ResidualOptions residual() const;
    [[nodiscard]] FeedForwardOptions feed_forward() const;
};

/// `feed_forward`: a feed-forward layer alone.
struct FeedForwardBlockOptions {
    FeedForwardOptions feed_forward;
    ResidualOptions residual;

    void bind(OptionTable& table);
    void check(const StreamShape& input, JsonObject& json) const;
    [[nodiscard]] StreamShape output_shape(const StreamShape& input) const;
};

/// Pre-norm residual branches one after another, [B, T, C] -> [B, T, C]:
///
///     x = x + dropout(mixer(norm(x)))
///     x = x + dropout(feed_forward(norm(x)))
class ResidualBlock : public TrunkBlock {
  public:
    ResidualBlock(const LinearAttnBlockOptions& options, const StreamShape& input);
    ResidualBlock(const SoftmaxAttnBlockOptions& options, const StreamShape& input);
    ResidualBlock(const TransformerTowerOptions& options, const StreamShape& input);
    ResidualBlock(const FeedForwardBlockOptions& options, const StreamShape& input);

    at::Tensor forward(const at::Tensor& x) override;
    [[nodiscard]] StageCost cost() const override;

  private:
    struct Branch {
        std::shared_ptr<NormLayer> norm;
        std::shared_ptr<TokenLayer> layer;
    };

    void add_branch(const std::string& name, std::shared_ptr<TokenLayer> layer);
    void add_feed_forward(const FeedForwardOptions& options);
    [[nodiscard]] at::Tensor run_branches(at::Tensor x);

    ResidualOptions options_;
    std::vector<Branch> branches_;
};

/// Options of `token_norm`.
struct TokenNormOptions {
    NormType norm = NormType::kLayer;

    void bind(OptionTable& table);
    void check(const StreamShape& input, JsonObject& json) const;
    [[nodiscard]] StreamShape output_shape(const StreamShape& input) const;
};

/// `token_norm`: a norm of every token, for between the tower and the mixers or at the end.
class TokenNorm : public TrunkBlock {
  public:
    TokenNorm(const TokenNormOptions& options, const StreamShape& input);

    at::Tensor forward(const at::Tensor& x) override;
    [[nodiscard]] StageCost cost() const override;

  private:
    std::shared_ptr<NormLayer> norm_;
};

}  // namespace flagen::models
