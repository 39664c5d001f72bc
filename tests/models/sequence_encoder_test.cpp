#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>
#include <vector>

#include "flagen/models/codon_encoder.h"
#include "flagen/models/promoter_encoder.h"
#include "models/gene_cases.h"
#include "models/gradient_check.h"

namespace flagen::models {
namespace {

using testing::codes_of;
using testing::make_queries;
using testing::reverse_complement;

//                           0         1         2         3
//                           0123456789012345678901234567890123456
const std::string kBases = "GGATGAAACCCTTTGGGTAANCGATCGTTAGCATTTC";

std::vector<std::int64_t> codon_numbers(const std::string& spliced) {
    std::vector<std::int64_t> numbers;
    for (std::size_t i = 0; i + 3 <= spliced.size(); i += 3) {
        std::int64_t number = 0;
        for (std::size_t j = 0; j < 3; ++j) {
            const std::size_t code = std::string("ACGTN").find(spliced[i + j]);
            number = code < 4 && number < 64 ? number * 4 + static_cast<std::int64_t>(code) : 999;
        }
        numbers.push_back(number > 63 ? 64 : number);
    }
    return numbers;
}

std::vector<std::int64_t> to_vector(const at::Tensor& x) {
    const at::Tensor values = x.contiguous();
    return {values.const_data_ptr<std::int64_t>(),
            values.const_data_ptr<std::int64_t>() + values.numel()};
}

/// Codons of gene g as the rows give them.
std::vector<std::int64_t> codons_of_gene(const at::Tensor& codes, const CodonRows& rows,
                                         std::int64_t g) {
    return to_vector(
        read_codons(codes, rows)
            .narrow(0, rows.first[g].item<std::int64_t>(), rows.count[g].item<std::int64_t>()));
}

TEST(PlanCodons, ReadsPiecesInFrameOnBothStrands) {
    const at::Tensor codes = codes_of(kBases);
    const GeneQueries queries = make_queries({{0, 2, 20, +1, {{2, 20}}},
                                              {0, 2, 31, +1, {{2, 7}, {12, 20}, {25, 31}}},
                                              {0, 2, 31, -1, {{2, 7}, {12, 20}, {25, 31}}},
                                              {0, 5, 30, +1, {}},
                                              {0, 5, 7, -1, {{5, 7}}},
                                              {0, 17, 37, +1, {{17, 37}}}});
    const CodonRows rows = plan_codons(queries, codes.size(1), 1000, 2);
    const auto bases = [](std::size_t start, std::size_t end) {
        return kBases.substr(start, end - start);
    };
    const std::string spliced = bases(2, 7) + bases(12, 20) + bases(25, 31);
    EXPECT_EQ(codons_of_gene(codes, rows, 0), codon_numbers("ATGAAACCCTTTGGGTAA"));
    EXPECT_EQ(codons_of_gene(codes, rows, 0)[0], 0 * 16 + 3 * 4 + 2);  // ATG
    EXPECT_EQ(codons_of_gene(codes, rows, 1), codon_numbers(spliced));
    EXPECT_EQ(codons_of_gene(codes, rows, 2), codon_numbers(reverse_complement(spliced)));
    EXPECT_EQ(rows.count[1].item<std::int64_t>(), 6);  // 19 bases: one left over
    EXPECT_EQ(rows.count[3].item<std::int64_t>(), 0);
    EXPECT_EQ(rows.count[4].item<std::int64_t>(), 0);
    EXPECT_EQ(codons_of_gene(codes, rows, 5), codon_numbers(bases(17, 37)));
    EXPECT_EQ(codons_of_gene(codes, rows, 5)[1], 64);  // holds the N
    // Six genes, 6 + 6 + 6 + 0 + 0 + 6 codons, two rows of padding behind each.
    EXPECT_EQ(rows.is_codon.size(0), 24 + 12);
    EXPECT_EQ(rows.is_codon.sum().item<std::int64_t>(), 24);
}

TEST(PlanCodons, ReverseStrandEqualsTheReversedWindow) {
    const std::int64_t length = static_cast<std::int64_t>(kBases.size());
    const CodonRows plus =
        plan_codons(make_queries({{0, 3, 31, +1, {{3, 9}, {20, 31}}}}), length, 1000, 1);
    const CodonRows minus =
        plan_codons(make_queries({{0,
                                   length - 31,
                                   length - 3,
                                   -1,
                                   {{length - 31, length - 20}, {length - 9, length - 3}}}}),
                    length, 1000, 1);
    EXPECT_EQ(codons_of_gene(codes_of(kBases), plus, 0),
              codons_of_gene(codes_of(reverse_complement(kBases)), minus, 0));
}

TEST(PlanCodons, StopsAtTheLimit) {
    const GeneQueries queries = make_queries({{0, 2, 20, +1, {{2, 6}, {6, 20}}}});
    EXPECT_EQ(plan_codons(queries, 37, 4, 1).count[0].item<std::int64_t>(), 4);
}

TEST(CodonEncoder, EqualsGeneByGeneEvaluation) {
    torch::manual_seed(22);
    CodonOptions options;
    options.width = 5;
    options.kernel = 5;
    options.first = 2;
    CodonEncoder encoder(options);
    encoder.to(torch::kDouble);
    encoder.eval();
    const at::Tensor codes = codes_of(kBases);
    const std::vector<testing::GeneCase> genes = {{0, 2, 20, +1, {{2, 20}}},
                                                  {0, 5, 30, -1, {}},
                                                  {0, 2, 31, -1, {{2, 7}, {12, 20}, {25, 31}}},
                                                  {0, 31, 37, +1, {{31, 37}}}};
    const torch::NoGradGuard no_grad;
    const at::Tensor found = encoder.forward(codes, make_queries(genes));
    ASSERT_EQ(found.sizes(), (std::vector<std::int64_t>{4, encoder.num_features()}));
    const auto parameters = encoder.named_parameters();
    for (std::int64_t g = 0; g < 4; ++g) {
        std::string spliced;
        for (const auto& [first, last] : genes[static_cast<std::size_t>(g)].pieces) {
            spliced += kBases.substr(static_cast<std::size_t>(first),
                                     static_cast<std::size_t>(last - first));
        }
        if (genes[static_cast<std::size_t>(g)].strand < 0) {
            spliced = reverse_complement(spliced);
        }
        const std::vector<std::int64_t> codons = codon_numbers(spliced);
        if (codons.empty()) {
            EXPECT_EQ(found[g].abs().sum().item<double>(), 0.0);
            continue;
        }
        const at::Tensor e = parameters["embedding"].index_select(
            0, torch::tensor(codons, torch::kInt64));  // [codons, width]
        const auto convolve = [&](const at::Tensor& x, const std::string& name) {
            return at::gelu(at::conv1d(x.t().unsqueeze(0), parameters[name + ".weight"],
                                       parameters[name + ".bias"], 1, 2))[0]
                .t();
        };
        const at::Tensor h1 = convolve(e, "conv_0");
        const at::Tensor h2 = convolve(h1, "conv_1");
        const at::Tensor expected =
            at::cat({e.mean(0), h1.mean(0), h2.mean(0), h2.narrow(0, 0, 2).mean(0)});
        EXPECT_TRUE(torch::allclose(found[g], expected, 1e-9, 1e-11)) << "gene " << g;
    }
}

TEST(CodonEncoder, HasExactGradients) {
    torch::manual_seed(23);
    CodonOptions options;
    options.width = 3;
    CodonEncoder encoder(options);
    encoder.to(torch::kDouble);
    encoder.eval();
    const at::Tensor codes = codes_of(kBases);
    const GeneQueries queries =
        make_queries({{0, 2, 20, +1, {{2, 20}}}, {0, 2, 31, -1, {{2, 7}, {12, 20}, {25, 31}}}});
    const auto loss = [&] {
        const at::Tensor y = encoder.forward(codes, queries);
        return (y * testing::probe_like(y)).sum();
    };
    testing::expect_gradients(loss, testing::named_leaves(encoder), 12);
}

TEST(CodonEncoder, LeavesAShareOfTheCodonsOutInTraining) {
    torch::manual_seed(24);
    CodonOptions options;
    options.width = 1;
    options.first = 0;
    options.dropout = 0.3;
    CodonEncoder encoder(options);
    {
        const torch::NoGradGuard no_grad;
        encoder.named_parameters()["embedding"].copy_(torch::arange(65.0).unsqueeze(1));
    }
    // One gene of 1,000 codons AAA (0) and 1,000 TTT (63): a mean of kept codons near 31.5.
    const std::string bases = std::string(3000, 'A') + std::string(3000, 'T');
    options.max_codons = 2000;
    const GeneQueries queries = make_queries({{0, 0, 6000, +1, {{0, 6000}}}});
    CodonEncoder wide(options);
    {
        const torch::NoGradGuard no_grad;
        wide.named_parameters()["embedding"].copy_(torch::arange(65.0).unsqueeze(1));
    }
    const torch::NoGradGuard no_grad;
    const auto embedding_mean = [&] {
        return wide.forward(codes_of(bases), queries)[0][0].item<float>();
    };
    const float first = embedding_mean();
    EXPECT_NEAR(first, 31.5F, 3.0F);
    EXPECT_NE(first, embedding_mean());
    wide.eval();
    EXPECT_FLOAT_EQ(embedding_mean(), 31.5F);
    encoder.eval();  // reads the first 1,000 codons only
    EXPECT_FLOAT_EQ(encoder.forward(codes_of(bases), queries)[0][0].item<float>(), 0.0F);
}

TEST(ReadPromoters, FollowsTheGeneAndPadsWithN) {
    const at::Tensor codes = codes_of(kBases);
    const auto length = static_cast<std::int64_t>(kBases.size());
    const GeneQueries queries = make_queries(
        {{0, 10, 20, +1, {}}, {0, 10, 20, -1, {}}, {0, 2, 20, +1, {}}, {0, 20, length, -1, {}}});
    const at::Tensor found = read_promoters(codes, queries, 5, 3);
    const std::vector<std::string> expected = {
        kBases.substr(5, 8), reverse_complement(kBases.substr(17, 8)), "NNN" + kBases.substr(0, 5),
        "NNNNN" + reverse_complement(kBases.substr(static_cast<std::size_t>(length) - 3, 3))};
    for (std::int64_t g = 0; g < 4; ++g) {
        EXPECT_TRUE(torch::equal(found[g], codes_of(expected[static_cast<std::size_t>(g)])[0]))
            << "gene " << g;
    }
}

TEST(PromoterEncoder, HasTheDocumentedShapeAndGradients) {
    torch::manual_seed(25);
    PromoterOptions options;
    options.width = 3;
    options.upstream_bp = 9;
    options.downstream_bp = 3;
    options.bins = 4;
    options.dropout = 0.0;
    PromoterEncoder encoder(options);
    encoder.to(torch::kDouble);
    const at::Tensor codes = codes_of(kBases);
    const GeneQueries queries = make_queries({{0, 10, 20, +1, {}}, {0, 10, 30, -1, {}}});
    const auto loss = [&] {
        const at::Tensor y = encoder.forward(codes, queries);
        return (y * testing::probe_like(y)).sum();
    };
    ASSERT_EQ(encoder.forward(codes, queries).sizes(), (std::vector<std::int64_t>{2, 12}));
    testing::expect_gradients(loss, testing::named_leaves(encoder), 10);
}

}  // namespace
}  // namespace flagen::models
