#include "flagen/models/precision.h"

#include <ATen/core/Tensor.h>

#include "flagen/error.h"

namespace flagen::models {

const std::vector<std::pair<Precision, std::string>>& precision_names() {
    static const std::vector<std::pair<Precision, std::string>> names = {
        {Precision::kFp32, "fp32"}, {Precision::kBf16, "bf16"}, {Precision::kFp16, "fp16"}};
    return names;
}

const std::string& precision_name(Precision precision) {
    for (const auto& [value, name] : precision_names()) {
        if (value == precision) {
            return name;
        }
    }
    throw_error("unknown precision");
}

at::ScalarType scalar_type_of(Precision precision) {
    switch (precision) {
        case Precision::kFp32:
            return at::kFloat;
        case Precision::kBf16:
            return at::kBFloat16;
        case Precision::kFp16:
            return at::kHalf;
    }
    throw_error("unknown precision");
}

Precision precision_of_name(const std::string& name) {
    for (const auto& [value, known] : precision_names()) {
        if (known == name) {
            return value;
        }
    }
    throw_error("unknown precision: ", name);
}

}  // namespace flagen::models
