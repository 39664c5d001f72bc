#include "fla/tensor_ref.h"

namespace fla {

const char* name_of(DType dtype) {
    switch (dtype) {
        case DType::kFloat32:
            return "float32";
        case DType::kFloat64:
            return "float64";
        case DType::kBFloat16:
            return "bfloat16";
        case DType::kFloat16:
            return "float16";
    }
    return "unknown dtype";
}

}  // namespace fla
