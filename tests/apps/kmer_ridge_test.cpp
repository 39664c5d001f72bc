#include "apps/runtime/kmer_ridge.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "flagen/genomics/gene_spans.h"
#include "flagen/genomics/reference_genome.h"

namespace flagen::apps {
namespace {

struct Problem {
    std::vector<genomics::GeneSpan> genes;
    genomics::InMemoryReference reference;
    at::Tensor values;
    std::vector<std::int64_t> train, valid;
};

constexpr std::int64_t kNumGenes = 60;
constexpr std::int64_t kGeneBp = 200;

Problem make_problem() {
    std::mt19937 random(5);
    std::string bases;
    std::vector<genomics::GeneSpan> genes;
    at::Tensor values = at::empty({kNumGenes, 2}, at::kFloat);
    Problem problem{{}, genomics::InMemoryReference({}), values, {}, {}};
    for (std::int64_t g = 0; g < kNumGenes; ++g) {
        const double gc = std::uniform_real_distribution<>(0.2, 0.8)(random);
        for (std::int64_t i = 0; i < kGeneBp; ++i) {
            const bool strong = std::uniform_real_distribution<>(0, 1)(random) < gc;
            bases += strong ? "GC"[random() % 2] : "AT"[random() % 2];
        }
        genes.push_back({std::string("g").append(std::to_string(g)), "chr", g * kGeneBp, (g + 1) * kGeneBp,
                         g % 2 == 0 ? genomics::Strand::kForward : genomics::Strand::kReverse, {}});
        values[g][0] = gc;
        values[g][1] = -2.0 * gc;
        (g % 3 == 0 ? problem.valid : problem.train).push_back(g);
    }
    problem.genes = genes;
    problem.reference = genomics::InMemoryReference({{"chr", bases, false}});
    return problem;
}

KmerRidgeOptions small_options() {
    KmerRidgeOptions options;
    options.k = 2;
    options.upstream_bp = 20;
    options.downstream_bp = 10;
    return options;
}

// The primal solution, written the textbook way in fp64 with features counted letter by letter.
at::Tensor direct_ridge(const Problem& problem, double penalty) {
    const auto letters = std::string("ACGT");
    const auto complement = [&](char c) { return letters[3 - letters.find(c)]; };
    const std::int64_t length = problem.reference.contigs().at(0).length_bp;
    at::Tensor features = at::zeros({kNumGenes, 32}, at::kDouble);
    for (std::int64_t g = 0; g < kNumGenes; ++g) {
        const auto& gene = problem.genes[static_cast<std::size_t>(g)];
        const bool reverse = gene.strand == genomics::Strand::kReverse;
        const auto add = [&](std::int64_t from, std::int64_t to, std::int64_t column) {  // in gene direction
            std::string text;
            for (std::int64_t i = from; i < to; ++i) {
                const std::int64_t p = reverse ? gene.end_bp - 1 - i : gene.start_bp + i;
                text += p < 0 || p >= length
                            ? 'N'
                            : reverse ? complement(problem.reference.fetch({"chr", p, p + 1})[0])
                                      : problem.reference.fetch({"chr", p, p + 1})[0];
            }
            double count = 0;
            for (std::size_t i = 0; i + 1 < text.size(); ++i) {
                if (text[i] != 'N' && text[i + 1] != 'N') {
                    const auto kmer = letters.find(text[i]) * 4 + letters.find(text[i + 1]);
                    features[g][column + static_cast<std::int64_t>(kmer)] += 1.0;
                    count += 1.0;
                }
            }
            features[g].slice(0, column, column + 16).div_(std::max(count, 1.0));
        };
        add(-20, 10, 0);
        add(0, kGeneBp, 16);
    }
    features = features.sqrt();
    const at::Tensor train = at::tensor(problem.train, at::kLong);
    features = features - features.index_select(0, train).mean(0);
    const at::Tensor x = features.index_select(0, train);
    const at::Tensor y = problem.values.index_select(0, train).to(at::kDouble);
    const at::Tensor gram = at::matmul(x.t(), x) + penalty * at::eye(32, at::kDouble);
    const at::Tensor weights = at::linalg_solve(gram, at::matmul(x.t(), y - y.mean(0)));
    return at::matmul(features, weights) + y.mean(0);
}

TEST(KmerRidge, EqualsThePrimalSolution) {
    const Problem problem = make_problem();
    const auto result = kmer_ridge(problem.genes, problem.reference, problem.values, problem.train, problem.valid,
                                   small_options());
    const at::Tensor expected = direct_ridge(problem, result.penalty);
    EXPECT_LT((result.predicted.to(at::kDouble) - expected).abs().max().item<double>(), 2e-4);
}

TEST(KmerRidge, MissingValuesCountAsTheSamplesMean) {
    Problem problem = make_problem();
    problem.values[1][0] = std::nan("");
    const auto result = kmer_ridge(problem.genes, problem.reference, problem.values, problem.train, problem.valid,
                                   small_options());
    EXPECT_TRUE(result.predicted.isfinite().all().item<bool>());
}

}  // namespace
}  // namespace flagen::apps
