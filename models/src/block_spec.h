#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <utility>

#include "flagen/json_object.h"
#include "flagen/models/block_registry.h"
#include "flagen/models/linear_mixer_options.h"
#include "flagen/models/stream_shape.h"
#include "flagen/models/trunk_block.h"
#include "option_table.h"
#include "strided_conv.h"

namespace flagen::models {

template <typename Options>
const LinearMixerOptions* find_linear_mixer(const Options& options) {
    if constexpr (requires {
                      { options.mixer } -> std::same_as<const LinearMixerOptions&>;
                  }) {
        return &options.mixer;
    } else {
        return nullptr;
    }
}

/// The spec of a block whose options have bind(), check() and output_shape(), and whose module is
/// built from (options, input shape). Options with inherit() take defaults of the model section.
template <typename Options, typename Block>
class BlockSpecOf : public BlockSpec {
  public:
    explicit BlockSpecOf(Options options) : options_(std::move(options)) {}

    StreamShape output_shape(const StreamShape& input) const override {
        return options_.output_shape(input);
    }
    std::shared_ptr<TrunkBlock> make(const StreamShape& input) const override {
        return std::make_shared<Block>(options_, input);
    }
    void write(JsonObject& json) const override {
        OptionTable table = OptionTable::writer(json);
        Options copy = options_;
        copy.bind(table);
    }
    void check(const StreamShape& input, JsonObject& json) const override {
        options_.check(input, json);
    }
    const LinearMixerOptions* linear_mixer() const override { return find_linear_mixer(options_); }

  private:
    Options options_;
};

template <typename Options, typename Block>
std::shared_ptr<const BlockSpec> parse_spec(JsonObject& json, const BlockDefaults& defaults) {
    Options options;
    if constexpr (requires { options.inherit(defaults); }) {
        options.inherit(defaults);
    }
    OptionTable table = OptionTable::reader(json);
    options.bind(table);
    return std::make_shared<BlockSpecOf<Options, Block>>(std::move(options));
}

/// Problems that several blocks can have.
void require_layout(const StreamShape& input, Layout layout, JsonObject& json);
bool require_strided_conv(std::int64_t kernel, std::int64_t stride, std::int64_t num_tokens,
                          JsonObject& json);
void require_divides(std::int64_t part, const std::string& key, std::int64_t whole,
                     const std::string& what, JsonObject& json);

}  // namespace flagen::models
