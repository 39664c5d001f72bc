#pragma once

#include <cstdint>

#include "fla/delta_rule.h"

namespace fla {

/// Sizes of one problem; `group` is the number of heads that share a query/key head.
struct DeltaShape {
    std::int64_t batch = 0;
    std::int64_t tokens = 0;
    std::int64_t heads = 0;
    std::int64_t qk_heads = 0;
    std::int64_t group = 0;
    std::int64_t keys = 0;
    std::int64_t values = 0;
};

enum class DeltaDTypes { kFloat32, kFloat32OrFloat64 };

/// Checks shapes, dtypes, strides and gates as delta_rule.h documents them and returns the sizes.
///
/// @throws fla::InvalidArgument naming the tensor, what was found and what was expected.
DeltaShape check_delta_forward(const DeltaForward& params, DeltaDTypes dtypes);
DeltaShape check_delta_backward(const DeltaBackward& params, DeltaDTypes dtypes);

}  // namespace fla
