#include "flagen/models/linear_mixer_options.h"

#include <utility>
#include <vector>

#include "block_spec.h"
#include "flagen/error.h"

namespace flagen::models {
namespace {

const std::vector<std::pair<MixerKind, std::string>>& kind_names() {
    static const std::vector<std::pair<MixerKind, std::string>> names = {
        {MixerKind::kLinear, "linear"},     {MixerKind::kScalar, "scalar"},
        {MixerKind::kSsd, "ssd"},           {MixerKind::kGla, "gla"},
        {MixerKind::kDeltanet, "deltanet"}, {MixerKind::kGatedDeltanet, "gated_deltanet"}};
    return names;
}

}  // namespace

const std::string& mixer_kind_name(MixerKind kind) {
    for (const auto& [value, name] : kind_names()) {
        if (value == kind) {
            return name;
        }
    }
    throw_error("unknown kind of mixer");
}

void LinearMixerOptions::bind(OptionTable& table) {
    table.choice("kind", kind, kind_names());
    table.integer("heads", heads, 1, 1024);
    table.integer("key", key, 1, 1024);
    table.integer("value", value, 1, 1024);
    table.integer("key_heads", key_heads, 0, 1024);
    table.flag("bidirectional", bidirectional);
    if (bidirectional) {
        table.choice<DirectionHeads>(
            "direction_heads", direction_heads,
            {{DirectionHeads::kSplit, "split"}, {DirectionHeads::kEach, "each"}});
    }
    table.integer("short_conv", short_conv, 0, 64);
    table.integer("local_conv", local_conv, 0, 63);
    table.flag("output_gate", output_gate);
    // Keys of one kind are unknown to the others, so that no value is accepted without effect.
    if (kind == MixerKind::kLinear) {
        table.flag("normalize", normalize);
    }
    if (kind == MixerKind::kScalar) {
        table.choice<DecaySource>("decay", decay,
                                  {{DecaySource::kData, "data"}, {DecaySource::kFixed, "fixed"}});
    }
    if (kind == MixerKind::kScalar && decay == DecaySource::kData) {
        table.number("decay_bias", decay_bias, -100.0, 100.0);
        table.number("decay_temperature", scalar_temperature, 0.01, 1e6);
    }
    if (kind == MixerKind::kGla) {
        table.number("decay_temperature", gla_temperature, 0.01, 1e6);
        table.integer("decay_rank", decay_rank, 1, 4096);
    }
}

void LinearMixerOptions::check(std::int64_t /*num_channels*/, JsonObject& json) const {
    const bool split = bidirectional && direction_heads == DirectionHeads::kSplit;
    if (split && heads % 2 != 0) {
        json.add_problem("heads", detail::concatenate("found ", heads,
                                                      "; must be even to be split over two "
                                                      "directions"));
        return;
    }
    if (key_heads > 0) {
        require_divides(key_heads, "key_heads", heads, "the number of heads", json);
        if (split && key_heads % 2 != 0) {
            json.add_problem("key_heads",
                             detail::concatenate("found ", key_heads,
                                                 "; must be even to be split over two directions"));
        }
    }
    if (local_conv > 0 && local_conv % 2 == 0) {
        json.add_problem("local_conv", detail::concatenate("found ", local_conv, "; must be odd"));
    }
}

}  // namespace flagen::models
