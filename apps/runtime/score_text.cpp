#include "apps/runtime/score_text.h"

#include <cmath>
#include <cstdio>

#include "flagen/json_object.h"

namespace flagen::apps {

void set_defined(JsonObject& object, const char* key, double value) {
    if (std::isfinite(value)) {
        object.set(key, value);
    }
}

std::string cell(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), std::isfinite(value) ? "%.3f" : "-", value);
    return text;
}

}  // namespace flagen::apps
