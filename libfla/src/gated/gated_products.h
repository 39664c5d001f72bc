#pragma once

// Matrix products of one chunk: states, scores, triangular factors. For sources built once for each
// instruction set only.

#include <cstdint>

#include "gated/gated_chunk.h"

namespace fla::FLA_ISA {

/// Register tile of advance_state(): rows x .. x+kRows-1 and columns y .. y+kVectors*kLanes-1.
template <Decay kDecay, int kRows, int kVectors>
[[gnu::always_inline]] inline void advance_tile(const Chunk& c, const float* left,
                                                const float* right, const float* from, float* to,
                                                std::int64_t x, std::int64_t y) {
    Floats sums[kRows][kVectors];
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) {
            sums[i][j] = load(from + (x + i) * c.vp + y + j * kLanes);
            if constexpr (kDecay != Decay::kNone) {
                sums[i][j] += sums[i][j] * broadcast(c.end_m1[x + i]);
            }
        }
    }
    for (std::int64_t t = 0; t < kChunk; ++t) {
        Floats row[kVectors];
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) {
            row[j] = load(right + t * c.vp + y + j * kLanes);
        }
#pragma GCC unroll 4
        for (int i = 0; i < kRows; ++i) {
            const Floats factor = broadcast(left[t * c.kp + x + i]);
#pragma GCC unroll 4
            for (int j = 0; j < kVectors; ++j) {
                sums[i][j] += factor * row[j];
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) {
            store(to + (x + i) * c.vp + y + j * kLanes, sums[i][j]);
        }
    }
}

template <Decay kDecay, int kVectors>
inline void advance_columns(const Chunk& c, const float* left, const float* right,
                            const float* from, float* to, std::int64_t y) {
    std::int64_t x = 0;
    for (; x + 4 <= c.keys; x += 4) {
        advance_tile<kDecay, 4, kVectors>(c, left, right, from, to, x, y);
    }
    for (; x < c.keys; ++x) {
        advance_tile<kDecay, 1, kVectors>(c, left, right, from, to, x, y);
    }
}

/// to[K, vp] = diag(decay of the chunk) from + left^T right, for left [16, kp] and right [16, vp].
/// `to` may be `from`.
template <Decay kDecay>
inline void advance_state(const Chunk& c, const float* left, const float* right, const float* from,
                          float* to) {
    constexpr std::int64_t kStep = kTileVectors * kLanes;
    std::int64_t y = 0;
    for (; y + kStep <= c.vp; y += kStep) {
        advance_columns<kDecay, kTileVectors>(c, left, right, from, to, y);
    }
    for (; y < c.vp; y += kLanes) {
        advance_columns<kDecay, 1>(c, left, right, from, to, y);
    }
}

/// out[i] = sum of the kLanes floats of row i, for 16 rows.
inline void sum_rows(const float* rows, float* out) {
    using Four = float __attribute__((vector_size(16)));
    using LooseFour = float __attribute__((vector_size(16), aligned(4), may_alias));
    for (std::int64_t i = 0; i < kChunk; i += 4) {
        Four r[4] = {};
        for (std::int64_t j = 0; j < 4; ++j) {
            for (std::int64_t x = 0; x < kLanes; x += 4) {
                r[j] += *reinterpret_cast<const LooseFour*>(rows + (i + j) * kLanes + x);
            }
        }
        const Four a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5) +
                       __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
        const Four b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5) +
                       __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
        *reinterpret_cast<LooseFour*>(out + i) =
            __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
    }
}

/// Scores with a decay of their own in each channel, by running products: all factors are <= 1.
inline void fill_channel_scores(const Chunk& c) {
    for (std::int64_t i = 0; i < kChunk; ++i) {
        Floats sums[kChunk] = {};
        for (std::int64_t x = 0; x < c.kp; x += kLanes) {
            Floats query = load(c.q + i * c.kp + x);
            for (std::int64_t j = i; j >= 0; --j) {
                sums[j] += query * load(c.k + j * c.kp + x);
                query *= load(c.step + j * c.kp + x);
            }
        }
        float rows[kChunk * kLanes];
        for (std::int64_t j = 0; j < kChunk; ++j) {
            store(rows + j * kLanes, sums[j]);
        }
        sum_rows(rows, c.scores + i * kChunk);
    }
}

/// Zeroes a [16, 16] matrix above its diagonal.
inline void mask_upper(float* matrix) {
    for (std::int64_t i = 0; i < kChunk; ++i) {
        for (std::int64_t j = i + 1; j < kChunk; ++j) {
            matrix[i * kChunk + j] = 0.0F;
        }
    }
}

/// Fills c.scores from c.q, c.k and the decays.
template <Decay kDecay>
inline void fill_scores(const Chunk& c) {
    if constexpr (kDecay == Decay::kChannel) {
        fill_channel_scores(c);
    } else {
        transpose(kChunk, c.kp, c.k, c.kp, c.k_t, kChunk);
        multiply(kChunk, kChunk, c.keys, LeftMatrix{c.q, c.kp, 1}, c.k_t, kChunk, c.scores, kChunk);
        if constexpr (kDecay == Decay::kHead) {
            multiply_row(c.scores, c.gamma, kChunk * kChunk, c.scores);
        }
        mask_upper(c.scores);
    }
}

/// out[16, width] += lower right, for a lower triangular [16, 16] matrix.
inline void multiply_lower(const float* lower, const float* right, std::int64_t width, float* out) {
    for (std::int64_t i = 0; i < kChunk; i += 4) {
        multiply<Into::kAdd>(4, width, i + 4, LeftMatrix{lower + i * kChunk, kChunk, 1}, right,
                             width, out + i * width, width);
    }
}

/// out[16, width] += lower^T right.
inline void multiply_lower_transposed(const float* lower, const float* right, std::int64_t width,
                                      float* out) {
    for (std::int64_t j = 0; j < kChunk; j += 4) {
        multiply<Into::kAdd>(4, width, kChunk - j, LeftMatrix{lower + j * kChunk + j, 1, kChunk},
                             right + j * width, width, out + j * width, width);
    }
}

/// Copies an optional [K, V] state into padded rows of width vp, zeros where it is absent.
inline void load_state(const StateRows<const float*>& from, const Chunk& c, float* state) {
    load_rows(from.data, from.stride, from.data == nullptr ? 0 : c.keys, c.values, c.keys, state,
              c.vp);
}

inline void store_state(const float* state, const Chunk& c, const StateRows<float*>& to) {
    if (to.data != nullptr) {
        store_rows(state, c.vp, c.keys, c.values, to.data, to.stride);
    }
}

/// Calls function<kDecay>(arguments...) for the decay kind of the task.
#define FLA_BY_DECAY(task, function, ...)                                 \
    ((task).decay == Decay::kNone   ? function<Decay::kNone>(__VA_ARGS__) \
     : (task).decay == Decay::kHead ? function<Decay::kHead>(__VA_ARGS__) \
                                    : function<Decay::kChannel>(__VA_ARGS__))

}  // namespace fla::FLA_ISA
