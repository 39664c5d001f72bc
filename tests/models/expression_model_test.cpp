#include "flagen/models/expression_model.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>
#include <vector>

#include "flagen/error.h"
#include "flagen/models/model_summary.h"
#include "models/gene_cases.h"

namespace flagen::models {
namespace {

using testing::make_queries;

constexpr std::int64_t kLength = 2048;
constexpr std::int64_t kSamples = 3;

ModelConfig small_config(const std::string& mixer = R"("kind": "scalar")") {
    return ModelConfig::from_json_text(
        R"({"seq_length": 2048, "trunk": [
            {"name": "conv_dna", "filters": 8, "norm_type": "batch", "activation": "relu"},
            {"name": "conv_tower", "filters": [12, 16]},
            {"name": "linear_attn", "heads": 2, "key": 4, "value": 8, "dropout": 0.1, )" +
            mixer + R"(}],
           "heads": {"genes": {"hidden": 16, "codons": {"width": 8}, "promoter": {"width": 8}}}})",
        "test");
}

GeneQueries some_genes() {
    return make_queries({{0, 100, 700, +1, {{100, 700}}},
                         {0, 900, 1503, -1, {{900, 1200}, {1260, 1503}}},
                         {1, 0, 333, +1, {}},
                         {1, 1500, kLength, -1, {{1500, kLength}}}});
}

at::Tensor some_codes() { return torch::randint(0, 5, {2, kLength}, torch::kByte); }

TEST(ExpressionModel, MapsWindowsToGenes) {
    torch::manual_seed(30);
    ExpressionModel model(small_config(), kSamples);
    const at::Tensor y = model->forward(some_codes(), some_genes()).genes;
    EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{4, kSamples}));
    EXPECT_EQ(y.scalar_type(), at::kFloat);
    EXPECT_TRUE(y.isfinite().all().item<bool>());
    const auto parameters = model->named_parameters();
    EXPECT_TRUE(parameters.contains("trunk.2_linear_attn.mixer.forward_scan.qkv_proj.weight"));
    EXPECT_TRUE(model->named_buffers().contains("trunk.1_conv_tower.norm_0.running_mean"));
    EXPECT_TRUE(model->named_buffers().contains("genes.sample_mean"));
}

TEST(ExpressionModel, EveryParameterGetsAGradient) {
    torch::manual_seed(31);
    ExpressionModel model(small_config(), kSamples);
    model->forward(some_codes(), some_genes()).genes.square().sum().backward();
    for (const auto& item : model->named_parameters()) {
        ASSERT_TRUE(item.value().grad().defined()) << item.key();
        EXPECT_GT(item.value().grad().abs().sum().item<float>(), 0.0F) << item.key();
    }
}

TEST(ExpressionModel, WindowsOfABatchDoNotMix) {
    torch::manual_seed(32);
    ExpressionModel model(small_config(), kSamples);
    model->eval();
    const torch::NoGradGuard no_grad;
    const at::Tensor codes = some_codes();
    const at::Tensor both = model->forward(codes, some_genes()).genes;
    const GeneQueries of_second =
        make_queries({{0, 0, 333, +1, {}}, {0, 1500, kLength, -1, {{1500, kLength}}}});
    const at::Tensor second = model->forward(codes.narrow(0, 1, 1), of_second).genes;
    EXPECT_TRUE(torch::allclose(both.narrow(0, 2, 2), second, 1e-5, 1e-6));
}

TEST(ExpressionModel, RejectsWrongInput) {
    ExpressionModel model(small_config(), kSamples);
    EXPECT_THROW((void)model->forward(torch::zeros({1, 1024}, torch::kByte), some_genes()), Error);
    EXPECT_THROW((void)model->forward(torch::zeros({2, kLength}), some_genes()), Error);
    EXPECT_THROW((void)model->forward(some_codes().narrow(0, 0, 1), some_genes()), Error);
    const at::Tensor none = model->forward(some_codes(), make_queries({})).genes;
    EXPECT_EQ(none.sizes(), (std::vector<std::int64_t>{0, kSamples}));
}

TEST(ExpressionModel, PutsTheOutputOnTheScaleOfTheTargets) {
    torch::manual_seed(33);
    ExpressionModel model(small_config(), kSamples);
    model->eval();
    const torch::NoGradGuard no_grad;
    const at::Tensor codes = some_codes();
    const at::Tensor plain = model->forward(codes, some_genes()).genes;
    const at::Tensor mean = torch::tensor({1.0F, 2.0F, 4.0F});
    model->genes().set_target_scale(mean, 10.0, 100.0);
    const at::Tensor scaled = model->forward(codes, some_genes()).genes;
    const at::Tensor gene_mean = plain.mean(1, true);
    EXPECT_TRUE(
        torch::allclose(scaled, mean + 10.0 * gene_mean + 100.0 * (plain - gene_mean), 1e-4, 1e-4));
    EXPECT_THROW(model->genes().set_target_scale(torch::zeros({2}), 1.0, 1.0), Error);
}

