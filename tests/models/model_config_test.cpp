#include "flagen/models/model_config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace flagen::models {
namespace {

/// The report of all problems of a `model` section on windows of 1,024 bases, or "".
std::string problems_of(const std::string& model) {
    JsonObject root = JsonObject::parse(R"({"model": )" + model + "}", "params.json");
    JsonObject section = root.get_object("model");
    (void)ModelConfig::from_json(section, 1024);
    root.finish();
    try {
        root.problems().throw_if_any("params.json");
    } catch (const UserError& error) {
        EXPECT_EQ(error.fault(), UserFault::kConfig);
        return error.what();
    }
    return "";
}

const char* const kWhole = R"({"trunk": [
    {"name": "conv_dna", "filters": 8},
    {"name": "conv_tower", "filters": [12, 16], "norm_type": "layer"},
    {"name": "token_norm"},
    {"name": "linear_attn", "kind": "gla", "heads": 2, "key": 4, "value": 8, "repeat": 2},
    {"name": "softmax_attn", "heads": 2, "key": 4, "value": 4},
    {"name": "feed_forward", "activation": "swiglu"}],
  "heads": {"genes": {"hidden": 16, "pools": [{"anchor": "span"}], "promoter": {"width": 0}}}})";

TEST(ModelConfig, ReadsAWholeModel) {
    EXPECT_EQ(problems_of(kWhole), "");
    JsonObject model = JsonObject::parse(kWhole, "params.json");
    const ModelConfig config = ModelConfig::from_json(model, 1024);
    ASSERT_EQ(config.trunk.size(), 6U);
    EXPECT_EQ(config.trunk[3].repeat, 2);
    EXPECT_EQ(config.trunk_shape(), (StreamShape{Layout::kTokens, 128, 16, 8}));
    EXPECT_EQ(config.genes->hidden, 16);
    EXPECT_EQ(config.genes->pools.size(), 1U);
    EXPECT_EQ(config.genes->promoter.width, 0);
    EXPECT_EQ(config.genes->codons.width, 64);
}

TEST(ModelConfig, ResolvedTextReadsBackToItself) {
    JsonObject model = JsonObject::parse(kWhole, "params.json");
    const std::string text = ModelConfig::from_json(model, 1024).to_json_text();
    const std::string again = ModelConfig::from_json_text(text, "again").to_json_text();
    EXPECT_EQ(text, again);
    EXPECT_NE(text.find("\"decay_temperature\": 16"), std::string::npos) << text;  // a default
    EXPECT_NE(text.find("\"token_dropout\": 0.5"), std::string::npos) << text;
}

TEST(ModelConfig, KeepsAnEmptyListOfPools) {
    JsonObject model = JsonObject::parse(
        R"({"trunk": [{"name": "conv_dna"}], "heads": {"genes": {"pools": []}}})", "p");
    const ModelConfig config = ModelConfig::from_json(model, 1024);
    EXPECT_TRUE(config.genes->pools.empty());
    EXPECT_TRUE(ModelConfig::from_json_text(config.to_json_text(), "p").genes->pools.empty());
}

TEST(ModelConfig, ReportsAllProblemsAtOnce) {
    EXPECT_EQ(problems_of(R"({"trunk": [
        {"name": "conv_dna", "filter": 8, "kernel_size": "wide"},
        {"name": "linear_atn", "heads": 4},
        {"name": "conv_tower", "norm_type": "batchnorm"},
        {"name": "linear_attn", "repeat": 0, "kind": "scalar", "decay_rank": 4}],
      "heads": {"genes": {"droput": 0.1, "hidden": -1}}, "trunc": []})"),
              R"(params.json: 9 problems
  model.trunk[0].kernel_size: expected an integer, found a string ("wide")
  model.trunk[1].name: unknown block "linear_atn"; did you mean "linear_attn"?
  model.trunk[2].norm_type: "batchnorm" is not one of batch, layer, rms, none
  model.trunk[3].repeat: 0 is out of range; expected an integer from 1 to 1024
  model.heads.genes.hidden: -1 is out of range; expected an integer from 0 to 65536
  model.trunc: unknown key; did you mean "trunk"?
  model.trunk[0].filter: unknown key; did you mean "filters"?
  model.trunk[3].decay_rank: unknown key
  model.heads.genes.droput: unknown key; did you mean "dropout"?)");
}

