#include "flagen/models/model_config.h"

#include "option_table.h"

namespace flagen::models {
namespace {

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

}  // namespace

ModelConfig ModelConfig::from_json(JsonObject& model, std::int64_t seq_length) {
    ModelConfig config;
    config.seq_length = seq_length;
    StreamShape shape = input_shape(seq_length);
    bool shape_known = true;
    std::vector<JsonObject> blocks = model.get_objects("trunk");
    if (blocks.empty()) {
        model.add_problem("trunk", "needs at least one block, as {\"name\": \"conv_dna\"}");
    }
    for (JsonObject& json : blocks) {
        BlockConfig block;
        block.name = json.require_string("name");
        block.repeat = json.get_int("repeat", 1, 1, kMaxRepeat);
        const std::size_t before = json.problems().size();
        block.spec = block.name.empty() ? nullptr : parse_block(block.name, json);
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
    JsonObject heads = model.get_object("heads");
    JsonObject genes = heads.get_object("genes");
    OptionTable table = OptionTable::reader(genes);
    config.genes.bind(table);
    config.genes.check(genes);
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
    JsonObject genes_json = model.set_object("heads").set_object("genes");
    OptionTable table = OptionTable::writer(genes_json);
    GeneHeadConfig copy = genes;
    copy.bind(table);
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

}  // namespace flagen::models
