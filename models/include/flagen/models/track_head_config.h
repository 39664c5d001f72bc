#pragma once

#include <cstdint>
#include <string>

namespace flagen {
class JsonObject;
}

namespace flagen::models {

/// A track head: the key `head_<name>` of the model section, as Borzoi writes it,
///
///     "head_human": {"name": "final", "units": 7611, "activation": "softplus"}
struct TrackHeadConfig {
    std::string name;        ///< What follows "head_" in the key.
    std::int64_t units = 0;  ///< Tracks.

    /// Reads the object under "head_" + name. Faults become problems of `json`.
    [[nodiscard]] static TrackHeadConfig from_json(const std::string& name, JsonObject& json);
    void write(JsonObject& json) const;
};

}  // namespace flagen::models
