#pragma once

#include <string>

namespace flagen {
class JsonObject;
}

namespace flagen::apps {

/// Sets a score; an undefined one (NaN, as of a constant predictor) leaves the key out.
void set_defined(JsonObject& object, const char* key, double value);

/// A score for a table, "0.732", or "-" where it is undefined.
[[nodiscard]] std::string cell(double value);

}  // namespace flagen::apps
