#include "flagen/models/model_config.h"

#include <algorithm>

#include "option_table.h"

namespace flagen::models {
namespace {

const std::string kTrackHeadPrefix = "head_";

constexpr std::int64_t kMaxRepeat = 1024;
constexpr std::int64_t kMaxSeqLength = std::int64_t{1} << 32;

/// Checks a block on the shapes it would receive. Stops at the first repeat with a problem; an
/// empty shape tells the caller that the shapes behind it are unknown.
StreamShape check_block(const BlockConfig& block, StreamShape shape, JsonObject& json) {
    for (std::int64_t repeat = 0; repeat < block.repeat; ++repeat) {
        const std::size_t before = json.problems().size();
        block.spec->check(shape, json);
        if (json.problems().size() != before) {
            return {};
        }
        shape = block.spec->output_shape(shape);
    }
    return shape;
}

BlockDefaults read_defaults(JsonObject& model, std::int64_t seq_length) {
    BlockDefaults defaults;
    OptionTable table = OptionTable::reader(model);
    if (model.has("activation")) {
        table.choice("activation", defaults.activation.emplace(), borzoi_activation_names());
    }
    if (model.has("norm_type")) {
        table.choice_or_null("norm_type", defaults.norm.emplace(), borzoi_norm_names(),
                             NormType::kNone);
    }
    if (model.has("bn_momentum")) {
        table.number("bn_momentum", defaults.bn_momentum.emplace(0.9), 0.0, 1.0);
    }
    if (model.get_int("seq_length", seq_length) != seq_length) {
        model.add_problem("seq_length",
                          detail::concatenate("differs from data.seq_length, ", seq_length));
    }
    for (const char* key : {"kernel_initializer", "l2_scale"}) {
        model.ignore(key);
    }
    return defaults;
}

void read_heads(JsonObject& model, ModelConfig& config) {
    for (const std::string& key : model.keys()) {
        if (key.starts_with(kTrackHeadPrefix)) {
            JsonObject json = model.get_object(key);
            config.track_heads.push_back(
                TrackHeadConfig::from_json(key.substr(kTrackHeadPrefix.size()), json));
        }
    }
    JsonObject heads = model.get_object("heads");
    if (!heads.has("genes") && !config.track_heads.empty()) {
        return;
    }
    JsonObject genes = heads.get_object("genes");
    OptionTable table = OptionTable::reader(genes);
    config.genes.emplace().bind(table);
    config.genes->check(genes);
}

}  // namespace

ModelConfig ModelConfig::from_json(JsonObject& model, std::int64_t seq_length) {
    ModelConfig config;
    config.seq_length = seq_length;
    const BlockDefaults defaults = read_defaults(model, seq_length);
    config.head_activation = defaults.activation.value_or(Activation::kNone);
    StreamShape shape = input_shape(seq_length);
    bool shape_known = true;
    std::vector<JsonObject> blocks = model.get_objects("trunk");
    if (blocks.empty()) {
        model.add_problem("trunk", "needs at least one block, as {\"name\": \"conv_dna\"}");
    }
    for (JsonObject& json : blocks) {
        BlockConfig block;
        block.name = json.require_string("name");
        if (!block_owns_repeat(block.name)) {
            block.repeat = json.get_int("repeat", 1, 1, kMaxRepeat);
        }
        const std::size_t before = json.problems().size();
        block.spec = block.name.empty() ? nullptr : parse_block(block.name, json, defaults);
        // Wrong options have been replaced by defaults: what follows from them would mislead.
        shape_known = shape_known && block.spec && json.problems().size() == before;
        if (shape_known) {
            shape = check_block(block, shape, json);
            shape_known = shape.num_tokens > 0;
        }
        config.trunk.push_back(std::move(block));
    }
    if (shape_known && !blocks.empty() && shape.layout == Layout::kCodes) {
        model.add_problem("trunk", "delivers no tokens to the heads");
    }
    read_heads(model, config);
    return config;
}

ModelConfig ModelConfig::from_json_text(const std::string& text, const std::string& source_name) {
    JsonObject root = JsonObject::parse(text, source_name);
    const std::int64_t seq_length = root.require_int("seq_length", 1, kMaxSeqLength);
    ModelConfig config = from_json(root, seq_length);
    root.finish();
    root.problems().throw_if_any(source_name);
    return config;
}

void ModelConfig::write(JsonObject& model) const {
    for (const BlockConfig& block : trunk) {
        JsonObject json = model.append_object("trunk");
        json.set("name", block.name);
        json.set("repeat", block.repeat);
        block.spec->write(json);
    }
    if (head_activation != Activation::kNone) {
        OptionTable table = OptionTable::writer(model);
        Activation copy = head_activation;
        table.choice("activation", copy, borzoi_activation_names());
    }
    if (genes) {
        JsonObject genes_json = model.set_object("heads").set_object("genes");
        OptionTable table = OptionTable::writer(genes_json);
        GeneHeadConfig copy = *genes;
        copy.bind(table);
    }
    for (const TrackHeadConfig& head : track_heads) {
        JsonObject json = model.set_object(kTrackHeadPrefix + head.name);
        head.write(json);
    }
}

std::string ModelConfig::to_json_text() const {
    JsonObject root;
    root.set("seq_length", seq_length);
    write(root);
    return root.dump(2) + "\n";
}

StreamShape ModelConfig::trunk_shape() const {
    StreamShape shape = input_shape(seq_length);
    for (const BlockConfig& block : trunk) {
        for (std::int64_t repeat = 0; repeat < block.repeat; ++repeat) {
            shape = block.spec->output_shape(shape);
        }
    }
    return shape;
}

const TrackHeadConfig* ModelConfig::find_track_head(const std::string& name) const {
    const auto found =
        std::find_if(track_heads.begin(), track_heads.end(),
                     [&name](const TrackHeadConfig& head) { return head.name == name; });
    return found == track_heads.end() ? nullptr : &*found;
}

}  // namespace flagen::models
