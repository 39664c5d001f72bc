#include "apps/runtime/predictor.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "flagen/genomics/gene_spans.h"
#include "flagen/genomics/reference_genome.h"
#include "models/gene_cases.h"

namespace flagen::apps {
namespace {

using models::testing::codes_of;
using models::testing::make_queries;
using models::testing::reverse_complement;

constexpr std::int64_t kLength = 1024;

std::string random_bases(std::size_t length) {
    const at::Tensor draws = torch::randint(0, 4, {static_cast<std::int64_t>(length)}, torch::kLong);
    std::string bases;
    for (std::size_t i = 0; i < length; ++i) {
        bases += "ACGT"[draws[static_cast<std::int64_t>(i)].item<std::int64_t>()];
    }
    return bases;
}

models::ExpressionModel small_model() {
    models::ExpressionModel model(models::ModelConfig::from_json_text(
                                      R"({"seq_length": 1024, "trunk": [
                                          {"name": "conv_dna", "filters": 8, "norm_type": "none", "activation": "relu"},
                                          {"name": "linear_attn", "kind": "scalar", "heads": 2, "key": 4, "value": 8}],
                                         "heads": {"genes": {"hidden": 16, "codons": {"width": 8}, "promoter": {"width": 8,
                                          "upstream_bp": 60, "downstream_bp": 20}}}})",
                                      "test"),
                                  2);
    model->eval();
    return model;
}

// One gene on each strand of a genome of one window; the answer is put together by hand from the two readings.
TEST(Predictor, BothOrientationsAreAveragedFromTheGenesOwnEnd) {
    torch::manual_seed(4);
    models::ExpressionModel model = small_model();
    const std::string bases = random_bases(kLength);
    const auto reference = std::make_shared<const genomics::InMemoryReference>(
        std::vector<genomics::InMemoryReference::Sequence>{{"chr", bases, false}});
    const std::vector<genomics::GeneSpan> genes = {
        {"plus", "chr", 200, 500, genomics::Strand::kForward, {{200, 290}, {320, 500}}},
        {"minus", "chr", 600, 900, genomics::Strand::kReverse, {{600, 900}}}};
    data::EvaluationOptions options;
    options.window_bp = kLength;
    options.stride_bp = kLength;

    const torch::NoGradGuard no_gradients;
    const at::Tensor forward =
        model->forward(codes_of(bases),
                       make_queries({{0, 200, 500, +1, {{200, 290}, {320, 500}}}, {0, 600, 900, -1, {{600, 900}}}}))
            .genes;
    const at::Tensor turned =
        model->forward(codes_of(reverse_complement(bases)),
                       make_queries({{0, 124, 424, +1, {{124, 424}}}, {0, 524, 824, -1, {{524, 704}, {734, 824}}}}))
            .genes.flip(0);  // plus first, as in `forward`

    const auto sense = predict_genes(model, reference, genes, {0, 1}, options);
    EXPECT_TRUE(at::allclose(sense.values[0], forward[0], 1e-5, 1e-6));
    EXPECT_TRUE(at::allclose(sense.values[1], turned[1], 1e-5, 1e-6));

    options.both_orientations = true;
    const auto both = predict_genes(model, reference, genes, {0, 1}, options);
    EXPECT_TRUE(at::allclose(both.values, (forward + turned) / 2, 1e-5, 1e-6)) << both.values << forward << turned;
    EXPECT_FALSE(at::allclose(both.values, sense.values, 1e-3, 1e-4)) << "the two readings differ";
}

}  // namespace
}  // namespace flagen::apps
