#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "flagen/problems.h"

namespace flagen {

/// What one text held. `value` is usable only when both other members are empty.
struct ParsedJson {
    nlohmann::json value;
    std::optional<std::string> syntax_error;  ///< "line:column: reason"
    Problems problems;                        ///< duplicate keys
};

/// Reads one JSON value of any type. Unlike nlohmann::json::parse() it refuses duplicate keys and
/// nesting deeper than `max_depth`.
[[nodiscard]] ParsedJson parse_json_text(std::string_view text, int max_depth);

/// "a string (\"abc\")", "the number 3.5", "a list", for error messages.
[[nodiscard]] std::string describe_json(const nlohmann::json& value);

/// Appends a key or an index step such as "[2]" to a dotted path.
[[nodiscard]] std::string join_json_path(const std::string& path, const std::string& step);

}  // namespace flagen