TEST(ExpressionModel, NamedTensorsAreTheWholeState) {
    torch::manual_seed(34);
    ExpressionModel first(small_config(), kSamples);
    const at::Tensor codes = some_codes();
    (void)first->forward(codes, some_genes());  // moves the running statistics
    first->genes().set_target_scale(torch::ones({kSamples}), 2.0, 3.0);
    ExpressionModel second(small_config(), kSamples);
    first->eval();
    second->eval();
    const torch::NoGradGuard no_grad;
    EXPECT_FALSE(torch::equal(first->forward(codes, some_genes()).genes,
                              second->forward(codes, some_genes()).genes));
    const auto parameters = first->named_parameters();
    for (auto& item : second->named_parameters()) {
        item.value().copy_(parameters[item.key()]);
    }
    const auto buffers = first->named_buffers();
    for (auto& item : second->named_buffers()) {
        item.value().copy_(buffers[item.key()]);
    }
    EXPECT_TRUE(torch::equal(first->forward(codes, some_genes()).genes,
                             second->forward(codes, some_genes()).genes));
}

/// Every gradient of one training step from a fixed seed, and the buffers after it.
std::vector<at::Tensor> run_step(const ModelConfig& config) {
    torch::manual_seed(35);
    ExpressionModel model(config, kSamples);
    model->forward(some_codes(), some_genes()).genes.square().sum().backward();
    std::vector<at::Tensor> tensors;
    for (const at::Tensor& parameter : model->parameters()) {
        tensors.push_back(parameter.grad());
    }
    for (const at::Tensor& buffer : model->buffers()) {
        tensors.push_back(buffer.clone());
    }
    return tensors;
}

TEST(ExpressionModel, RepeatsToTheBitOnTwoThreads) {
    const int threads = at::get_num_threads();
    at::set_num_threads(2);
    for (const char* kind : {"linear", "scalar", "ssd", "gla", "deltanet", "gated_deltanet"}) {
        const ModelConfig config = small_config(R"("kind": ")" + std::string(kind) + '"');
        const std::vector<at::Tensor> first = run_step(config);
        const std::vector<at::Tensor> second = run_step(config);
        ASSERT_EQ(first.size(), second.size());
        for (std::size_t i = 0; i < first.size(); ++i) {
            EXPECT_TRUE(torch::equal(first[i], second[i])) << kind << " tensor " << i;
        }
    }
    at::set_num_threads(threads);
}

TEST(ExpressionModel, LearnsATinyTask) {
    torch::manual_seed(36);
    ModelConfig config = small_config(R"("kind": "gated_deltanet")");
    config.genes->token_dropout = 0.0;
    config.genes->dropout = 0.0;
    config.genes->hidden_dropout = 0.0;
    ExpressionModel model(config, 1);
    torch::optim::Adam optimizer(model->parameters(), torch::optim::AdamOptions(3e-3));
    // Expression is the share of G and C in the gene, which each window sets at random.
    const GeneQueries queries = make_queries({{0, 64, 512, +1, {{64, 512}}},
                                              {0, 600, 1100, -1, {{600, 1100}}},
                                              {0, 1200, 1900, +1, {{1200, 1900}}}});
    const std::vector<std::pair<std::int64_t, std::int64_t>> spans = {
        {64, 512}, {600, 1100}, {1200, 1900}};
    double first = 0;
    double last = 0;
    constexpr int kSteps = 80;
    for (int step = 0; step < kSteps; ++step) {
        at::Tensor codes = torch::randint(0, 4, {1, kLength}, torch::kByte);
        std::vector<float> target;
        for (const auto& [start, end] : spans) {
            const double share = torch::rand({}).item<double>();
            const at::Tensor strong = torch::rand({end - start}).lt(share);
            const at::Tensor coin = torch::rand({end - start}).lt(0.5);
            const at::Tensor bases =
                torch::where(strong, torch::where(coin, 1, 2), torch::where(coin, 0, 3));
            codes[0].slice(0, start, end).copy_(bases.to(torch::kByte));
            target.push_back(static_cast<float>(4.0 * share - 2.0));
        }
        optimizer.zero_grad();
        const at::Tensor y = model->forward(codes, queries).genes.select(1, 0);
        const at::Tensor loss = (y - torch::tensor(target)).square().mean();
        loss.backward();
        optimizer.step();
        (step < 10 ? first : last) += step < 10 || step >= kSteps - 10 ? loss.item<double>() : 0.0;
    }
    EXPECT_LT(last, 0.35 * first) << "first ten steps " << first / 10 << ", last ten " << last / 10;
}

TEST(ModelSummary, CountsParametersAndOperations) {
    ExpressionModel model(small_config(), kSamples);
    const ModelSummary summary = summarise(model, 100);
    ASSERT_EQ(summary.stages.size(), 4U);
    EXPECT_EQ(summary.stages[0].name, "0_conv_dna");
    EXPECT_EQ(summary.stages[0].num_parameters, 8 * 4 * 15 + 8 + 8 + 8);
    EXPECT_DOUBLE_EQ(summary.stages[0].forward_flops, 2.0 * 1024 * 8 * 4 * 15);
    EXPECT_DOUBLE_EQ(summary.stages[1].forward_flops,
                     2.0 * 512 * 12 * 8 * 5 + 2.0 * 256 * 16 * 12 * 5);
    EXPECT_EQ(summary.stages[1].output, (StreamShape{Layout::kTokens, 256, 16, 8}));
    std::int64_t parameters = 0;
    for (const at::Tensor& parameter : model->parameters()) {
        parameters += parameter.numel();
    }
    EXPECT_EQ(summary.total().num_parameters, parameters);
    EXPECT_EQ(summary.total().output.num_tokens, 256);
    const std::string text = summary.to_text();
    EXPECT_NE(text.find("2_linear_attn"), std::string::npos);
    EXPECT_NE(text.find("total"), std::string::npos);
}

}  // namespace
}  // namespace flagen::models
