#pragma once

#include <cstdint>

namespace fla {

/// Order in which a recurrence visits the tokens of a sequence.
enum class Direction : std::int8_t {
    kForward,  ///< Token 0 first; the initial state is the state before token 0.
    kReverse,  ///< Token T-1 first; the initial state is the state "before" token T-1.
};

}  // namespace fla
