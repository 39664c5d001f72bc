#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "flagen/models/expression_model.h"
#include "flagen/models/model_summary.h"

namespace flagen::models {
namespace {

struct Preset {
    ModelConfig config;
    ModelSummary summary;
    std::map<std::string, std::int64_t> parameters;  ///< By block, repeats summed.
};

Preset load_preset(const std::string& name) {
    JsonObject root = JsonObject::read_file(FLAGEN_PRESETS "/" + name + ".json");
    JsonObject model = root.get_object("model");
    const std::int64_t seq_length = root.get_objects("data").at(0).require_int("seq_length", 1, 1 << 20);
    Preset preset;
    preset.config = ModelConfig::from_json(model, seq_length);
    model.finish();
    root.problems().throw_if_any(name);
    preset.summary = summarise(ExpressionModel(preset.config, 0), 0);
    for (const StageSummary& stage : preset.summary.stages) {
        const std::size_t mark = stage.is_head ? 0 : stage.name.find('_') + 1;
        preset.parameters[stage.name.substr(mark)] += stage.num_parameters;
    }
    return preset;
}

/// Millions, to the digits that the published sizes are given in.
double rounded(std::int64_t count, double digits) {
    return std::round(static_cast<double>(count) / 1e6 * digits) / digits;
}

TEST(TrackPresets, BorzoiShapeHasThePublishedSizes) {
    const Preset preset = load_preset("borzoi_shape");
    const auto& parameters = preset.parameters;
    EXPECT_EQ(rounded(parameters.at("conv_dna"), 100), 0.03);
    EXPECT_EQ(rounded(parameters.at("res_tower"), 100), 28.43);
    EXPECT_EQ(rounded(parameters.at("transformer_tower"), 100), 126.07);
    EXPECT_EQ(rounded(parameters.at("unet_conv"), 100), 13.79);
    EXPECT_EQ(rounded(parameters.at("Cropping1D") + parameters.at("conv_nac"), 100), 2.95);
    EXPECT_EQ(rounded(parameters.at("head_human"), 100), 14.62);
    EXPECT_EQ(rounded(parameters.at("head_mouse"), 100), 5.01);
    const std::int64_t total = preset.summary.total().num_parameters;
    EXPECT_EQ(rounded(total, 10), 190.9);
    EXPECT_EQ(rounded(total - parameters.at("head_mouse"), 10), 185.9);

    const std::vector<StageSummary>& stages = preset.summary.stages;
    EXPECT_EQ(stages[0].output.num_tokens, 262144);
    EXPECT_EQ(stages[1].output.num_tokens, 4096);
    EXPECT_EQ(stages[1].output.num_channels, 1536);
    ASSERT_EQ(stages.size(), 16U);
    EXPECT_EQ(stages[9].output.skips.back(), (SkipShape{8192, 1536}));
    EXPECT_EQ(stages[10].output.skips.back(), (SkipShape{16384, 1280})) << "after one step up";
    EXPECT_EQ(stages[11].output.num_tokens, 16384);
    EXPECT_EQ(stages[11].output.num_channels, 1536);
    EXPECT_EQ(stages[12].output.offset_bp, 163840);
    EXPECT_EQ(preset.summary.total().output.num_tokens, 6144);
    EXPECT_EQ(preset.summary.total().output.num_channels, 1920);
    EXPECT_EQ(stages.back().output.num_channels, 2608);
    // 4.9 TFLOP by count of the published form, whose relative logits cover all 2 N distances; only
    // those of a block's queries are computed here.
    EXPECT_NEAR(preset.summary.total().forward_flops, 4.83e12, 0.1e12);
}

TEST(TrackPresets, Flagen32bpIsAsLargeAsBorzoi) {
    const Preset preset = load_preset("flagen_32bp");
    EXPECT_NEAR(static_cast<double>(preset.summary.total().num_parameters), 185.9e6, 18.59e6);
    const StreamShape shape = preset.config.trunk_shape();
    EXPECT_EQ(shape.num_tokens, 6144);
    EXPECT_EQ(shape.bp_per_token, 32);
    EXPECT_EQ(shape.offset_bp, 163840);
    EXPECT_EQ(preset.config.find_track_head("human")->units, 7611);
    EXPECT_EQ(preset.parameters.count("unet_conv"), 0U);
    for (const StageSummary& stage : preset.summary.stages) {
        if (stage.name.ends_with("linear_attn")) {
            EXPECT_EQ(stage.output.num_tokens, 16384);
        }
    }
}

TEST(TrackPresets, BorzoiShapeMapsWindowsToItsBins) {
    // The published lengths with few channels: a whole window in seconds.
    JsonObject root = JsonObject::read_file(FLAGEN_PRESETS "/borzoi_shape.json");
    for (const char* setting :
         {"model.trunk[0].filters=2", "model.trunk[1].filters_init=2",
          "model.trunk[1].filters_end=4", "model.trunk[1].divisible_by=2", "model.trunk[2].heads=1",
          "model.trunk[2].key_size=2", "model.trunk[2].repeat=1", "model.trunk[6].filters=4",
          "model.head_human.units=3"}) {
        const std::string text = setting;
        root.set_path(text.substr(0, text.find('=')), text.substr(text.find('=') + 1));
    }
    JsonObject model = root.get_object("model");
    const ModelConfig config = ModelConfig::from_json(model, 524288);
    root.problems().throw_if_any("borzoi_shape");
    ExpressionModel net(config, 0);
    net->eval();
    const torch::NoGradGuard no_grad;
    const at::Tensor codes = torch::randint(0, 5, {1, 524288}, torch::kByte);
    const at::Tensor y = net->forward(codes, {}, {"human"}).tracks.at("human");
    EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{1, 6144, 3}));
    EXPECT_TRUE(y.isfinite().all().item<bool>());
}

}  // namespace
}  // namespace flagen::models
