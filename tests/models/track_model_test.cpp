#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>
#include <vector>

#include "flagen/error.h"
#include "flagen/models/expression_model.h"
#include "flagen/models/gene_pooling.h"
#include "flagen/models/model_summary.h"
#include "models/gene_cases.h"
#include "models/gradient_check.h"

namespace flagen::models {
namespace {

using testing::make_queries;

/// Borzoi's layers at 1 / 128 of their length, with a genes head beside the tracks. 4,096 bases ->
/// 32 tokens of 128 bp -> 128 bins of 32 bp, 16 cropped at each end.
const char* const kSmall = R"({"activation": "gelu", "norm_type": "batch-sync", "bn_momentum": 0.9,
    "kernel_initializer": "lecun_normal", "l2_scale": 2e-8,
    "trunk": [
        {"name": "conv_dna", "filters": 6, "kernel_size": 15, "norm_type": null,
         "activation": "linear", "pool_size": 2},
        {"name": "res_tower", "filters_init": 6, "filters_end": 16, "divisible_by": 2,
         "kernel_size": 5, "num_convs": 1, "pool_size": 2, "repeat": 6},
        {"name": "transformer_tower", "key_size": 4, "heads": 2, "num_position_features": 8,
         "dropout": 0.2, "mha_l2_scale": 1e-8, "l2_scale": 1e-8,
         "kernel_initializer": "he_normal", "repeat": 2},
        {"name": "unet_conv", "kernel_size": 3, "upsample_conv": true},
        {"name": "unet_conv", "kernel_size": 3, "upsample_conv": true},
        {"name": "Cropping1D", "cropping": 16},
        {"name": "conv_nac", "filters": 12, "dropout": 0.1}],
    "heads": {"genes": {"hidden": 0, "codons": {"width": 0}, "promoter": {"width": 0}}},
    "head_human": {"name": "final", "units": 5, "activation": "softplus"},
    "head_mouse": {"name": "final", "units": 3, "activation": "softplus"}})";

constexpr std::int64_t kLength = 4096;
constexpr std::int64_t kSamples = 2;

ModelConfig small_config() {
    JsonObject model = JsonObject::parse(kSmall, "test");
    ModelConfig config = ModelConfig::from_json(model, kLength);
    model.finish();
    model.problems().throw_if_any("test");
    return config;
}

at::Tensor some_codes(std::int64_t windows = 2) {
    return torch::randint(0, 5, {windows, kLength}, torch::kByte);
}

/// Genes inside the 3,072 bases that are left of 4,096.
GeneQueries some_genes() {
    return make_queries({{0, 512, 700, +1, {{512, 700}}}, {1, 3000, 3584, -1, {}}});
}

TEST(TrackConfig, ReadsBorzoisModelSection) {
    const ModelConfig config = small_config();
    ASSERT_EQ(config.trunk.size(), 7U);
    EXPECT_EQ(config.trunk[1].repeat, 1) << "the stages of a res_tower are its own";
    EXPECT_EQ(config.trunk[2].repeat, 2);
    EXPECT_EQ(config.head_activation, Activation::kGeluTanh);
    ASSERT_EQ(config.track_heads.size(), 2U);
    EXPECT_EQ(config.track_heads[0].name, "human");
    EXPECT_EQ(config.track_heads[0].units, 5);
    EXPECT_EQ(config.find_track_head("mouse")->units, 3);
    EXPECT_EQ(config.find_track_head("rat"), nullptr);
    const StreamShape shape = config.trunk_shape();
    EXPECT_EQ(shape.num_tokens, 96);
    EXPECT_EQ(shape.bp_per_token, 32);
    EXPECT_EQ(shape.offset_bp, 512);
    EXPECT_EQ(shape.end_bp(), kLength - 512);
    EXPECT_TRUE(config.genes.has_value());
}

TEST(TrackConfig, ResolvedTextReadsBackToItself) {
    const std::string text = small_config().to_json_text();
    EXPECT_EQ(ModelConfig::from_json_text(text, "again").to_json_text(), text);
    JsonObject root = JsonObject::parse(text, "text");
    const std::vector<JsonObject> blocks = root.get_objects("trunk");
    // Defaults of the section stand in the blocks; what has no effect is gone.
    JsonObject tower = blocks[1];
    EXPECT_EQ(tower.get_string("activation", ""), "gelu");
    EXPECT_EQ(tower.get_string("norm_type", ""), "batch");
    EXPECT_EQ(tower.get_int("repeat", 0), 6);
    EXPECT_FALSE(root.has("l2_scale"));
    JsonObject stem = blocks[0];
    EXPECT_EQ(stem.get_string("norm_type", ""), "none");
    EXPECT_EQ(stem.get_int("stride", 0), 1);
    EXPECT_EQ(stem.get_int("pool_size", 0), 2);
}

