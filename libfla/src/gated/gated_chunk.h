#pragma once

// One chunk of 16 tokens of the gated family. For sources built once for each instruction set only.
//
// A chunk of 16 needs fewer operations than a longer one (the state costs 4 K V a token whatever
// the length, the scores C (K + V)), and lets every decay between two tokens be a running product
// of factors exp(g) <= 1: nothing can overflow, and no exponents are subtracted, so -inf is
// harmless. Only the decay of the state over the chunk is taken as expm1(sum of g): 1 + expm1() has
// no rounding bias when gates are close to 0, where a rounded exp(g) would shift the state's memory
// length.

#include <cstdint>

#include "fla/decay.h"
#include "gated/gated_scratch.h"
#include "gated/gated_tasks.h"
#include "host/dense_tiles.h"

namespace fla::FLA_ISA {

inline constexpr std::int64_t kChunk = 16;

/// Operands of one chunk. Rows past the end of the sequence are q = k = v = 0 with decay 1.
///
/// Widths: kp and vp are K and V rounded up; dw is 1 (kHead) or kp (kChannel).
struct Chunk {
    std::int64_t keys, values, kp, vp, dw;
    float* q;          // [16, kp] scaled
    float* k;          // [16, kp]
    float* v;          // [16, vp]
    float* log_decay;  // [16, dw]
    float* step;       // [16, dw] exp(log_decay)
    float* prefix;     // [16, dw] decay from the chunk's start through the token
    float* suffix;     // [16, dw] decay behind the token up to the chunk's end
    float* end_m1;     // [kp] expm1 of the log-decay of the whole chunk
    float* q_in;       // [16, kp] q * prefix: reads the state ahead of the chunk
    float* k_out;      // [16, kp] k * suffix: writes the state behind the chunk
    float* k_t;        // [kp, 16]
    float* gamma;      // [16, 16] decay from token j to token i (kHead)
    float* scores;     // [16, 16] q_i . k_j with decay, 0 above the diagonal
};

template <Decay kDecay>
inline Chunk make_chunk(const GatedTask& task, Scratch& scratch) {
    Chunk c{};
    c.keys = task.keys;
    c.values = task.values;
    c.kp = round_up_to_tile(task.keys);
    c.vp = round_up_to_tile(task.values);
    c.dw = kDecay == Decay::kChannel ? c.kp : 1;
    c.q = scratch.take(kChunk * c.kp);
    c.k = scratch.take(kChunk * c.kp);
    c.v = scratch.take(kChunk * c.vp);
    c.k_t = scratch.take(kChunk * c.kp);
    c.scores = scratch.take(kChunk * kChunk);
    c.gamma = scratch.take(kChunk * kChunk);
    c.q_in = c.q;
    c.k_out = c.k;
    if constexpr (kDecay != Decay::kNone) {
        c.q_in = scratch.take(kChunk * c.kp);
        c.k_out = scratch.take(kChunk * c.kp);
        c.end_m1 = scratch.take(c.kp);
        c.log_decay = scratch.take(kChunk * c.dw);
        c.step = scratch.take(kChunk * c.dw);
        c.prefix = scratch.take(kChunk * c.dw);
        c.suffix = scratch.take(kChunk * c.dw);
    }
    return c;
}

/// exp(x) - 1 for x <= 0 without cancellation near 0; -inf gives -1.
[[gnu::always_inline]] inline Floats expm1_nonpositive(Floats x) {
    constexpr float kLowest = -87.0F;
    const Floats clamped = x < kLowest ? broadcast(kLowest) : x;
    const Ints n = __builtin_convertvector(clamped * 1.44269504F - 0.5F, Ints);
    const Floats n_float = __builtin_convertvector(n, Floats);
    const Floats r = (clamped - n_float * 0.693359375F) - n_float * -2.12194440e-4F;
    Floats p = r * 1.9875691500e-4F + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * (r * r) + r;
    const Ints power_bits = (n + 127) << 23;
    Floats power;
    __builtin_memcpy(&power, &power_bits, sizeof(power));
    return p * power + (power - 1.0F);
}

/// row[0, width) *= factor, or *= factors[0, width).
inline void scale_row(float* row, std::int64_t width, float factor) {
    for (std::int64_t x = 0; x < width; x += kLanes) {
        store(row + x, load(row + x) * factor);
    }
}
inline void multiply_row(const float* row, const float* factors, std::int64_t width, float* out) {
    for (std::int64_t x = 0; x < width; x += kLanes) {
        store(out + x, load(row + x) * load(factors + x));
    }
}

/// Multiplies 16 rows of width kp by decay factors [16, dw] into `out`, which may be `rows`.
template <Decay kDecay>
inline void apply_decay(const Chunk& c, const float* rows, const float* factors, float* out) {
    for (std::int64_t i = 0; i < kChunk; ++i) {
        const float* row = rows + i * c.kp;
        float* out_row = out + i * c.kp;
        if constexpr (kDecay == Decay::kChannel) {
            multiply_row(row, factors + i * c.kp, c.kp, out_row);
        } else {
            const Floats factor = broadcast(factors[i]);
            for (std::int64_t x = 0; x < c.kp; x += kLanes) {
                store(out_row + x, load(row + x) * factor);
            }
        }
    }
}

/// Fills the factors of one decay column (kHead: dw = 1) or of `kLanes` columns from log_decay.
inline void fill_head_decay(const Chunk& c) {
    for (std::int64_t i = 0; i < kChunk; i += kLanes) {
        store(c.step + i, exp_nonpositive(load(c.log_decay + i)));
    }
    float product = 1.0F;
    double sum = 0.0;
    for (std::int64_t i = 0; i < kChunk; ++i) {
        product *= c.step[i];
        c.prefix[i] = product;
        sum += static_cast<double>(c.log_decay[i]);
    }
    product = 1.0F;
    for (std::int64_t i = kChunk - 1; i >= 0; --i) {
        c.suffix[i] = product;
        product *= c.step[i];
    }
    const Floats end_m1 = expm1_nonpositive(broadcast(static_cast<float>(sum)));
    for (std::int64_t x = 0; x < c.kp; x += kLanes) {
        store(c.end_m1 + x, end_m1);
    }
    Floats row[kChunk / kLanes] = {};
    for (std::int64_t i = 0; i < kChunk; ++i) {
        float* out = c.gamma + i * kChunk;
        for (std::int64_t x = 0; x < kChunk / kLanes; ++x) {
            store(out + x * kLanes, row[x] * c.step[i]);
        }
        out[i] = 1.0F;
        for (std::int64_t x = 0; x < kChunk / kLanes; ++x) {
            row[x] = load(out + x * kLanes);
        }
    }
}

inline void fill_channel_decay(const Chunk& c) {
    for (std::int64_t x = 0; x < c.kp; x += kLanes) {
        Floats product = broadcast(1.0F);
        Floats sum = {};
        for (std::int64_t i = 0; i < kChunk; ++i) {
            const Floats g = load(c.log_decay + i * c.kp + x);
            const Floats step = exp_nonpositive(g);
            product *= step;
            sum += g;
            store(c.step + i * c.kp + x, step);
            store(c.prefix + i * c.kp + x, product);
        }
        product = broadcast(1.0F);
        for (std::int64_t i = kChunk - 1; i >= 0; --i) {
            store(c.suffix + i * c.kp + x, product);
            product *= load(c.step + i * c.kp + x);
        }
        store(c.end_m1 + x, expm1_nonpositive(sum));
    }
}

/// Loads log_decay and derives every decay factor. Returns whether all values are <= 0.
template <Decay kDecay>
inline bool load_decay(const GatedTask& task, std::int64_t first, std::int64_t count,
                       const Chunk& c) {
    const float* from = task.log_decay.data + first * task.log_decay.stride;
    if constexpr (kDecay == Decay::kHead) {
        bool valid = true;
        for (std::int64_t i = 0; i < kChunk; ++i) {
            c.log_decay[i] = i < count ? from[i * task.log_decay.stride] : 0.0F;
            valid = valid && c.log_decay[i] <= 0.0F;
        }
        fill_head_decay(c);
        return valid;
    } else {
        load_rows(from, task.log_decay.stride, count, c.keys, kChunk, c.log_decay, c.kp);
        Ints valid = ~Ints{};
        for (std::int64_t x = 0; x < kChunk * c.kp; x += kLanes) {
            valid &= load(c.log_decay + x) <= 0.0F;
        }
        fill_channel_decay(c);
        std::int32_t all = -1;
        for (int lane = 0; lane < kLanes; ++lane) {
            all &= valid[lane];
        }
        return all == -1;
    }
}

[[nodiscard]] inline std::int64_t tokens_in_chunk(std::int64_t tokens, std::int64_t first) {
    return tokens - first < kChunk ? tokens - first : kChunk;
}

/// Asks for the rows of the chunk that begins at `first`, if it lies in the sequence. Rows of one
/// head are short pieces far apart, which hardware prefetchers do not follow.
template <bool kForWriting = false, typename Pointer>
inline void prefetch_rows(const TokenRows<Pointer>& rows, std::int64_t width, std::int64_t first,
                          std::int64_t tokens) {
    if (first < 0 || first >= tokens || rows.data == nullptr) {
        return;
    }
    const std::int64_t count = tokens_in_chunk(tokens, first);
    for (std::int64_t i = 0; i < count; ++i) {
        const float* row = rows.data + (first + i) * rows.stride;
        for (std::int64_t x = 0; x < width; x += 16) {
            __builtin_prefetch(row + x, kForWriting ? 1 : 0, 3);
        }
    }
}

/// prefetch_rows() for what load_keys() reads.
template <Decay kDecay>
inline void prefetch_keys(const GatedTask& task, std::int64_t first) {
    prefetch_rows(task.k, task.keys, first, task.tokens);
    prefetch_rows(task.v, task.values, first, task.tokens);
    if constexpr (kDecay != Decay::kNone) {
        prefetch_rows(task.log_decay, kDecay == Decay::kChannel ? task.keys : 1, first,
                      task.tokens);
    }
}

/// Loads what the state needs: k, v, decays. Returns whether every log_decay is <= 0.
template <Decay kDecay>
inline bool load_keys(const GatedTask& task, std::int64_t first, std::int64_t count,
                      const Chunk& c) {
    load_rows(task.k.data + first * task.k.stride, task.k.stride, count, c.keys, kChunk, c.k, c.kp);
    load_rows(task.v.data + first * task.v.stride, task.v.stride, count, c.values, kChunk, c.v,
              c.vp);
    bool valid = true;
    if constexpr (kDecay != Decay::kNone) {
        valid = load_decay<kDecay>(task, first, count, c);
        apply_decay<kDecay>(c, c.k, c.suffix, c.k_out);
    }
    return valid;
}

template <Decay kDecay>
inline void load_queries(const GatedTask& task, std::int64_t first, std::int64_t count,
                         const Chunk& c) {
    load_rows(task.q.data + first * task.q.stride, task.q.stride, count, c.keys, kChunk, c.q, c.kp);
    scale_row(c.q, kChunk * c.kp, task.scale);
    if constexpr (kDecay != Decay::kNone) {
        apply_decay<kDecay>(c, c.q, c.prefix, c.q_in);
    }
}
/// Returns the first of `count` tokens whose log_decay is positive or NaN.
template <Decay kDecay>
inline std::int64_t find_bad_token(const Chunk& c, std::int64_t count) {
    for (std::int64_t i = 0; i < count * c.dw; ++i) {
        if (!(c.log_decay[i] <= 0.0F)) {
            return i / c.dw;
        }
    }
    return 0;
}
}  // namespace fla::FLA_ISA
