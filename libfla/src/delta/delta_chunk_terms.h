#pragma once

// What the forward and the backward walk over chunks share: decays, scores, the triangular solve
// and the state update. Included only by sources that are built once for each instruction set.
//
// Per chunk of C tokens: G the inclusive sum of g, S the state before, and
//     pairs_ij  = exp(G_i - G_j)                  i >= j, else 0
//     gram_ij   = k_i . k_j * pairs_ij            i >  j, else 0
//     scores_ij = scale * q_i . k_j * pairs_ij    i >= j, else 0
//     E = V - exp(G) K S - gram U,   U = beta E      (block forward substitution)
//     O = scale exp(G) Q S + scores U
//     S' = exp(G_C) S + (exp(G_C - G) K)ᵀ U
// The gate stands inside the solve: with strong gates the gate-free inverse could overflow for keys
// that are not normalised where the product is harmless, and on a CPU it saves nothing.

#include "delta/delta_chunk.h"
#include "host/dense_tiles.h"

namespace fla::FLA_ISA {

inline constexpr std::int64_t kChunk = 64;  // Tokens in a chunk.
inline constexpr std::int64_t kBlock = 16;  // Rows of a diagonal block of the triangular matrices.
inline constexpr float kLowestGate = -105.0F;
static_assert(kBlock % kTileWidth == 0);

/// Hands out pieces of one scratch buffer; with a null base it only counts.
class ScratchArena {
  public:
    explicit ScratchArena(float* base) : base_(base) {}

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

/// Scratch of one chunk. Rows are tokens; widths are padded with zeros to `kp` and `vp`.
struct ChunkTerms {
    std::int64_t key_width, value_width, kp, vp;
    std::int64_t rows = 0;  // Tokens of the chunk, rounded up to whole blocks.
    float* k;               // [C, kp]
    float* k_transposed;    // [kp, C]
    float* scaled;          // [C, kp]: k or q times a factor a row
    float* gram;            // [C, C]
    float* pairs;           // [C, C]
    float* e;               // [C, vp]
    float* u;               // [C, vp]
    float* beta;            // [C]
    float* prefix;          // [C]: exp(G_i)
    float* suffix;          // [C]: exp(G_C - G_i)
    float whole = 1.0F;     // exp(G_C)

