#pragma once

#include <cstdint>

namespace flagen::models {

/// How the tensor between two blocks is laid out. Axes: B windows, L bases, T tokens, C channels.
enum class Layout {
    kCodes,     ///< [B, L] uint8, A C G T N = 0..4: the model's input.
    kChannels,  ///< [B, C, T]: the convolutions.
    kTokens,    ///< [B, T, C]: the mixers and everything after them.
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

/// `shape` seen as tokens: the same sizes in layout kTokens.
[[nodiscard]] constexpr StreamShape as_tokens(StreamShape shape) {
    shape.layout = Layout::kTokens;
    return shape;
}

}  // namespace flagen::models
