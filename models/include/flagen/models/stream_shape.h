#pragma once

#include <cstdint>

namespace flagen::models {

/// How the tensor between two blocks is laid out. Axes: B windows, L bases, T tokens, C channels.
enum class Layout {
    kCodes,   ///< [B, L] uint8, A C G T N = 0..4: the model's input.
    kTokens,  ///< [B, T, C], channels last: everything else.
};

/// Shape of what flows from one block of the trunk to the next, for one window.
struct StreamShape {
    Layout layout = Layout::kCodes;
    std::int64_t num_tokens = 0;    ///< T; bases where the layout is kCodes.
    std::int64_t num_channels = 0;  ///< C; 4 where the layout is kCodes.
    std::int64_t bp_per_token = 1;  ///< Token t stands for bases [t * bp, (t + 1) * bp).

    bool operator==(const StreamShape&) const = default;
};

/// The shape of a window of `seq_length` bases before the first block.
[[nodiscard]] constexpr StreamShape input_shape(std::int64_t seq_length) {
    return {Layout::kCodes, seq_length, 4, 1};
}

}  // namespace flagen::models
