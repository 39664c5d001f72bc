#pragma once

// One chunk of 16 tokens of the gated family. For sources built once for each instruction set only.
//
// A chunk of 16 needs fewer operations than a longer one (the state costs 4 K V a token whatever the
// length, the scores C (K + V)), and lets every decay between two tokens be a running product of
// factors exp(g) <= 1: nothing can overflow, and no exponents are subtracted, so -inf is harmless.
// Only the decay of the state over the chunk is taken as expm1(sum of g): 1 + expm1() has no rounding
// bias when gates are close to 0, where a rounded exp(g) would shift the state's memory length.

#include <cstdint>

#include "fla/decay.h"
#include "gated/gated_tasks.h"
#include "host/dense_tiles.h"

namespace fla::FLA_ISA {

inline constexpr std::int64_t kChunk = 16;

/// Hands out 64-byte aligned pieces of one block. A null base only counts.
class Scratch {
  public:
    explicit Scratch(float* base) : base_(base) {}

    float* take(std::int64_t floats) {
        float* piece = base_ == nullptr ? nullptr : base_ + used_;
        used_ += round_up_to_tile(floats);
        return piece;
    }

    [[nodiscard]] std::int64_t used() const { return used_; }

  private:
    float* base_;
    std::int64_t used_ = 0;
};

/// Flushes denormal numbers to zero while it lives; they would slow decayed states down a lot.
class FlushDenormals {
  public:
#if defined(__SSE__)
    FlushDenormals() : saved_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(saved_ | 0x8040U); }
    ~FlushDenormals() { __builtin_ia32_ldmxcsr(saved_); }

  private:
    unsigned int saved_;
#else
    FlushDenormals() {}
    ~FlushDenormals() {}
#endif

  public:
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;
};

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

/// Loads what the state needs: k, v, decays. Returns whether every log_decay is <= 0.
template <Decay kDecay>
inline bool load_keys(const GatedTask& task, std::int64_t first, std::int64_t count,
                      const Chunk& c) {
    load_rows(task.k.data + first * task.k.stride, task.k.stride, count, c.keys, kChunk, c.k, c.kp);
    load_rows(task.v.data + first * task.v.stride, task.v.stride, count, c.values, kChunk, c.v, c.vp);
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

/// state[K, vp] = diag(decay of the chunk) state + left^T right, left [16, kp], right [16, vp].
template <Decay kDecay>
inline void advance_state(const Chunk& c, const float* left, const float* right, float* state) {
    if constexpr (kDecay != Decay::kNone) {
        for (std::int64_t x = 0; x < c.keys; ++x) {
            const Floats m1 = broadcast(c.end_m1[x]);
            for (std::int64_t y = 0; y < c.vp; y += kLanes) {
                const Floats s = load(state + x * c.vp + y);
                store(state + x * c.vp + y, s + s * m1);
            }
        }
    }
    multiply<Into::kAdd>(c.keys, c.vp, kChunk, LeftMatrix{left, 1, c.kp}, right, c.vp, state, c.vp);
}

/// out[i] = sum of the kLanes floats of row i, for 16 rows.
inline void sum_rows(const float* rows, float* out) {
    for (std::int64_t i = 0; i < kChunk; ++i) {
        out[i] = sum_lanes(load(rows + i * kLanes));
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
        multiply<Into::kAdd>(4, width, i + 4, LeftMatrix{lower + i * kChunk, kChunk, 1}, right, width,
                             out + i * width, width);
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

[[nodiscard]] inline std::int64_t tokens_in_chunk(std::int64_t tokens, std::int64_t first) {
    return tokens - first < kChunk ? tokens - first : kChunk;
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

/// Calls function<kDecay>(arguments...) for the decay kind of the task.
#define FLA_BY_DECAY(task, function, ...)                           \
    ((task).decay == Decay::kNone   ? function<Decay::kNone>(__VA_ARGS__) \
     : (task).decay == Decay::kHead ? function<Decay::kHead>(__VA_ARGS__) \
                                    : function<Decay::kChannel>(__VA_ARGS__))

}  // namespace fla::FLA_ISA
