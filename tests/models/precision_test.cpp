#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>
#include <vector>

#include "flagen/models/device_support.h"
#include "flagen/models/expression_model.h"
#include "gene_cases.h"

namespace flagen::models {
namespace {

constexpr const char* kModel = R"({
  "seq_length": 512,
  "trunk": [{"name": "conv_dna", "filters": 8, "kernel_size": 9, "stride": 2},
            {"name": "conv_tower", "filters": [12], "kernel_size": 5, "stride": 2},
            {"name": "linear_attn", "kind": "KIND", "heads": 2, "key": 8, "value": 8, "dropout": 0.2,
             "checkpoint_activations": CHECKPOINT, "feed_forward": {"expansion": 2.0, "dropout": 0.2}}],
  "heads": {"genes": {"hidden": 16, "token_dropout": 0.2}},
  "head_x": {"units": 3}
})";

std::string replace(std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
}

ModelConfig config_of(const std::string& kind, bool checkpoint = false) {
    const std::string text =
        replace(replace(kModel, "KIND", kind), "CHECKPOINT", checkpoint ? "true" : "false");
    return ModelConfig::from_json_text(text, "test");
}

ExpressionModel make_model(const ModelConfig& config, Precision precision) {
    torch::manual_seed(3);
    ExpressionModel model(config, 4);
    model->set_precision(precision);
    return model;
}

ModelOutput run(ExpressionModel& model) {
    torch::manual_seed(8);
    const at::Tensor codes = torch::randint(0, 4, {2, 512}, torch::kByte);
    const GeneQueries genes = testing::make_queries(
        {{0, 40, 160, +1, {{40, 160}}}, {1, 200, 410, -1, {{200, 260}, {290, 410}}}});
    return model->forward(codes, genes, {"x"});
}

at::Tensor loss_of(const ModelOutput& output) {
    return output.genes.square().mean() + output.tracks.at("x").log().square().mean();
}

double difference(const at::Tensor& a, const at::Tensor& b) {
    return ((a - b).norm() / b.norm()).item<double>();
}

const std::vector<std::string> kKinds = {"linear", "scalar",   "ssd",
                                         "gla",    "deltanet", "gated_deltanet"};

TEST(Precision, NarrowProductsStayNearFp32AndGradientsAreFp32) {
    for (const std::string& kind : kKinds) {
        ExpressionModel wide = make_model(config_of(kind), Precision::kFp32);
        const ModelOutput expected = run(wide);
        loss_of(expected).backward();
        for (const auto& [precision, tolerance] :
             {std::pair{Precision::kBf16, 0.05}, {Precision::kFp16, 0.01}}) {
            SCOPED_TRACE(kind + " " + precision_name(precision));
            ExpressionModel narrow = make_model(config_of(kind), precision);
            const ModelOutput output = run(narrow);
            EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU)) << "left on";
            EXPECT_TRUE(at::autocast::is_autocast_cache_enabled());
            EXPECT_EQ(output.genes.scalar_type(), at::kFloat);
            EXPECT_EQ(output.tracks.at("x").scalar_type(), at::kFloat);
            EXPECT_LT(difference(output.genes, expected.genes), tolerance);
            EXPECT_LT(difference(output.tracks.at("x"), expected.tracks.at("x")), tolerance);
            EXPECT_FALSE(at::equal(output.tracks.at("x"), expected.tracks.at("x")))
                << "computed in fp32";
            loss_of(output).backward();
            for (const auto& parameter : narrow->named_parameters()) {
                EXPECT_EQ(parameter->scalar_type(), at::kFloat);
                ASSERT_TRUE(parameter->grad().defined()) << parameter.key();
                EXPECT_EQ(parameter->grad().scalar_type(), at::kFloat);
                EXPECT_TRUE(parameter->grad().isfinite().all().item<bool>()) << parameter.key();
            }
        }
    }
}

TEST(Precision, ComputingABlockTwiceGivesTheSameGradients) {
    ExpressionModel once = make_model(config_of("gla", false), Precision::kBf16);
    ExpressionModel twice = make_model(config_of("gla", true), Precision::kBf16);
    loss_of(run(once)).backward();
    loss_of(run(twice)).backward();
    std::vector<at::Tensor> before_once;
    std::vector<at::Tensor> before_twice;
    const auto parameters = twice->named_parameters();
    for (const auto& parameter : once->named_parameters()) {
        const at::Tensor expected = parameter->grad();
        const at::Tensor found = parameters[parameter.key()].grad();
        if (parameter.key().find("linear_attn") != std::string::npos) {
            EXPECT_TRUE(at::equal(found, expected)) << parameter.key();
        } else {
            before_once.push_back(expected.flatten());
            before_twice.push_back(found.flatten());
        }
    }
    // In bf16 the gradients of the block's input are summed in another order.
    EXPECT_LT(difference(at::cat(before_twice), at::cat(before_once)), 0.01);
}

// A cast of the weights that outlived its pass would hide the optimiser's step.
TEST(Precision, EveryPassSeesTheWeightsAsTheyAre) {
    for (const bool checkpoint : {false, true}) {
        ExpressionModel model = make_model(config_of("scalar", checkpoint), Precision::kBf16);
        loss_of(run(model)).backward();
        ExpressionModel fresh = make_model(config_of("scalar", checkpoint), Precision::kBf16);
        const torch::NoGradGuard no_gradients;
        for (ExpressionModel* changed : {&model, &fresh}) {
            for (at::Tensor& parameter : (*changed)->parameters()) {
                parameter.mul_(1.5);
            }
            for (at::Tensor& buffer :
                 (*changed)->buffers()) {  // the first pass moved the running means
                buffer.fill_(0.5);
            }
            (*changed)->eval();
        }
        EXPECT_TRUE(at::equal(run(model).tracks.at("x"), run(fresh).tracks.at("x")));
    }
}

TEST(Precision, NamesReadBack) {
    for (const auto& [precision, name] : precision_names()) {
        EXPECT_EQ(precision_of_name(name), precision);
        EXPECT_EQ(precision_name(precision), name);
    }
    EXPECT_THROW((void)precision_of_name("fp8"), Error);
}

TEST(DeviceSupport, TheCpuRunsEveryMixer) {
    for (const std::string& kind : kKinds) {
        EXPECT_EQ(missing_kernel(config_of(kind), at::kCPU, Precision::kBf16), "");
        EXPECT_NE(config_of(kind).trunk.back().spec->linear_mixer(), nullptr);
        EXPECT_EQ(config_of(kind).trunk.front().spec->linear_mixer(), nullptr);
    }
}

// XLA stands for any device without our kernels.
TEST(DeviceSupport, ADeviceWithoutKernelsIsTold) {
    EXPECT_EQ(missing_kernel(config_of("deltanet"), at::Device(at::kXLA, 0), Precision::kFp32)
                  .rfind("deltanet: ", 0),
              0U);
}

}  // namespace
}  // namespace flagen::models
