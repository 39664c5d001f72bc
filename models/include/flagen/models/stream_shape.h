#pragma once

#include <cstdint>
#include <vector>

namespace flagen::models {

/// How the tensor between two blocks is laid out. Axes: B windows, L bases, T tokens, C channels.
enum class Layout {
    kCodes,   ///< [B, L] uint8, A C G T N = 0..4: the model's input.
    kTokens,  ///< [B, T, C], channels last: everything else.
};

/// Sizes of tokens that a tower keeps before pooling, for a U-Net step further on.
struct SkipShape {
    std::int64_t num_tokens = 0;
    std::int64_t num_channels = 0;

    bool operator==(const SkipShape&) const = default;
};

/// Shape of what flows from one block of the trunk to the next, for one window.
struct StreamShape {
    Layout layout = Layout::kCodes;
    std::int64_t num_tokens = 0;    ///< T; bases where the layout is kCodes.
    std::int64_t num_channels = 0;  ///< C; 4 where the layout is kCodes.
    /// Token t stands for bases [offset_bp + t * bp, offset_bp + (t + 1) * bp) of the window.
    std::int64_t bp_per_token = 1;
    std::int64_t offset_bp = 0;         ///< Bases before the first token; cropping moves it.
    std::vector<SkipShape> skips = {};  ///< Offered so far and not yet taken, in order.

    /// One past the last base that a token stands for.
    [[nodiscard]] std::int64_t end_bp() const { return offset_bp + num_tokens * bp_per_token; }

    bool operator==(const StreamShape&) const = default;
};

/// The shape of a window of `seq_length` bases before the first block.
[[nodiscard]] inline StreamShape input_shape(std::int64_t seq_length) {
    return {Layout::kCodes, seq_length, 4, 1};
}

}  // namespace flagen::models
