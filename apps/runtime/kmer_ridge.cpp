#include "apps/runtime/kmer_ridge.h"

#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "flagen/genomics/gene_spans.h"
#include "flagen/genomics/reference_genome.h"
#include "flagen/genomics/tokenizer.h"
#include "flagen/genomics/window.h"
#include "flagen/models/metrics.h"

namespace flagen::apps {
namespace {

using genomics::GeneSpan;
using genomics::Strand;
using genomics::Window;

// Square roots of the k-mer frequencies of `bases` into `row`, 4^k values that start at zero.
void add_kmers(const std::string& bases, int k, float* row) {
    std::vector<std::uint8_t> codes(bases.size());
    genomics::encode_bases(bases, codes.data());
    const std::uint32_t mask = (1U << (2 * k)) - 1U;
    std::uint32_t kmer = 0;
    int length = 0;
    float count = 0;
    for (const std::uint8_t code : codes) {
        length = code < 4 ? length + 1 : 0;
        kmer = ((kmer << 2) | (code & 3U)) & mask;
        if (length >= k) {
            row[kmer] += 1.0F;
            count += 1.0F;
        }
    }
    for (std::uint32_t i = 0; i <= mask && count > 0; ++i) {
        row[i] = std::sqrt(row[i] / count);
    }
}

Window promoter_of(const GeneSpan& gene, const KmerRidgeOptions& options) {
    const std::int64_t length = options.upstream_bp + options.downstream_bp;
    if (gene.strand == Strand::kReverse) {
        return {gene.contig, gene.end_bp - options.downstream_bp, length, Strand::kReverse};
    }
    return {gene.contig, gene.start_bp - options.upstream_bp, length, Strand::kForward};
}

at::Tensor kmer_features(const std::vector<GeneSpan>& genes, const genomics::ReferenceGenome& reference,
                         const KmerRidgeOptions& options) {
    const std::int64_t num_kmers = std::int64_t{1} << (2 * options.k);
    at::Tensor features = at::zeros({static_cast<std::int64_t>(genes.size()), 2 * num_kmers}, at::kFloat);
    float* row = features.mutable_data_ptr<float>();
    for (const GeneSpan& gene : genes) {
        const Window span{gene.contig, gene.start_bp, gene.end_bp - gene.start_bp, gene.strand};
        add_kmers(genomics::fetch_window(reference, promoter_of(gene, options)).bases, options.k, row);
        add_kmers(genomics::fetch_window(reference, span).bases, options.k, row + num_kmers);
        row += 2 * num_kmers;
    }
    return features;
}

double gene_mean_pearson(const at::Tensor& predicted, const at::Tensor& measured) {
    const at::Tensor x = predicted.to(at::kDouble).mean(1).contiguous();
    const at::Tensor y = measured.to(at::kDouble).nanmean(1).contiguous();
    const auto size = static_cast<std::size_t>(x.numel());
    return models::pearson({x.const_data_ptr<double>(), size}, {y.const_data_ptr<double>(), size});
}

}  // namespace

KmerRidgeResult kmer_ridge(const std::vector<GeneSpan>& genes, const genomics::ReferenceGenome& reference,
                           const at::Tensor& values, const std::vector<std::int64_t>& train_rows,
                           const std::vector<std::int64_t>& valid_rows, const KmerRidgeOptions& options) {
    const at::Tensor train = at::tensor(train_rows, at::kLong);
    const at::Tensor valid = at::tensor(valid_rows, at::kLong);
    at::Tensor features = kmer_features(genes, reference, options);
    features -= features.index_select(0, train).mean(0);

    const at::Tensor train_values = values.index_select(0, train).to(at::kDouble);
    const at::Tensor sample_mean = train_values.nanmean(0);
    const at::Tensor targets = (train_values - sample_mean).nan_to_num(0.0);

    // Fewer genes than k-mers: the dual form solves a system of the size of the training set.
    const at::Tensor cross = at::matmul(features, features.index_select(0, train).t());  // [genes, train]
    const at::Tensor kernel = cross.index_select(0, train).to(at::kDouble);
    const double scale = kernel.diagonal().mean().item<double>();
    const at::Tensor identity = at::eye(kernel.size(0), at::kDouble);

    KmerRidgeResult best;
    double best_score = -std::numeric_limits<double>::infinity();
    for (double exponent = -1.0; exponent <= 1.5; exponent += 0.5) {
        const double penalty = scale * std::pow(10.0, exponent);
        const at::Tensor weights =
            at::cholesky_solve(targets, at::linalg_cholesky(kernel + penalty * identity)).to(at::kFloat);
        const at::Tensor predicted = at::matmul(cross, weights) + sample_mean.to(at::kFloat);
        const double score = valid_rows.empty()
                                 ? 0.0
                                 : gene_mean_pearson(predicted.index_select(0, valid), values.index_select(0, valid));
        if (score > best_score) {
            best_score = score;
            best = {predicted, penalty};
        }
    }
    return best;
}

}  // namespace flagen::apps
