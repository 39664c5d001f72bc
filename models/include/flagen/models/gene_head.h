#pragma once

#include <torch/nn/modules/linear.h>

#include <memory>

#include "flagen/models/codon_encoder.h"
#include "flagen/models/gene_head_config.h"
#include "flagen/models/gene_queries.h"
#include "flagen/models/norm_layer.h"
#include "flagen/models/promoter_encoder.h"
#include "flagen/models/trunk.h"

namespace flagen::models {

/// Expression of genes from tokens and bases. Axes: G genes, S samples, F features.
///
///     f = [pools of the trunk's tokens | tower's tokens over the span | codons | promoter |
///          ln(length) - 6.7 and its square]                                             [G, F]
///     f = dropout(layer_norm(f));      (m, d) = linear(f) + mlp(f)             [G, 1], [G, S]
///     prediction[g, s] = sample_mean[s] + mean_scale m[g] + deviation_scale (d[g, s] - mean_s d[g,
///     s])
///
/// A gene's mean and its deviations are separate outputs, each of unit scale, because their
/// variances differ by an order of magnitude. sample_mean, mean_scale and deviation_scale are
/// buffers, saved with the weights: 0, 1 and 1 until set_target_scale().
class GeneHead : public torch::nn::Module {
  public:
    GeneHead(const GeneHeadConfig& config, const StreamShape& tokens, const StreamShape& tower,
             std::int64_t seq_length, std::int64_t num_samples);

    /// -> [G, S] fp32, on the scale of the targets. Without genes the result is empty and carries
    /// no gradient. @throws Error if a gene does not lie in the bases of the trunk's tokens.
    [[nodiscard]] at::Tensor forward(const TrunkOutput& trunk, const at::Tensor& codes,
                                     const GeneQueries& queries);

    /// Sets the scale of the output from the training targets (TargetScale in expression_loss.h).
    /// @throws Error if sample_mean is not [S].
    void set_target_scale(const at::Tensor& sample_mean, double mean_scale, double deviation_scale);

    [[nodiscard]] std::int64_t num_features() const { return num_features_; }
    [[nodiscard]] std::int64_t num_samples() const { return num_samples_; }
    /// Forward operations for `num_genes` genes of `codons_per_gene` codons.
    [[nodiscard]] double flops(double num_genes, double codons_per_gene) const;

  private:
    [[nodiscard]] at::Tensor features(const TrunkOutput& trunk, const at::Tensor& codes,
                                      const GeneQueries& queries);
    [[nodiscard]] at::Tensor drop_tokens(const at::Tensor& tokens) const;

    GeneHeadConfig config_;
    StreamShape tokens_shape_;
    StreamShape tower_shape_;
    std::int64_t seq_length_;
    std::int64_t num_samples_;
    std::int64_t num_features_ = 0;
    std::shared_ptr<CodonEncoder> codons_;
    std::shared_ptr<PromoterEncoder> promoter_;
    std::shared_ptr<NormLayer> norm_;
    torch::nn::Linear linear_{nullptr};
    torch::nn::Linear hidden_{nullptr};
    torch::nn::Linear hidden_out_{nullptr};
    at::Tensor sample_mean_;      // [S]
    at::Tensor mean_scale_;       // []
    at::Tensor deviation_scale_;  // []
};

}  // namespace flagen::models
