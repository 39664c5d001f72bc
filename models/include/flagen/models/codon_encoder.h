#pragma once

#include <torch/nn/modules/conv.h>

#include "flagen/models/gene_head_config.h"
#include "flagen/models/gene_queries.h"

namespace flagen::models {

/// The codons of all genes of a batch, one gene after another with rows of padding between, so that
/// one convolution runs over all of them without mixing genes. N rows in all.
struct CodonRows {
    at::Tensor base;        ///< [N, 3] int64, index into the codes [B * L]; 0 in padding rows.
    at::Tensor complement;  ///< [N, 1] bool, whether the bases are to be complemented.
    at::Tensor is_codon;    ///< [N] bool, false in padding rows.
    at::Tensor first;       ///< [G] int64, row of each gene's first codon.
    at::Tensor count;  ///< [G] int64, its codons; 0 without pieces, or with fewer than three bases.
};

/// Walks the pieces of each gene in its direction and cuts them into codons from the first base on;
/// one or two bases left over at the end are dropped. `padding` rows follow each gene.
[[nodiscard]] CodonRows plan_codons(const GeneQueries& queries, std::int64_t seq_length,
                                    std::int64_t max_codons, std::int64_t padding);

/// Codon numbers 16 a + 4 b + c of the rows, 64 where a base is N and in padding: [N] int64.
[[nodiscard]] at::Tensor read_codons(const at::Tensor& codes, const CodonRows& rows);

/// Features of a gene's coding sequence, read in frame:
///
///     e = embedding(codons)      h1 = gelu(conv(e))      h2 = gelu(conv(h1))
///     [ mean e | mean h1 | mean h2 | mean h2 over the first codons ]         [G, num_features()]
///
/// In training a share of the codons is left out of the means at random. A gene without codons gets
/// zeros.
class CodonEncoder : public torch::nn::Module {
  public:
    explicit CodonEncoder(const CodonOptions& options);

    /// codes uint8 [B, L] -> [G, num_features()].
    [[nodiscard]] at::Tensor forward(const at::Tensor& codes, const GeneQueries& queries);
    [[nodiscard]] std::int64_t num_features() const;
    /// For `num_codons` codons in all.
    [[nodiscard]] double flops(double num_codons) const;

  private:
    CodonOptions options_;
    at::Tensor embedding_;  // [65, width]
    torch::nn::Conv1d conv_0_{nullptr};
    torch::nn::Conv1d conv_1_{nullptr};
};

}  // namespace flagen::models