TEST(TrackConfig, GenesAreOptionalBesideTracks) {
    const auto genes_of = [](const std::string& heads) {
        JsonObject model =
            JsonObject::parse(R"({"trunk": [{"name": "conv_dna"}])" + heads + "}", "test");
        const ModelConfig config = ModelConfig::from_json(model, 1024);
        model.finish();
        model.problems().throw_if_any("test");
        return config.genes.has_value();
    };
    EXPECT_TRUE(genes_of(""));
    EXPECT_TRUE(genes_of(R"(, "heads": {"genes": {}})"));
    EXPECT_FALSE(genes_of(R"(, "head_a": {"units": 4})"));
    EXPECT_FALSE(genes_of(R"(, "heads": {}, "head_a": {"units": 4})"));
    EXPECT_TRUE(genes_of(R"(, "heads": {"genes": {}}, "head_a": {"units": 4})"));
}

TEST(TrackConfig, ReportsWhatIsWrong) {
    const auto problems_of = [](const std::string& model) {
        JsonObject root = JsonObject::parse(model, "p");
        (void)ModelConfig::from_json(root, 1024);
        root.finish();
        return root.problems().report("p");
    };
    const std::string stem = R"({"trunk": [{"name": "conv_dna", "pool_size": 2})";
    EXPECT_EQ(problems_of(stem + R"(, {"name": "unet_conv"}], "head_a": {"units": 1}})"),
              "p: 1 problem\n  trunk[1].name: needs the 1024 tokens of an earlier res_tower before "
              "pooling; no stage has them");
    EXPECT_EQ(problems_of(stem + R"(, {"name": "Cropping1D", "cropping": 256}]})"),
              "p: 1 problem\n  trunk[1].cropping: found 256 at each end: nothing is left of 512 "
              "tokens");
    EXPECT_EQ(problems_of(stem + R"(, {"name": "res_tower", "repeat": 10}]})"),
              "p: 1 problem\n  trunk[1].pool_size: 2 does not divide the 1 tokens of stage 10");
    EXPECT_EQ(problems_of(stem + R"(, {"name": "transformer_tower", "heads": 3,
                                       "num_position_features": 7}]})"),
              "p: 2 problems\n  trunk[1].heads: 3 does not divide the number of channels 32\n"
              "  trunk[1].num_position_features: found 7; must be even");
    EXPECT_EQ(problems_of(stem + R"(], "seq_length": 2048, "head_a": {"unit": 4,
                                       "activation": "relu"}})"),
              "p: 4 problems\n  seq_length: differs from data.seq_length, 1024\n"
              "  head_a.activation: \"relu\" is not one of softplus\n"
              "  head_a.units: required key is missing\n"
              "  head_a.unit: unknown key; did you mean \"units\"?");
}

TEST(TrackModel, ComputesTheHeadsThatAreAskedFor) {
    torch::manual_seed(1);
    ExpressionModel model(small_config(), kSamples);
    const ModelOutput both = model->forward(some_codes(), some_genes(), {"human", "mouse"});
    EXPECT_EQ(both.genes.sizes(), (std::vector<std::int64_t>{2, kSamples}));
    ASSERT_EQ(both.tracks.size(), 2U);
    EXPECT_EQ(both.tracks.at("human").sizes(), (std::vector<std::int64_t>{2, 96, 5}));
    EXPECT_EQ(both.tracks.at("mouse").sizes(), (std::vector<std::int64_t>{2, 96, 3}));
    EXPECT_GT(both.tracks.at("human").min().item<float>(), 0.0F);

    const ModelOutput tracks = model->forward(some_codes(), GeneQueries{}, {"mouse"});
    EXPECT_FALSE(tracks.genes.defined());
    EXPECT_EQ(tracks.tracks.size(), 1U);
    EXPECT_TRUE(model->forward(some_codes(), some_genes()).tracks.empty());
    EXPECT_THROW((void)model->forward(some_codes(), GeneQueries{}, {"rat"}), Error);
    EXPECT_TRUE(model->named_parameters().contains("head_human.proj.weight"));
    EXPECT_TRUE(model->named_parameters().contains("trunk.1_res_tower.conv_5_0.conv.weight"));
    EXPECT_TRUE(
        model->named_parameters().contains("trunk.3_transformer_tower.mixer.q_proj.weight"));
}

