#pragma once

#include <cstdint>

namespace fla {

/// How fast the state of the gated family forgets. All share one recurrence (gated_attn.h).
enum class Decay : std::int8_t {
    kNone,     ///< Linear attention.
    kHead,     ///< One decay per token and head: retention, simple GLA, Mamba-2 SSD.
    kChannel,  ///< One decay per token, head and key channel: gated linear attention (GLA).
};

}  // namespace fla