    ChunkTerms(std::int64_t keys, std::int64_t values, ScratchArena& arena)
        : key_width(keys),
          value_width(values),
          kp(round_up_to_tile(keys)),
          vp(round_up_to_tile(values)),
          k(arena.take(kChunk * kp)),
          k_transposed(arena.take(kChunk * kp)),
          scaled(arena.take(kChunk * kp)),
          gram(arena.take(kChunk * kChunk)),
          pairs(arena.take(kChunk * kChunk)),
          e(arena.take(kChunk * vp)),
          u(arena.take(kChunk * vp)),
          beta(arena.take(kChunk)),
          prefix(arena.take(kChunk)),
          suffix(arena.take(kChunk)) {}
};

[[gnu::always_inline]] inline Ints column_numbers(std::int64_t first) {
    Ints numbers;
    for (int i = 0; i < kLanes; ++i) {
        numbers[i] = static_cast<std::int32_t>(first) + i;
    }
    return numbers;
}

/// Fills pairs, prefix, suffix and whole for a head without a gate.
inline void set_no_decay(ChunkTerms& chunk) {
    for (std::int64_t i = 0; i < kChunk; ++i) {
        chunk.prefix[i] = 1.0F;
        chunk.suffix[i] = 1.0F;
        for (std::int64_t j = 0; j < kChunk; ++j) {
            chunk.pairs[i * kChunk + j] = j <= i ? 1.0F : 0.0F;
        }
    }
    chunk.whole = 1.0F;
}

/// Fills pairs, prefix, suffix and whole from the gates of `num_tokens` tokens.
///
/// Sums in double and splits the sums into two floats, so that many resets in one chunk cost later
/// decays no digits. Exponents are held at <= 0 before exp().
inline void set_decays(ChunkTerms& chunk, const float* log_decay, std::int64_t stride,
                       std::int64_t num_tokens) {
    double sums[kChunk];
    float high[kChunk];
    float low[kChunk];
    double sum = 0.0;
    for (std::int64_t i = 0; i < kChunk; ++i) {
        if (i < num_tokens) {
            const float g = log_decay[i * stride];
            sum += static_cast<double>(g < kLowestGate ? kLowestGate : g);
        }
        sums[i] = sum;
        high[i] = static_cast<float>(sum);
        low[i] = static_cast<float>(sum - static_cast<double>(high[i]));
        chunk.prefix[i] = high[i];
    }
    for (std::int64_t i = 0; i < kChunk; ++i) {
        chunk.suffix[i] = static_cast<float>(sum - sums[i]);
    }
    for (std::int64_t i = 0; i < kChunk; i += kLanes) {
        store(chunk.prefix + i, exp_nonpositive(load(chunk.prefix + i)));
        store(chunk.suffix + i, exp_nonpositive(load(chunk.suffix + i)));
    }
    chunk.whole = chunk.prefix[kChunk - 1];
    for (std::int64_t i = 0; i < chunk.rows; ++i) {
        const Ints row = column_numbers(0) * 0 + static_cast<std::int32_t>(i);
        for (std::int64_t j = 0; j < round_up_to_tile(i + 1); j += kLanes) {
            const auto inside = column_numbers(j) <= row;
            Floats exponent = (high[i] - load(high + j)) + (low[i] - load(low + j));
            exponent = inside ? exponent : Floats{};
            exponent = exponent > 0.0F ? Floats{} : exponent;
            const Floats decay = exp_nonpositive(exponent);
            store(chunk.pairs + i * kChunk + j, inside ? decay : Floats{});
        }
    }
}

enum class Diagonal : std::int32_t { kInside = 0, kOutside = 1 };

/// matrix = factor * matrix * pairs on and below the diagonal (or strictly below), 0 above, as far
/// as whole blocks reach. Masks by select: what stands above may be anything.
inline void apply_decays(const ChunkTerms& chunk, float factor, Diagonal diagonal, float* matrix) {
    for (std::int64_t i = 0; i < chunk.rows; ++i) {
        const auto last = static_cast<std::int32_t>(i) - static_cast<std::int32_t>(diagonal);
        const Ints last_column = column_numbers(0) * 0 + last;
        for (std::int64_t j = 0; j < round_up_to_tile(i + 1); j += kLanes) {
            float* entry = matrix + i * kChunk + j;
            const Floats value = factor * load(entry) * load(chunk.pairs + i * kChunk + j);
            store(entry, column_numbers(j) <= last_column ? value : Floats{});
        }
    }
}

/// out[i, j] = left_i . right_j for the blocks on and below the diagonal, right given transposed.
inline void lower_products(std::int64_t rows, std::int64_t depth, const float* left,
                           std::int64_t ld_left, const float* right_transposed, float* out) {
    for (std::int64_t i = 0; i < rows; i += kBlock) {
        multiply(kBlock, i + kBlock, depth, {left + i * ld_left, ld_left, 1}, right_transposed,
                 kChunk, out + i * kChunk, kChunk);
    }
}

/// out += lower * right with `lower` zero above the diagonal.
inline void add_lower_times(std::int64_t rows, std::int64_t width, const float* lower,
                            const float* right, float* out) {
    for (std::int64_t i = 0; i < rows; i += kBlock) {
        multiply<Into::kAdd>(kBlock, width, i + kBlock, {lower + i * kChunk, kChunk, 1}, right,
                             width, out + i * width, width);
    }
}

/// out += lowerᵀ * right with `lower` zero above the diagonal.
inline void add_lower_transposed_times(std::int64_t rows, std::int64_t width, const float* lower,
                                       const float* right, float* out) {
    for (std::int64_t i = 0; i < rows; i += kBlock) {
        multiply<Into::kAdd>(kBlock, width, rows - i, {lower + i * kChunk + i, 1, kChunk},
                             right + i * width, width, out + i * width, width);
    }
}

/// out_i = factor * factors_i * in_i for rows of `width` floats.
inline void scale_rows(std::int64_t rows, std::int64_t width, const float* in, const float* factors,
                       float factor, float* out) {
    for (std::int64_t i = 0; i < rows; ++i) {
        const Floats f = broadcast(factor * factors[i]);
        for (std::int64_t j = 0; j < width; j += kLanes) {
            store(out + i * width + j, f * load(in + i * width + j));
        }
    }
}

inline void scale_all(std::int64_t count, float factor, float* values) {
    for (std::int64_t j = 0; j < count; j += kLanes) {
        store(values + j, factor * load(values + j));
    }
}

/// inverse[kBlock, kBlock] = (I + L)^-1 by forward substitution, L_ij = row_i * gram_ij * column_j
/// strictly below the diagonal.
inline void invert_block(const float* gram, const float* row_factors, const float* column_factors,
                         float* inverse) {
    constexpr int kVectors = static_cast<int>(kBlock) / kLanes;
    for (std::int64_t i = 0; i < kBlock; ++i) {
        Floats row[kVectors] = {};
        for (std::int64_t j = 0; j < i; ++j) {
            const float l = row_factors[i] * gram[i * kChunk + j] * column_factors[j];
            for (int x = 0; x < kVectors; ++x) {
                row[x] -= l * load(inverse + j * kBlock + x * kLanes);
            }
        }
        for (int x = 0; x < kVectors; ++x) {
            store(inverse + i * kBlock + x * kLanes, row[x]);
        }
        inverse[i * kBlock + i] = 1.0F;
    }
}

/// Loads keys, beta and gates of the chunk that starts at `first` and computes decays and gram.
inline void load_keys(const DeltaHeadInputs& in, std::int64_t first, ChunkTerms& chunk) {
    const std::int64_t left = in.num_tokens - first;
    const std::int64_t n = left < kChunk ? left : kChunk;
    chunk.rows = round_up_to_tile(n);
    load_rows(in.k + first * in.k_stride, in.k_stride, n, in.key_width, chunk.rows, chunk.k,
              chunk.kp);
    for (std::int64_t i = 0; i < chunk.rows; ++i) {
        chunk.beta[i] = i < n ? in.beta[(first + i) * in.beta_stride] : 0.0F;
    }
    if (in.log_decay != nullptr) {
        set_decays(chunk, in.log_decay + first * in.log_decay_stride, in.log_decay_stride, n);
    }
    transpose(chunk.rows, chunk.kp, chunk.k, chunk.kp, chunk.k_transposed, kChunk);
    lower_products(chunk.rows, in.key_width, chunk.k, chunk.kp, chunk.k_transposed, chunk.gram);
    apply_decays(chunk, 1.0F, Diagonal::kOutside, chunk.gram);
}

/// Computes E and U of the loaded chunk from the state before it.
inline void solve_errors(const DeltaHeadInputs& in, std::int64_t first, const float* state,
                         ChunkTerms& chunk) {
    const std::int64_t left = in.num_tokens - first;
    const std::int64_t vp = chunk.vp;
    load_rows(in.v + first * in.v_stride, in.v_stride, left < kChunk ? left : kChunk,
              in.value_width, chunk.rows, chunk.e, vp);
    scale_rows(chunk.rows, chunk.kp, chunk.k, chunk.prefix, 1.0F, chunk.scaled);
    multiply<Into::kAdd>(chunk.rows, vp, in.key_width, {chunk.scaled, chunk.kp, 1}, state, vp,
                         chunk.e, vp, -1.0F);
    float ones[kBlock];
    for (float& one : ones) {
        one = 1.0F;
    }
    float inverse[kBlock * kBlock];
    for (std::int64_t i = 0; i < chunk.rows; i += kBlock) {
        const float* gram = chunk.gram + i * kChunk;
        float* e = chunk.e + i * vp;
        float* u = chunk.u + i * vp;
        multiply<Into::kAdd>(kBlock, vp, i, {gram, kChunk, 1}, chunk.u, vp, e, vp, -1.0F);
        invert_block(gram + i, ones, chunk.beta + i, inverse);
        multiply(kBlock, vp, kBlock, {inverse, kBlock, 1}, e, vp, u, vp);
        __builtin_memcpy(e, u, static_cast<std::size_t>(kBlock * vp) * sizeof(float));
        scale_rows(kBlock, vp, u, chunk.beta + i, 1.0F, u);
    }
}

/// Carries the state [kp, vp] over the chunk whose U is known.
inline void advance_state(ChunkTerms& chunk, float* state) {
    scale_all(chunk.kp * chunk.vp, chunk.whole, state);
    scale_rows(chunk.rows, chunk.kp, chunk.k, chunk.suffix, 1.0F, chunk.scaled);
    multiply<Into::kAdd>(chunk.key_width, chunk.vp, chunk.rows, {chunk.scaled, 1, chunk.kp},
                         chunk.u, chunk.vp, state, chunk.vp);
}

/// Loads a [K, V] matrix, zeros where it is absent, into scratch [kp, vp].
inline void load_state(const ChunkTerms& chunk, const float* in, std::int64_t stride, float* out) {
    const std::int64_t rows = in == nullptr ? 0 : chunk.key_width;
    load_rows(in, stride, rows, chunk.value_width, chunk.kp, out, chunk.vp);
}

}  // namespace fla::FLA_ISA