TEST(TrackModel, WorksWithoutAGenesHead) {
    ModelConfig config = small_config();
    config.genes.reset();
    ExpressionModel model(config, 0);
    EXPECT_FALSE(model->has_genes());
    EXPECT_THROW((void)model->genes(), Error);
    EXPECT_THROW((void)model->forward(some_codes(), some_genes()), Error);
    const ModelOutput output = model->forward(some_codes(), make_queries({}), {"human"});
    EXPECT_FALSE(output.genes.defined());
    EXPECT_EQ(output.tracks.at("human").size(1), 96);
}

TEST(TrackModel, EveryParameterGetsAGradient) {
    torch::manual_seed(2);
    ExpressionModel model(small_config(), kSamples);
    const ModelOutput output = model->forward(some_codes(), some_genes(), {"human", "mouse"});
    (output.genes.square().sum() + output.tracks.at("human").square().sum() +
     output.tracks.at("mouse").square().sum())
        .backward();
    for (const auto& item : model->named_parameters()) {
        ASSERT_TRUE(item.value().grad().defined()) << item.key();
        // The batch norm of the next stage takes a bias out again.
        if (!item.key().ends_with("conv.bias")) {
            EXPECT_GT(item.value().grad().abs().sum().item<float>(), 0.0F) << item.key();
        }
    }
}

TEST(TrackModel, RepeatsToTheBitOnTwoThreads) {
    const int threads = at::get_num_threads();
    at::set_num_threads(2);
    const auto step = [] {
        torch::manual_seed(3);
        ExpressionModel model(small_config(), kSamples);
        model->forward(some_codes(), {}, {"human"}).tracks.at("human").square().sum().backward();
        std::vector<at::Tensor> tensors = model->buffers();
        for (const auto& item : model->named_parameters()) {
            if (item.value().grad().defined()) {
                tensors.push_back(item.value().grad());
            }
        }
        return tensors;
    };
    const auto first = step();
    const auto second = step();
    ASSERT_EQ(first.size(), second.size());
    for (std::size_t i = 0; i < first.size(); ++i) {
        EXPECT_TRUE(torch::equal(first[i], second[i])) << i;
    }
    at::set_num_threads(threads);
}

/// A bin must answer to the bases it stands for: change them, see around which bin the change lies.
TEST(TrackModel, BinsLieWhereTheShapeSays) {
    torch::manual_seed(4);
    JsonObject json = JsonObject::parse(R"({"trunk": [
        {"name": "conv_dna", "filters": 8, "kernel_size": 15, "pool_size": 2},
        {"name": "res_tower", "filters_init": 8, "kernel_size": 5, "num_convs": 1, "repeat": 4},
        {"name": "Cropping1D", "cropping": 16}], "head_a": {"units": 4}})",
                                        "test");
    ExpressionModel model(ModelConfig::from_json(json, kLength), 0);
    model->eval();
    const torch::NoGradGuard no_grad;
    const StreamShape shape = model->trunk().tokens_shape();
    ASSERT_EQ(shape.offset_bp, 512);
    const at::Tensor codes = torch::randint(0, 4, {1, kLength}, torch::kByte);
    const at::Tensor before = model->forward(codes, {}, {"a"}).tracks.at("a");
    const at::Tensor number = torch::arange(96);
    for (const std::int64_t bin : {20, 40, 75}) {
        at::Tensor changed = codes.clone();
        const std::int64_t start = shape.offset_bp + bin * shape.bp_per_token;
        at::Tensor bases = changed[0].slice(0, start, start + shape.bp_per_token);
        bases.copy_(bases.bitwise_xor(2));
        const at::Tensor after = model->forward(changed, {}, {"a"}).tracks.at("a");
        const at::Tensor change = (after - before).abs().sum(-1).flatten();
        const double centre = ((change * number).sum() / change.sum()).item<double>();
        EXPECT_NEAR(centre, static_cast<double>(bin), 0.7);
    }
}

