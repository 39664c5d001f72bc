#pragma once

#include "gated/kernel/gated_params.h"

/// Loads, matrix fragments and sums of log-decays that the kernels of the gated family share.
/// In all fragments g = lane / 4 and t = lane % 4 (PTX ISA, "Matrix Fragments").
namespace fla::gated {

using device::Bf16;

/// A row-major bf16 matrix in shared memory. Rows are 16 bytes longer than their elements, so that
/// ldmatrix and accumulator-shaped accesses are free of bank conflicts. (Exchanging units by the
/// row's number instead needs no padding, but addresses that are no immediates: slower.)
template <int kRows, int kCols>
using Tile = device::SharedTile<Bf16, kRows, kCols>;
template <int kCols>
using TokenTile = Tile<kChunkTokens, kCols>;

/// A member that only some kernels have.
struct Nothing {};
template <bool kCondition, class T>
using If = std::conditional_t<kCondition, T, Nothing>;

inline constexpr int kBlockTokens = 16;  ///< Rows of one mma.
inline constexpr int kBlocks = kChunkTokens / kBlockTokens;

template <class Gate, int kCols>
using GateTile = device::SharedTile<Gate, kChunkTokens, kCols>;

/// Copies the rows of a chunk asynchronously, `cols` elements each, and zeros elsewhere. `from` is
/// row chunk.begin, `step` the distance of the rows in elements. cols is a multiple of 16 bytes.
template <int kThreads, int kCols, class TileType, class T>
FLA_DEVICE void load_rows(TileType& tile, const T* from, std::int64_t step, const Chunk& chunk,
                          int cols) {
    constexpr int kVec = 16 / int(sizeof(T));
    constexpr int kVecsPerRow = kCols / kVec;
    constexpr int kRowsPerPass = kThreads / kVecsPerRow;
    static_assert(kThreads % kVecsPerRow == 0 && kChunkTokens % kRowsPerPass == 0);
    const int thread = device::thread_index().x;
    const int col = thread % kVecsPerRow * kVec;
    const int first_row = thread / kVecsPerRow;
    const bool inside = col < cols;
    const T* source = from + (first_row - chunk.begin) * step + col;
    FLA_UNROLL
    for (int pass = 0; pass < kChunkTokens / kRowsPerPass; ++pass) {
        const int row = first_row + pass * kRowsPerPass;
        const bool valid = inside && chunk.holds(row);
        device::cp_async(tile.at(row, col), valid ? source : from, valid ? 16 : 0);
        source += kRowsPerPass * step;
    }
}

/// load_rows() from an operand.
template <int kThreads, int kCols, class T = Bf16, class TileType>
FLA_DEVICE void load_operand(TileType& tile, const TokenRows& rows, const Segment& segment,
                             const Chunk& chunk, int head, int cols) {
    load_rows<kThreads, kCols>(tile, rows.row<T>(segment.batch, chunk.first_token, head),
                               chunk.step * rows.token_stride, chunk, cols);
}

/// The row that this lane hands to an ldmatrix x4 of a 16 x 16 block: matrices 0..3 are the blocks
/// (0, 0), (8, 0), (0, 8), (8, 8) of it.
template <class Tile>
FLA_DEVICE auto* block_row(Tile& tile, int row, int col) {
    const int lane = device::lane_id();
    return tile.at(row + lane % 16, col + lane / 16 * 8);
}

/// A operand [16 rows of the tile, 16 columns].
template <class Tile>
FLA_DEVICE void load_a(std::uint32_t (&a)[4], Tile& tile, int row, int col) {
    device::ldmatrix(a, block_row(tile, row, col));
}

/// A operand [16 columns of the tile, 16 rows]: the transposed block.
template <class Tile>
FLA_DEVICE void load_a_transposed(std::uint32_t (&a)[4], Tile& tile, int row, int col) {
    std::uint32_t x[4];
    device::ldmatrix_trans(x, block_row(tile, row, col));
    a[0] = x[0];
    a[1] = x[2];
    a[2] = x[1];
    a[3] = x[3];
}

/// B operands of two neighbouring n-tiles, contraction along the rows of the tile: b[i] is that of
/// columns col + 8 i.
template <class Tile>
FLA_DEVICE void load_b(std::uint32_t (&b)[2][2], Tile& tile, int row, int col) {
    std::uint32_t x[4];
    device::ldmatrix_trans(x, block_row(tile, row, col));
    b[0][0] = x[0];
    b[0][1] = x[1];
    b[1][0] = x[2];
    b[1][1] = x[3];
}

/// The same with the contraction along the columns: n runs over the rows row + 8 i.
template <class Tile>
FLA_DEVICE void load_b_transposed(std::uint32_t (&b)[2][2], Tile& tile, int row, int col) {
    std::uint32_t x[4];
    device::ldmatrix(x, block_row(tile, row, col));
    b[0][0] = x[0];
    b[0][1] = x[2];
    b[1][0] = x[1];
    b[1][1] = x[3];
}

FLA_DEVICE void mma(float (&acc)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    device::mma_m16n8k16<Bf16>(acc, a, b[0], b[1]);
}

/// Two bf16 numbers, each 1 or 0.
FLA_DEVICE std::uint32_t ones_where(bool low, bool high) {
    return (low ? 0x3F80U : 0U) | (high ? 0x3F800000U : 0U);
}

/// Log-decays as mma operands: bf16 as they are, fp32 in three parts that add up exactly.
template <class TileType>
inline constexpr int kGateParts = sizeof(*static_cast<TileType*>(nullptr)->at(0, 0)) == 4 ? 3 : 1;

FLA_DEVICE std::uint32_t raised_pair(std::uint32_t pair) {
    return device::max2<Bf16>(pair, device::pack2<Bf16>(kLowestLogDecay, kLowestLogDecay));
}

/// Splits two fp32 numbers into three packed bf16 pairs.
FLA_DEVICE void split_pair(std::uint32_t& high, std::uint32_t& middle, std::uint32_t& low, float x,
                           float y) {
    high = device::pack2<Bf16>(x, y);
    const auto h = device::unpack2<Bf16>(high);
    middle = device::pack2<Bf16>(x - h[0], y - h[1]);
    const auto m = device::unpack2<Bf16>(middle);
    low = device::pack2<Bf16>(x - h[0] - m[0], y - h[1] - m[1]);
}

/// B operands of the n-tiles col, col + 8 of a gate tile, contraction along tokens.
template <int kCols>
FLA_DEVICE void load_gate_b(std::uint32_t (&b)[1][2][2], TokenTile<kCols>& gate, int row, int col) {
    load_b(b[0], gate, row, col);
    FLA_UNROLL
    for (int i = 0; i < 4; ++i) {
        b[0][i / 2][i % 2] = raised_pair(b[0][i / 2][i % 2]);
    }
}
template <int kCols>
FLA_DEVICE void load_gate_b(std::uint32_t (&b)[3][2][2],
                            device::SharedTile<float, kChunkTokens, kCols>& gate, int row,
                            int col) {
    const int lane = device::lane_id();
    FLA_UNROLL
    for (int i = 0; i < 4; ++i) {
        const int u = row + lane % 4 * 2 + i % 2 * 8;
        const int c = col + lane / 4 + i / 2 * 8;
        const float x = raised(device::load(gate.at(u, c)));
        const float y = raised(device::load(gate.at(u + 1, c)));
        split_pair(b[0][i / 2][i % 2], b[1][i / 2][i % 2], b[2][i / 2][i % 2], x, y);
    }
}

/// A operand [16 channels, 16 tokens] of a gate tile.
template <int kCols>
FLA_DEVICE void load_gate_a(std::uint32_t (&a)[1][4], TokenTile<kCols>& gate, int row, int col) {
    load_a_transposed(a[0], gate, row, col);
    FLA_UNROLL
    for (int i = 0; i < 4; ++i) {
        a[0][i] = raised_pair(a[0][i]);
    }
}
template <int kCols>
FLA_DEVICE void load_gate_a(std::uint32_t (&a)[3][4],
                            device::SharedTile<float, kChunkTokens, kCols>& gate, int row,
                            int col) {
    const int lane = device::lane_id();
    FLA_UNROLL
    for (int i = 0; i < 4; ++i) {
        const int u = row + lane % 4 * 2 + i / 2 * 8;
        const int c = col + lane / 4 + i % 2 * 8;
        const float x = raised(device::load(gate.at(u, c)));
        const float y = raised(device::load(gate.at(u + 1, c)));
        split_pair(a[0][i], a[1][i], a[2][i], x, y);
    }
}

/// A run [begin, end) of a chunk's tokens that is worked on at once, and the token in front of
/// which decays are anchored: factors are e^{G_i - G_anchor} and e^{G_anchor - G_j}.
struct TokenRun {
    static constexpr bool kWhole = false;
    int begin, anchor, end;
    FLA_DEVICE bool holds(int token) const { return token >= begin && token < end; }
    FLA_DEVICE bool meets_block(int block) const {
        return block * kBlockTokens < end && (block + 1) * kBlockTokens > begin;
    }
};

/// The run of all tokens, known to the compiler.
struct WholeChunk {
    static constexpr bool kWhole = true;
    static constexpr int begin = 0, anchor = kChunkTokens / 2, end = kChunkTokens;
    static constexpr FLA_DEVICE bool holds(int) { return true; }
    static constexpr FLA_DEVICE bool meets_block(int) { return true; }
};

/// Coefficients of the log-decays of 16 tokens from u0 on in the sums of 16 rows from row0 on: an A
/// operand of 1, -1 and 0. The sum of row i runs over [anchor, i') or is minus that over [i',
/// anchor), where i' is i + 1 (kAfterWriter) or i (kFromWriter).
template <class Run>
FLA_DEVICE void anchored_coefficients(std::uint32_t (&a)[4], int row0, int u0, const Run& run,
                                      DecaySpan span) {
    const int lane = device::lane_id();
    const int shift = span == DecaySpan::kAfterWriter ? 1 : 0;
    FLA_UNROLL
    for (int i = 0; i < 4; ++i) {
        const int bound = row0 + lane / 4 + i % 2 * 8 + shift;
        a[i] = 0;
        FLA_UNROLL
        for (int j = 0; j < 2; ++j) {
            const int u = u0 + lane % 4 * 2 + i / 2 * 8 + j;
            const std::uint32_t plus = u >= run.anchor && u < bound ? 0x3F80U : 0U;
            const std::uint32_t minus = u >= bound && u < run.anchor ? 0xBF80U : 0U;
            a[i] |= (plus | minus) << (16 * j);
        }
    }
}

/// sums += coefficients times the log-decays of 16 tokens, kTiles * 8 channels from col0 on.
template <int kTiles, class TileType>
FLA_DEVICE void add_gates(float (&sums)[kTiles][4], TileType& gate, int u0, int col0,
                          const std::uint32_t (&a)[4]) {
    constexpr int kParts = kGateParts<TileType>;
    FLA_UNROLL
    for (int n = 0; n < kTiles; n += 2) {
        std::uint32_t b[kParts][2][2];
        load_gate_b(b, gate, u0, col0 + 8 * n);
        FLA_UNROLL
        for (int part = 0; part < kParts; ++part) {
            mma(sums[n], a, b[part][0]);
            mma(sums[n + 1], a, b[part][1]);
        }
    }
}

/// In the sums of a whole chunk, the coefficients of the rows' own block of tokens, for each block
/// and lane. Those of the block between it and the anchor, if there is one, are all 1 or all -1.
struct WholeChunkCoefficients {
    alignas(16) std::uint32_t own[kBlocks][device::kWarpSize][4];
};

FLA_DEVICE void make_coefficients(WholeChunkCoefficients& coefficients, int block, DecaySpan span) {
    std::uint32_t a[4];
    anchored_coefficients(a, block * kBlockTokens, block * kBlockTokens, WholeChunk{}, span);
    device::store_vec(coefficients.own[block][device::lane_id()],
                      device::Vec<std::uint32_t, 4>{a[0], a[1], a[2], a[3]});
}

/// Log-decays (base 2) between the anchor and the tokens of block `row0` / 16, kTiles * 8 channels
/// from col0 on, as an accumulator. A product with +-1 and 0 is exact in fp32, so resets elsewhere
/// in the chunk cost no digits.
template <int kTiles, class TileType, class Run>
FLA_DEVICE void anchored_log2_decay(float (&sums)[kTiles][4], TileType& gate, int row0, int col0,
                                    const Run& run, DecaySpan span,
                                    const WholeChunkCoefficients& whole) {
    FLA_UNROLL
    for (int n = 0; n < kTiles; ++n) {
        FLA_UNROLL
        for (int i = 0; i < 4; ++i) {
            sums[n][i] = 0.0F;
        }
    }
    std::uint32_t a[4];
    if constexpr (Run::kWhole) {
        static_assert(kBlocks == 4 && WholeChunk::anchor == 2 * kBlockTokens);
        const int block = row0 / kBlockTokens;
        const auto own = device::load_vec<4>(whole.own[block][device::lane_id()]);
        FLA_UNROLL
        for (int i = 0; i < 4; ++i) {
            a[i] = own[i];
        }
        add_gates(sums, gate, row0, col0, a);
        if (block == 0 || block == 3) {
            FLA_UNROLL
            for (int i = 0; i < 4; ++i) {
                a[i] = block == 0 ? 0xBF80BF80U : 0x3F803F80U;
            }
            add_gates(sums, gate, block == 0 ? kBlockTokens : 2 * kBlockTokens, col0, a);
        }
    } else {
        for (int block = 0; block < kBlocks; ++block) {
            if (run.meets_block(block)) {
                anchored_coefficients(a, row0, block * kBlockTokens, run, span);
                add_gates(sums, gate, block * kBlockTokens, col0, a);
            }
        }
    }
    FLA_UNROLL
    for (int n = 0; n < kTiles; ++n) {
        FLA_UNROLL
        for (int i = 0; i < 4; ++i) {
            sums[n][i] *= kLog2E;
        }
    }
}

/// Log-decays (base 2) of the channels channel0 + g and + 8 over [begin, anchor) and [anchor, end).
template <class TileType, class Run>
FLA_DEVICE void run_log2_decay(float (&before)[2], float (&after)[2], TileType& gate, int channel0,
                               const Run& run) {
    constexpr int kParts = kGateParts<TileType>;
    const int lane = device::lane_id();
    const int column = lane / 4;
    const int from = column == 0 ? run.begin : run.anchor;
    const int to = column == 0 ? run.anchor : column == 1 ? run.end : 0;
    float sums[4] = {};
    FLA_UNROLL
    for (int block = 0; block < kBlocks; ++block) {
        if (!run.meets_block(block)) {
            continue;
        }
        std::uint32_t a[kParts][4], b[2];
        load_gate_a(a, gate, block * kBlockTokens, channel0);
        FLA_UNROLL
        for (int i = 0; i < 2; ++i) {
            const int u = block * kBlockTokens + lane % 4 * 2 + i * 8;
            b[i] = ones_where(u >= from && u < to, u + 1 >= from && u + 1 < to);
        }
        FLA_UNROLL
        for (int part = 0; part < kParts; ++part) {
            mma(sums, a[part], b);
        }
    }
    const int source = lane & ~3;
    FLA_UNROLL
    for (int half = 0; half < 2; ++half) {
        before[half] = device::shfl(sums[2 * half], source) * kLog2E;
        after[half] = device::shfl(sums[2 * half + 1], source) * kLog2E;
    }
}

/// Half of the log-decay that the two factors of a score may span together. Each stays below
/// e^40 and their masked products below e^80: far from overflow in bf16 and fp32, and the bf16
/// copies of states times e^-40 far from underflow.
inline constexpr float kHalfRange = 40.0F;

/// Which runs of the chunk keep the factors of the 16 channels from channel0 on in range: bits 0..3
/// the blocks of 16 tokens, bit 4 the whole chunk. The same in all lanes. Writes the log-decays
/// (base 2) of the halves of the chunk to half_sums[channel], the first element of each.
template <class TileType, int kK>
FLA_DEVICE std::uint32_t runs_in_range(TileType& gate, int channel0, float (&half_sums)[2][kK]) {
    constexpr int kParts = kGateParts<TileType>;
    const int lane = device::lane_id();
    float sums[4] = {};  // column c: tokens [8 c, 8 c + 8)
    FLA_UNROLL
    for (int block = 0; block < kBlocks; ++block) {
        std::uint32_t a[kParts][4];
        load_gate_a(a, gate, block * kBlockTokens, channel0);
        const std::uint32_t b[2] = {lane / 4 == 2 * block ? 0x3F803F80U : 0U,
                                    lane / 4 == 2 * block + 1 ? 0x3F803F80U : 0U};
        FLA_UNROLL
        for (int part = 0; part < kParts; ++part) {
            mma(sums, a[part], b);
        }
    }
    const bool block_fits = sums[0] >= -kHalfRange && sums[1] >= -kHalfRange &&
                            sums[2] >= -kHalfRange && sums[3] >= -kHalfRange;
    const float low = sums[0] + sums[1], high = sums[2] + sums[3];  // rows g and g + 8
    const float low_half = low + device::shfl_xor(low, 1);
    const float high_half = high + device::shfl_xor(high, 1);
    const bool half_fits = low_half >= -kHalfRange && high_half >= -kHalfRange;
    if (lane % 2 == 0) {  // lane t = 0 holds the first half, t = 2 the second
        const int channel = channel0 + lane / 4;
        device::store(&half_sums[lane % 4 / 2][channel], low_half * kLog2E);
        device::store(&half_sums[lane % 4 / 2][channel + 8], high_half * kLog2E);
    }
    const std::uint32_t blocks = device::ballot(block_fits);
    std::uint32_t runs = device::all(half_fits) ? 16U : 0U;
    FLA_UNROLL
    for (int block = 0; block < kBlocks; ++block) {
        const std::uint32_t lanes = 0x11111111U << block;
        runs |= (blocks & lanes) == lanes ? 1U << block : 0U;
    }
    return runs;
}

/// Multiplies rows of a tile by 2^{sign * log2_decay} in place, for the tokens of the run.
template <int kTiles, int kCols, class Run>
FLA_DEVICE void scale_rows(TokenTile<kCols>& tile, const float (&log2_decay)[kTiles][4], float sign,
                           int row0, int col0, const Run& run) {
    const int lane = device::lane_id();
    FLA_UNROLL
    for (int half = 0; half < 2; ++half) {
        const int row = row0 + lane / 4 + 8 * half;
        if (!run.holds(row)) {
            continue;
        }
        FLA_UNROLL
        for (int n = 0; n < kTiles; ++n) {
            auto* const pair =
                reinterpret_cast<std::uint32_t*>(tile.at(row, col0 + 8 * n + lane % 4 * 2));
            const auto x = device::unpack2<Bf16>(device::load(pair));
            device::store(pair,
                          device::pack2<Bf16>(
                              x[0] * device::exp2_approx(sign * log2_decay[n][2 * half]),
                              x[1] * device::exp2_approx(sign * log2_decay[n][2 * half + 1])));
        }
    }
}

/// Log-decays of a chunk, one a token, as every warp sums them for itself.
struct alignas(16) HeadDecay {
    float sums[kChunkTokens];    ///< Base 2; up to and with the token, or without it (kFromWriter).
    float to_end[kChunkTokens];  ///< 2^(total - sums)
    float total;                 ///< Base 2.
};

FLA_DEVICE void sum_head_decay(HeadDecay& decay, const float* log_decay, DecaySpan span) {
    const int lane = device::lane_id();
    const auto pair = device::load_vec<2>(log_decay + 2 * lane);
    const float first = pair[0] * kLog2E, second = pair[1] * kLog2E;
    float sum = first + second;
    FLA_UNROLL
    for (int delta = 1; delta < device::kWarpSize; delta *= 2) {
        const float other = device::shfl_up(sum, delta);
        sum += lane >= delta ? other : 0.0F;
    }
    const device::Vec<float, 2> after = {sum - second, sum};
    const device::Vec<float, 2> from = {sum - second - first, sum - second};
    const device::Vec<float, 2> sums = span == DecaySpan::kAfterWriter ? after : from;
    const float total = device::shfl(sum, device::kWarpSize - 1);
    device::store_vec(decay.sums + 2 * lane, sums);
    device::store_vec(decay.to_end + 2 * lane,
                      device::Vec<float, 2>{device::exp2_approx(total - sums[0]),
                                            device::exp2_approx(total - sums[1])});
    if (lane == device::kWarpSize - 1) {
        device::store(&decay.total, sum);
    }
    device::sync_warp();
}

/// Sums over the rows of a warp's block, row by row, of one column: x is row g, y row g + 8.
/// Returns the total of the block in the lanes with g = 7.
FLA_DEVICE float sum_rows(float& x, float& y) {
    const int lane = device::lane_id();
    FLA_UNROLL
    for (int delta = 4; delta < device::kWarpSize; delta *= 2) {
        const float before_x = device::shfl_up(x, delta);
        const float before_y = device::shfl_up(y, delta);
        x += lane >= delta ? before_x : 0.0F;
        y += lane >= delta ? before_y : 0.0F;
    }
    y += device::shfl(x, 28 + lane % 4);
    return y;
}

}  // namespace fla::gated
