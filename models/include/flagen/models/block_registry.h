#pragma once

#include <memory>
#include <string>
#include <vector>

#include "flagen/json_object.h"
#include "flagen/models/stream_shape.h"

namespace flagen::models {

class TrunkBlock;

/// Checked options of one block of the trunk; makes the module.
class BlockSpec {
  public:
    virtual ~BlockSpec() = default;

    [[nodiscard]] virtual StreamShape output_shape(const StreamShape& input) const = 0;
    /// Builds the module; parameters come from the torch generator of the CPU.
    [[nodiscard]] virtual std::shared_ptr<TrunkBlock> make(const StreamShape& input) const = 0;
    /// Writes every option, defaults included, under its key in the configuration.
    virtual void write(JsonObject& json) const = 0;
    /// Notes as problems of `json` what cannot work on an input of that shape.
    virtual void check(const StreamShape& input, JsonObject& json) const = 0;
};

/// Names that the `trunk` list of a model may use, in order of the registry.
[[nodiscard]] const std::vector<std::string>& block_names();

/// Reads the options of block `name` out of `json`. Faults are noted as problems of `json`: an
/// unknown name gives the nearest one and a null result; wrong values give the defaults.
[[nodiscard]] std::shared_ptr<const BlockSpec> parse_block(const std::string& name,
                                                           JsonObject& json);

}  // namespace flagen::models
