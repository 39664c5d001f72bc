#pragma once

#include <cstdint>

#include "fla/gated_attn.h"

namespace fla {

/// Sizes of one problem; `group` is the number of heads that share a query/key head.
struct GatedShape {
    std::int64_t batch = 0;
    std::int64_t tokens = 0;
    std::int64_t heads = 0;
    std::int64_t qk_heads = 0;
    std::int64_t group = 0;
    std::int64_t keys = 0;
    std::int64_t values = 0;
};

/// kCuda: float32, bfloat16 or float16, each tensor by itself, and float32 states.
enum class GatedDTypes { kFloat32, kFloat32OrFloat64, kCuda };

/// Checks shapes, dtypes and strides as gated_attn.h documents them and returns the sizes. The
/// values of log_decay are checked where they are read.
///
/// @throws fla::InvalidArgument naming the tensor, what was found and what was expected.
GatedShape check_gated_forward(const GatedForward& params, GatedDTypes dtypes);
GatedShape check_gated_backward(const GatedBackward& params, GatedDTypes dtypes);

/// Throws the InvalidArgument for a log_decay that is positive or NaN.
[[noreturn]] void throw_bad_log_decay(std::int64_t b, std::int64_t t, std::int64_t h);

}  // namespace fla