TEST(TrackHead, IsSoftplusOfAMapInFp32) {
    torch::manual_seed(5);
    StreamShape shape{Layout::kTokens, 6, 4, 32};
    TrackHead head({"a", 3}, shape, Activation::kGeluTanh);
    const at::Tensor x = torch::randn({2, 6, 4}).to(at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    const at::Tensor y = head.forward(x);
    EXPECT_TRUE(at::autocast::is_autocast_enabled(at::kCPU));
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
    EXPECT_EQ(y.scalar_type(), at::kFloat);
    head.to(torch::kDouble);
    const auto parameters = head.named_parameters();
    const at::Tensor wide = x.to(torch::kDouble);
    const at::Tensor gelu =
        0.5 * wide *
        (1.0 + (std::sqrt(2.0 / std::acos(-1.0)) * (wide + 0.044715 * wide.pow(3))).tanh());
    const at::Tensor z = at::linear(gelu, parameters["proj.weight"], parameters["proj.bias"]);
    const at::Tensor expected = z.exp().log1p();
    EXPECT_TRUE(torch::allclose(y.to(torch::kDouble), expected, 1e-5, 1e-6));
    at::Tensor leaf = wide.clone().requires_grad_(true);
    const auto loss = [&] {
        const at::Tensor out = head.forward(leaf);
        return (out * testing::probe_like(out)).sum();
    };
    auto leaves = testing::named_leaves(head);
    leaves.emplace_back("x", leaf);
    testing::expect_gradients(loss, leaves);
    EXPECT_THROW((void)head.forward(wide.narrow(1, 0, 5)), Error);
}

TEST(GenesOnCroppedTokens, PoolTheSameBasesAsUncropped) {
    // Tokens that carry their own number of the whole window.
    StreamShape whole{Layout::kTokens, 16, 1, 32};
    StreamShape cropped{Layout::kTokens, 10, 1, 32};
    cropped.offset_bp = 3 * 32;
    const at::Tensor values = torch::arange(32, torch::kDouble).view({2, 16, 1});
    const GeneQueries genes =
        make_queries({{0, 100, 230, +1, {{100, 120}, {200, 230}}}, {1, 96, 416, -1, {{96, 416}}}});
    for (const GenePool& pool :
         {GenePool{PoolAnchor::kSpan, 0, 0}, GenePool{PoolAnchor::kPieces, 0, 0}}) {
        const at::Tensor expected = sum_rows(values, plan_gene_pool(genes, pool, whole));
        const at::Tensor found =
            sum_rows(values.narrow(1, 3, 10).contiguous(), plan_gene_pool(genes, pool, cropped));
        EXPECT_TRUE(torch::equal(found, expected));
    }
    EXPECT_NO_THROW(check_genes_inside(genes, cropped));
    EXPECT_THROW(check_genes_inside(make_queries({{0, 95, 200, +1, {}}}), cropped), Error);
    EXPECT_THROW(check_genes_inside(make_queries({{0, 96, 417, +1, {}}}), cropped), Error);
    // Upstream of the first kept token there is nothing to read: zeros, not other tokens.
    const GenePool upstream{PoolAnchor::kStart, -64, 0};
    const at::Tensor none =
        sum_rows(values.narrow(1, 3, 10).contiguous(),
                 plan_gene_pool(make_queries({{1, 96, 200, +1, {}}}), upstream, cropped));
    EXPECT_EQ(none.item<double>(), 0.0);
}

TEST(GenesOnCroppedTokens, TheModelRefusesGenesBeyondTheCrop) {
    ExpressionModel model(small_config(), kSamples);
    EXPECT_NO_THROW((void)model->forward(some_codes(), some_genes()));
    EXPECT_THROW((void)model->forward(some_codes(), make_queries({{0, 511, 700, +1, {}}})), Error);
    EXPECT_THROW((void)model->forward(some_codes(), make_queries({{0, 3000, 3585, +1, {}}})),
                 Error);
}

TEST(ModelSummary, ShowsTrackHeads) {
    ExpressionModel model(small_config(), kSamples);
    const ModelSummary summary = summarise(model, 10);
    std::int64_t parameters = 0;
    for (const at::Tensor& parameter : model->parameters()) {
        parameters += parameter.numel();
    }
    EXPECT_EQ(summary.total().num_parameters, parameters);
    EXPECT_EQ(summary.total().output.num_tokens, 96);
    const std::string text = summary.to_text();
    for (const char* stage : {"0_conv_dna", "1_res_tower", "3_transformer_tower", "5_unet_conv",
                              "6_Cropping1D", "7_conv_nac", "genes", "head_human", "head_mouse"}) {
        EXPECT_NE(text.find(stage), std::string::npos) << text;
    }
    const StageSummary& human = summary.stages[summary.stages.size() - 2];
    EXPECT_EQ(human.name, "head_human");
    EXPECT_DOUBLE_EQ(human.forward_flops, 2.0 * 96 * 12 * 5);
}

}  // namespace
}  // namespace flagen::models
