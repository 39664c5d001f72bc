#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flagen/json_object.h"
#include "flagen/models/norm_types.h"
#include "flagen/models/stream_shape.h"

namespace flagen::models {

class TrunkBlock;
struct LinearMixerOptions;

/// Keys of the model section that stand for absent keys of the blocks that Borzoi's files know.
struct BlockDefaults {
    std::optional<Activation> activation;  ///< `activation`
    std::optional<NormType> norm;          ///< `norm_type`
    std::optional<double> bn_momentum;     ///< `bn_momentum`, the share that running values keep.
};

/// Checked options of one block of the trunk; makes the module.
class BlockSpec {
  public:
    virtual ~BlockSpec() = default;

    [[nodiscard]] virtual StreamShape output_shape(const StreamShape& input) const = 0;
    /// Builds the module; parameters come from the torch generator of the CPU.
    [[nodiscard]] virtual std::shared_ptr<TrunkBlock> make(const StreamShape& input) const = 0;
    /// Writes every option, defaults included, under its key in the configuration.
    virtual void write(JsonObject& json) const = 0;
    /// Options of the block's linear mixer; null where it has none.
    [[nodiscard]] virtual const LinearMixerOptions* linear_mixer() const { return nullptr; }
    /// Notes as problems of `json` what cannot work on an input of that shape.
    virtual void check(const StreamShape& input, JsonObject& json) const = 0;
};

/// Names that the `trunk` list of a model may use, in order of the registry.
[[nodiscard]] const std::vector<std::string>& block_names();

/// Whether `repeat` is an option of the block itself, which has as many stages, and not a number of
/// blocks.
[[nodiscard]] bool block_owns_repeat(const std::string& name);

/// Reads the options of block `name` out of `json`. Faults are noted as problems of `json`: an
/// unknown name gives the nearest one and a null result; wrong values give the defaults.
[[nodiscard]] std::shared_ptr<const BlockSpec> parse_block(const std::string& name,
                                                           JsonObject& json,
                                                           const BlockDefaults& defaults = {});

}  // namespace flagen::models
