#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flagen/json_object.h"
#include "flagen/models/block_registry.h"
#include "flagen/models/gene_head_config.h"
#include "flagen/models/norm_types.h"
#include "flagen/models/stream_shape.h"
#include "flagen/models/track_head_config.h"

namespace flagen::models {

/// One entry of the trunk's list.
struct BlockConfig {
    std::string name;
    std::int64_t repeat = 1;
    std::shared_ptr<const BlockSpec> spec;
};

/// A whole model: the `model` section of a configuration.
///
///     {"trunk": [{"name": "conv_dna", "filters": 32},
///                {"name": "conv_tower", "filters": [48, 64, 88, 128]},
///                {"name": "linear_attn", "kind": "gla", "heads": 4, "repeat": 2}],
///      "heads": {"genes": {"hidden": 128}},
///      "head_human": {"name": "final", "units": 7611, "activation": "softplus"}}
///
/// Blocks run in the order of the list, each `repeat` times (with parameters of its own each time);
/// block_registry.h names them, models/README.md lists their keys. `activation`, `norm_type` and
/// `bn_momentum` of the section itself, as Borzoi's files have them, are the defaults of the blocks
/// that say so; `kernel_initializer` and `l2_scale` are accepted without effect.
struct ModelConfig {
    std::int64_t seq_length = 0;  ///< Bases of a window; comes from the `data` section.
    std::vector<BlockConfig> trunk;
    /// Key `activation` of the section: of the trunk's tokens, before every track head.
    Activation head_activation = Activation::kNone;
    std::optional<GeneHeadConfig> genes;       ///< Where `heads.genes` is given, or no head at all.
    std::vector<TrackHeadConfig> track_heads;  ///< By name, ascending.

    /// Reads a `model` section. Faults become problems of `model`: the result is usable only where
    /// there is none. Unknown keys are found by finish() of the root.
    [[nodiscard]] static ModelConfig from_json(JsonObject& model, std::int64_t seq_length);

    /// Reads the text that to_json_text() wrote. @throws UserError with all problems.
    [[nodiscard]] static ModelConfig from_json_text(const std::string& text,
                                                    const std::string& source_name);

    /// Writes the section with every default filled in.
    void write(JsonObject& model) const;
    /// {"seq_length": ..., "trunk": [...], "heads": {...}, ...}, canonical: equal models give equal
    /// text.
    [[nodiscard]] std::string to_json_text() const;

    /// Shape of the tokens that the trunk delivers to the heads.
    [[nodiscard]] StreamShape trunk_shape() const;
    /// The track head of that name, or null.
    [[nodiscard]] const TrackHeadConfig* find_track_head(const std::string& name) const;
};

}  // namespace flagen::models
