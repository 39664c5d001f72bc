#pragma once

// Dense fp32 building blocks of the chunked CPU back ends: small matrix products, transposes, row
// copies and exp(). Only for sources that CMake builds once for each instruction set (cpu_isa.h):
// everything is in the namespace of that build and needs no standard library.
//
// Every matrix is row-major with a leading dimension counted in floats. Widths (the contiguous
// dimension of B and C) are multiples of kTileWidth; callers pad their scratch memory with zeros.
// Sums run over the depth in ascending order in one accumulator an element, whatever the tile: the
// same inputs give the same bits in one build, and never depend on the thread count.

#include <cstddef>
#include <cstdint>

#ifndef FLA_ISA
#define FLA_ISA baseline
#endif

namespace fla::FLA_ISA {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
inline constexpr int kTileRows = 4;
inline constexpr int kTileVectors = 4;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
inline constexpr int kTileRows = 4;
inline constexpr int kTileVectors = 2;
#else
inline constexpr int kLanes = 4;
inline constexpr int kTileRows = 4;
inline constexpr int kTileVectors = 2;
#endif

/// Every width and leading dimension of scratch matrices is a multiple of this many floats.
inline constexpr std::int64_t kTileWidth = 16;

using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));
using Ints = std::int32_t __attribute__((vector_size(kLanes * sizeof(float))));
using LooseFloats =
    float __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));

[[gnu::always_inline]] inline Floats load(const float* p) {
    return *reinterpret_cast<const LooseFloats*>(p);
}
[[gnu::always_inline]] inline void store(float* p, Floats x) {
    *reinterpret_cast<LooseFloats*>(p) = x;
}
[[gnu::always_inline]] inline Floats broadcast(float x) { return x - Floats{}; }

[[gnu::always_inline]] inline float sum_lanes(Floats x) {
    float sums[kLanes];
    store(sums, x);
    for (int width = kLanes / 2; width > 0; width /= 2) {
        for (int i = 0; i < width; ++i) {
            sums[i] += sums[i + width];
        }
    }
    return sums[0];
}

[[nodiscard]] constexpr std::int64_t round_up_to_tile(std::int64_t n) {
    return (n + kTileWidth - 1) / kTileWidth * kTileWidth;
}

/// Left factor of a product: element (i, p) is data[i * row_stride + p * depth_stride]. A
/// transposed matrix is the same memory with the strides swapped.
struct LeftMatrix {
    const float* data;
    std::int64_t row_stride;
    std::int64_t depth_stride;
};

enum class Into { kSet, kAdd };

/// One register tile: C[kRows, kVectors * kLanes] = or += alpha * A * B.
template <int kRows, int kVectors, Into kInto>
[[gnu::always_inline]] inline void multiply_tile(std::int64_t depth, const LeftMatrix& a,
                                                 const float* b, std::int64_t ldb, float* c,
                                                 std::int64_t ldc, float alpha) {
    Floats sums[kRows][kVectors] = {};
    const float* a_column = a.data;
    for (std::int64_t p = 0; p < depth; ++p) {
        Floats b_row[kVectors];
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) {
            b_row[j] = load(b + j * kLanes);
        }
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i) {
            const Floats a_value = broadcast(a_column[i * a.row_stride]);
#pragma GCC unroll 4
            for (int j = 0; j < kVectors; ++j) {
                sums[i][j] += a_value * b_row[j];
            }
        }
        a_column += a.depth_stride;
        b += ldb;
    }
    const Floats factor = broadcast(alpha);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) {
            float* out = c + i * ldc + j * kLanes;
            if constexpr (kInto == Into::kSet) {
                store(out, factor * sums[i][j]);
            } else {
                store(out, load(out) + factor * sums[i][j]);
            }
        }
    }
}

template <int kVectors, Into kInto>
inline void multiply_columns(std::int64_t rows, std::int64_t depth, LeftMatrix a, const float* b,
                             std::int64_t ldb, float* c, std::int64_t ldc, float alpha) {
    std::int64_t i = 0;
    for (; i + kTileRows <= rows; i += kTileRows) {
        multiply_tile<kTileRows, kVectors, kInto>(depth, a, b, ldb, c, ldc, alpha);
        a.data += kTileRows * a.row_stride;
        c += kTileRows * ldc;
    }
    for (; i < rows; ++i) {
        multiply_tile<1, kVectors, kInto>(depth, a, b, ldb, c, ldc, alpha);
        a.data += a.row_stride;
        c += ldc;
    }
}

