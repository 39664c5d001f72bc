#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace flagen::genomics {
struct GeneSpan;
class ReferenceGenome;
}  // namespace flagen::genomics

namespace flagen::apps {

/// A baseline that any window model must beat: ridge regression of expression on k-mers.
///
/// Features of a gene, on its own strand: square roots of the k-mer frequencies of the promoter
/// (upstream_bp before to downstream_bp after the first base) and, separately, of the span. k-mers
/// that hold N do not count. The penalty is the one with the best Pearson r of the gene means over
/// the validation genes.
struct KmerRidgeOptions {
    int k = 6;
    std::int64_t upstream_bp = 500;
    std::int64_t downstream_bp = 100;
};

struct KmerRidgeResult {
    at::Tensor predicted;  ///< [genes, S] fp32, for every gene
    double penalty = 0.0;
};

/// Fits on `train_rows`, chooses the penalty on `valid_rows`, predicts every gene.
/// @param values [genes, S] fp32, NaN = missing (a gene's missing values count as the sample's mean)
[[nodiscard]] KmerRidgeResult kmer_ridge(const std::vector<genomics::GeneSpan>& genes,
                                         const genomics::ReferenceGenome& reference, const at::Tensor& values,
                                         const std::vector<std::int64_t>& train_rows,
                                         const std::vector<std::int64_t>& valid_rows,
                                         const KmerRidgeOptions& options = {});

}  // namespace flagen::apps
