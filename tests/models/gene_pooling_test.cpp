#include "flagen/models/gene_pooling.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <vector>

#include "flagen/error.h"
#include "models/gene_cases.h"
#include "models/gradient_check.h"

namespace flagen::models {
namespace {

using testing::GeneCase;
using testing::make_queries;

constexpr std::int64_t kBp = 32;
constexpr std::int64_t kTokens = 20;
constexpr std::int64_t kLength = kBp * kTokens;
const StreamShape kShape{Layout::kTokens, kTokens, 3, kBp};

/// Both strands, whole and partial tokens, within one token, at both edges, pieces, no pieces.
std::vector<GeneCase> some_genes() {
    return {{0, 64, 128, +1, {{64, 128}}},   {0, 70, 201, -1, {{70, 90}, {150, 201}}},
            {1, 0, 45, +1, {{0, 45}}},       {1, 600, kLength, -1, {{600, kLength}}},
            {1, 330, 340, +1, {{330, 340}}}, {0, 0, kLength, -1, {}},
            {1, 100, 400, +1, {{101, 399}}}};
}

/// Base by base: every base of the stretch that lies in the window brings its token's value.
at::Tensor naive_pool(const at::Tensor& tokens, const GeneCase& gene, const GenePool& pool) {
    std::vector<std::int64_t> positions;
    if (pool.anchor == PoolAnchor::kPieces) {
        for (const auto& [first, last] : gene.pieces) {
            for (std::int64_t base = first; base < last; ++base) {
                positions.push_back(base);
            }
        }
    } else {
        const std::int64_t length = gene.end_bp - gene.start_bp;
        const std::int64_t first = pool.anchor == PoolAnchor::kEnd ? length : 0;
        const std::int64_t last = pool.anchor == PoolAnchor::kStart ? 0 : length;
        for (std::int64_t i = first + pool.from_bp; i < last + pool.to_bp; ++i) {
            // i counts downstream from the first transcribed base.
            positions.push_back(gene.strand > 0 ? gene.start_bp + i : gene.end_bp - 1 - i);
        }
    }
    at::Tensor sum = torch::zeros({tokens.size(2)}, torch::kDouble);
    for (const std::int64_t base : positions) {
        if (base >= 0 && base < kLength) {
            sum += tokens[gene.window][base / kBp];
        }
    }
    return positions.empty() ? sum : sum / static_cast<double>(positions.size());
}

TEST(GenePool, EqualsAMeanOverBases) {
    torch::manual_seed(20);
    const at::Tensor tokens = torch::randn({2, kTokens, 3}, torch::kDouble);
    const std::vector<GeneCase> genes = some_genes();
    const GeneQueries queries = make_queries(genes);
    std::vector<GenePool> pools = default_gene_pools();
    pools.push_back({PoolAnchor::kPieces, 0, 0});
    pools.push_back({PoolAnchor::kSpan, -40, 7});
    for (const GenePool& pool : pools) {
        const at::Tensor found = sum_rows(tokens, plan_gene_pool(queries, pool, kShape));
        ASSERT_EQ(found.sizes(), (std::vector<std::int64_t>{7, 3}));
        for (std::size_t g = 0; g < genes.size(); ++g) {
            EXPECT_TRUE(torch::allclose(found[static_cast<std::int64_t>(g)],
                                        naive_pool(tokens, genes[g], pool), 1e-10, 1e-12))
                << "gene " << g << " anchor " << static_cast<int>(pool.anchor) << " from "
                << pool.from_bp;
        }
    }
}

TEST(GenePool, DefaultListIsTheDocumentedOne) {
    EXPECT_EQ(default_gene_pools().size(), 8U);
    EXPECT_EQ(default_gene_pools()[1].from_bp, -256);
    EXPECT_EQ(default_gene_pools()[7].anchor, PoolAnchor::kEnd);
}

TEST(GenePool, StretchOutsideTheWindowIsZero) {
    const GeneQueries queries = make_queries({{0, 0, 30, +1, {}}, {0, 600, kLength, +1, {}}});
    const at::Tensor ones = torch::ones({1, kTokens, 1});
    const at::Tensor before =
        sum_rows(ones, plan_gene_pool(queries, {PoolAnchor::kStart, -1500, 0}, kShape));
    EXPECT_EQ(before[0].item<float>(), 0.0F);
    EXPECT_FLOAT_EQ(before[1].item<float>(), 600.0F / 1500.0F);  // 900 bp lie outside: zeros
}

TEST(GenePool, GradientIsExactAndTheSameForAnyThreads) {
    torch::manual_seed(21);
    at::Tensor tokens = torch::randn({2, kTokens, 3}, torch::kDouble).requires_grad_(true);
    const RowSums sums = plan_gene_pool(make_queries(some_genes()), GenePool{}, kShape);
    const auto loss = [&] {
        const at::Tensor y = sum_rows(tokens, sums);
        return (y * testing::probe_like(y)).sum();
    };
    testing::expect_gradients(loss, {{"tokens", tokens}}, 40);
    const int threads = at::get_num_threads();
    const at::Tensor wide = torch::randn({2, kTokens, 64});
    std::vector<at::Tensor> gradients;
    for (const int count : {1, 2, 2}) {
        at::set_num_threads(count);
        at::Tensor leaf = wide.clone().requires_grad_(true);
        sum_rows(leaf, sums).square().sum().backward();
        gradients.push_back(leaf.grad());
    }
    at::set_num_threads(threads);
    EXPECT_TRUE(torch::equal(gradients[0], gradients[1]));
    EXPECT_TRUE(torch::equal(gradients[1], gradients[2]));
}

TEST(GeneQueries, EveryBrokenRuleIsNamed) {
    const auto message = [](const GeneCase& gene) -> std::string {
        try {
            check_gene_queries(make_queries({gene}), 2, kLength);
        } catch (const Error& error) {
            return error.what();
        }
        return "accepted";
    };
    EXPECT_EQ(message({1, 0, kLength, -1, {}}), "accepted");
    EXPECT_EQ(message({1, 0, kLength, -1, {{0, 5}, {5, kLength}}}), "accepted");
    for (const auto& [gene, part] : std::vector<std::pair<GeneCase, std::string>>{
             {{2, 0, 9, 1, {}}, "window 2 of 2"},
             {{0, -1, 9, 1, {}}, "[-1, 9)"},
             {{0, 9, 9, 1, {}}, "[9, 9)"},
             {{0, 9, kLength + 1, 1, {}}, "of a window of 640"},
             {{0, 0, 9, 0, {}}, "strand 0"},
             {{0, 3, 9, 1, {{2, 5}}}, "[2, 5)"},
             {{0, 3, 9, 1, {{5, 10}}}, "[5, 10)"},
             {{0, 3, 9, 1, {{5, 7}, {6, 8}}}, "[6, 8)"}}) {
        EXPECT_NE(message(gene).find(part), std::string::npos) << message(gene);
    }
    GeneQueries queries = make_queries({{0, 0, 9, 1, {}}});
    queries.strand = queries.strand.to(torch::kInt32);
    EXPECT_THROW(check_gene_queries(queries, 2, kLength), Error);
}

}  // namespace
}  // namespace flagen::models