TEST(ModelConfig, ReportsBlocksThatDoNotFit) {
    EXPECT_EQ(problems_of(R"({"trunk": [{"name": "conv_dna", "stride": 3}]})"),
              "params.json: 1 problem\n  model.trunk[0].stride: 3 does not divide the 1024 tokens "
              "that this stage receives");
    EXPECT_EQ(
        problems_of(R"({"trunk": [{"name": "conv_dna", "kernel_size": 2, "stride": 4}]})"),
        "params.json: 1 problem\n  model.trunk[0].kernel_size: found 2 with stride 4; must not "
        "be smaller than the stride, or bases are skipped");
    EXPECT_EQ(
        problems_of(R"({"trunk": [{"name": "linear_attn"}]})"),
        "params.json: 1 problem\n  model.trunk[0].name: needs tokens, but receives base codes "
        "from the block before");
    EXPECT_EQ(
        problems_of(R"({"trunk": [{"name": "conv_dna"}, {"name": "conv_dna"}]})"),
        "params.json: 1 problem\n  model.trunk[1].name: needs base codes, but receives tokens "
        "from the block before");
    EXPECT_EQ(
        problems_of(R"({"trunk": [{"name": "conv_dna"},
                                        {"name": "conv_tower", "repeat": 3}]})"),
        "params.json: 1 problem\n  model.trunk[1].stride: 2 does not divide the 1 tokens that "
        "this stage receives");
    EXPECT_EQ(problems_of("{}"),
              "params.json: 1 problem\n  model.trunk: needs at least one block, as {\"name\": "
              "\"conv_dna\"}");
}

TEST(ModelConfig, ReportsOptionsThatContradictEachOther) {
    const auto with_block = [](const std::string& block) {
        const std::string report =
            problems_of(R"({"trunk": [{"name": "conv_dna"}, )" + block + "]}");
        const std::size_t line = report.find("\n  ");
        return line == std::string::npos ? report : report.substr(line + 3);
    };
    EXPECT_EQ(with_block(R"({"name": "linear_attn", "heads": 3})"),
              "model.trunk[1].heads: found 3; must be even to be split over two directions");
    EXPECT_EQ(with_block(R"({"name": "linear_attn", "heads": 3, "direction_heads": "each"})"), "");
    EXPECT_EQ(with_block(R"({"name": "linear_attn", "heads": 6, "key_heads": 4})"),
              "model.trunk[1].key_heads: 4 does not divide the number of heads 6");
    EXPECT_EQ(with_block(R"({"name": "linear_attn", "local_conv": 4})"),
              "model.trunk[1].local_conv: found 4; must be odd");
    EXPECT_EQ(with_block(R"({"name": "softmax_attn", "key": 5})"),
              "model.trunk[1].key: found 5; must be even with \"rotary\"");
    EXPECT_EQ(with_block(R"({"name": "feed_forward", "expansion": 0})"),
              "model.trunk[1].expansion: found 0: a feed_forward block needs hidden units");
}

TEST(ModelConfig, ReportsFaultsOfTheGenesHead) {
    EXPECT_EQ(problems_of(R"({"trunk": [{"name": "conv_dna"}], "heads": {"genes": {
        "pools": [{"anchor": "start", "from_bp": 5, "to_bp": 5},
                  {"anchor": "pieces", "from_bp": 1}, {"anchor": "span", "from_bp": 1}],
        "codons": {"kernel": 4}, "promoter": {"bins": 7}}}})"),
              R"(params.json: 5 problems
  model.heads.genes.pools[0].from_bp: found 5; must be smaller than to_bp 5
  model.heads.genes.pools[2].anchor: a span can only be widened: from_bp <= 0 <= to_bp
  model.heads.genes.codons.kernel: found 4; must be odd
  model.heads.genes.promoter.bins: 7 does not divide upstream_bp + downstream_bp = 400
  model.heads.genes.pools[1].from_bp: unknown key)");
    EXPECT_EQ(problems_of(R"({"trunk": [{"name": "conv_dna"}], "heads": {"genes": {"pools": [],
        "tower_pool": false, "codons": {"width": 0}, "promoter": {"width": 0},
        "log_length": false}}})"),
              "params.json: 1 problem\n  model.heads.genes: no feature is left: pools, tower_pool, "
              "codons, promoter and log_length are all off");
}

TEST(Presets, AreValidModels) {
    // The track presets are in track_model_test.cpp.
    for (const std::string name : {"ecoli_quickstart", "yeast_524k"}) {
        JsonObject root = JsonObject::read_file(FLAGEN_PRESETS "/" + name + ".json");
        JsonObject model = root.get_object("model");
        const std::int64_t seq_length =
            root.get_object("data").require_int("seq_length", 1, 1 << 20);
        const ModelConfig config = ModelConfig::from_json(model, seq_length);
        model.finish();
        EXPECT_NO_THROW(root.problems().throw_if_any(name));
        EXPECT_EQ(config.trunk_shape(), (StreamShape{Layout::kTokens, 16384, 128, 32})) << name;
    }
}

}  // namespace
}  // namespace flagen::models