/// C[rows, width] = alpha * A[rows, depth] * B[depth, width], or += with Into::kAdd.
///
/// `width` is a multiple of kTileWidth. C overlaps neither A nor B.
template <Into kInto = Into::kSet>
inline void multiply(std::int64_t rows, std::int64_t width, std::int64_t depth, LeftMatrix a,
                     const float* b, std::int64_t ldb, float* c, std::int64_t ldc,
                     float alpha = 1.0F) {
    constexpr std::int64_t kStep = kTileVectors * kLanes;
    std::int64_t j = 0;
    for (; j + kStep <= width; j += kStep) {
        multiply_columns<kTileVectors, kInto>(rows, depth, a, b + j, ldb, c + j, ldc, alpha);
    }
    for (; j < width; j += kLanes) {
        multiply_columns<1, kInto>(rows, depth, a, b + j, ldb, c + j, ldc, alpha);
    }
}

/// out[cols, rows] = in[rows, cols]ᵀ; both counts are multiples of 4.
inline void transpose(std::int64_t rows, std::int64_t cols, const float* in, std::int64_t ld_in,
                      float* out, std::int64_t ld_out) {
    using Four = float __attribute__((vector_size(16)));
    using LooseFour = float __attribute__((vector_size(16), aligned(4), may_alias));
    for (std::int64_t i = 0; i < rows; i += 4) {
        for (std::int64_t j = 0; j < cols; j += 4) {
            Four r[4];
            for (int x = 0; x < 4; ++x) {
                r[x] = *reinterpret_cast<const LooseFour*>(in + (i + x) * ld_in + j);
            }
            const Four a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
            const Four b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
            const Four c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
            const Four d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
            r[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
            r[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
            r[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
            r[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
            for (int x = 0; x < 4; ++x) {
                *reinterpret_cast<LooseFour*>(out + (j + x) * ld_out + i) = r[x];
            }
        }
    }
}

/// Copies `rows` rows of `cols` floats into scratch rows of width ld_out and fills the rest of each
/// row, and the rows up to `padded_rows`, with zeros. The stride of `in` may be negative.
inline void load_rows(const float* in, std::int64_t in_stride, std::int64_t rows, std::int64_t cols,
                      std::int64_t padded_rows, float* out, std::int64_t ld_out) {
    for (std::int64_t i = 0; i < rows; ++i) {
        const float* from = in + i * in_stride;
        float* to = out + i * ld_out;
        __builtin_memcpy(to, from, static_cast<std::size_t>(cols) * sizeof(float));
        for (std::int64_t j = cols; j < ld_out; ++j) {
            to[j] = 0.0F;
        }
    }
    for (std::int64_t j = rows * ld_out; j < padded_rows * ld_out; ++j) {
        out[j] = 0.0F;
    }
}

/// Copies the first `cols` floats of `rows` scratch rows out. The stride of `out` may be negative.
inline void store_rows(const float* in, std::int64_t ld_in, std::int64_t rows, std::int64_t cols,
                       float* out, std::int64_t out_stride) {
    for (std::int64_t i = 0; i < rows; ++i) {
        __builtin_memcpy(out + i * out_stride, in + i * ld_in,
                         static_cast<std::size_t>(cols) * sizeof(float));
    }
}

/// exp(x) for x <= 0, within 2 ulp. Below ln(2^-126) the result is 0, so that no denormal number
/// slows the products down; -inf gives 0 and NaN gives NaN.
[[gnu::always_inline]] inline Floats exp_nonpositive(Floats x) {
    constexpr float kLowest = -87.33654F;
    const Floats clamped = x < kLowest ? broadcast(kLowest) : x;
    // Truncation rounds to nearest here because the argument is negative.
    const Ints n = __builtin_convertvector(clamped * 1.44269504F - 0.5F, Ints);
    const Floats n_float = __builtin_convertvector(n, Floats);
    const Floats r = (clamped - n_float * 0.693359375F) - n_float * -2.12194440e-4F;
    // Polynomial of Cephes' expf on [-ln2/2, ln2/2].
    Floats p = r * 1.9875691500e-4F + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * (r * r) + r + 1.0F;
    const Ints power_bits = (n + 127) << 23;
    Floats power;
    __builtin_memcpy(&power, &power_bits, sizeof(power));
    return x < kLowest ? Floats{} : p * power;
}

}  // namespace fla::FLA_ISA
