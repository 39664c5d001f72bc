#pragma once

#include <torch/nn/modules/conv.h>

#include "flagen/models/gene_head_config.h"
#include "flagen/models/gene_queries.h"

namespace flagen::models {

/// Codes around each gene's 5' end, read in the gene's direction: [G, upstream + downstream] uint8;
/// 4 (N) beyond the window. codes: uint8 [B, L].
[[nodiscard]] at::Tensor read_promoters(const at::Tensor& codes, const GeneQueries& queries,
                                        std::int64_t upstream_bp, std::int64_t downstream_bp);

/// Features of the bases around a gene's 5' end: one-hot -> convolution of 11 bases, ReLU, dropout,
/// convolution of 5, ReLU -> averages over equal bins: [G, width * bins].
class PromoterEncoder : public torch::nn::Module {
  public:
    explicit PromoterEncoder(const PromoterOptions& options);

    [[nodiscard]] at::Tensor forward(const at::Tensor& codes, const GeneQueries& queries);
    [[nodiscard]] std::int64_t num_features() const { return options_.width * options_.bins; }
    [[nodiscard]] double flops_per_gene() const;

  private:
    PromoterOptions options_;
    torch::nn::Conv1d conv_0_{nullptr};
    torch::nn::Conv1d conv_1_{nullptr};
};

}  // namespace flagen::models
