// The part of the device layer for sm_90a: mbarriers, bulk tensor copies (TMA) and wgmma. Like
// device_layer.h it has a device side (PTX) and a host side (the emulator) with one interface; what
// both must agree on, the address map of a tile and the wgmma descriptor, is written here once.
#pragma once

#include "device/device_layer.h"

#if defined(__CUDACC__)
#define FLA_GRID_CONSTANT const __grid_constant__
#else
#define FLA_GRID_CONSTANT const
#endif

namespace fla::device {
inline namespace FLA_SIDE {

inline constexpr int kWarpGroupSize = 128;

FLA_DEVICE int warp_group_id() { return thread_index().x / kWarpGroupSize; }
FLA_DEVICE int warp_group_thread() { return thread_index().x % kWarpGroupSize; }
FLA_DEVICE int warp_group_warp() { return warp_group_thread() / kWarpSize; }

// k128B: in each 128-byte row the 16-byte units are exchanged by the low three bits of the row
// number, so that rows and columns are both free of bank conflicts. wgmma needs it.
enum class Swizzle { kNone, k128B };

// The address bits 4 to 6 change by the bits 7 to 9.
FLA_DEVICE constexpr std::uint32_t swizzle_128b(std::uint32_t address) {
    return address ^ (address >> 3 & 0x70u);
}

// A matrix in shared memory for bulk copies and wgmma. With the swizzle it is cut into panels of
// 128 bytes of columns, one behind the other; a bulk copy moves a panel.
template <class T, int kRowCount, int kColCount, Swizzle kSwizzleMode = Swizzle::k128B>
struct alignas(kSwizzleMode == Swizzle::k128B ? 1024 : 128) TmaTile {
    using Element = T;
    static constexpr Swizzle kSwizzle = kSwizzleMode;
    static constexpr int kRows = kRowCount, kCols = kColCount;
    static constexpr int kPanelCols = kSwizzle == Swizzle::k128B ? 128 / int(sizeof(T)) : kCols;
    static constexpr int kPanels = kCols / kPanelCols;
    static constexpr int kPanelBytes = kRows * kPanelCols * int(sizeof(T));
    static constexpr int kBytes = kPanels * kPanelBytes;
    static_assert(kRows % 8 == 0 && kRows <= 256 && kCols % kPanelCols == 0 && kPanelCols <= 256);
    static_assert(kPanelCols * sizeof(T) % 16 == 0);

    T data[kRows * kCols];

    static constexpr FLA_DEVICE int byte_offset(int row, int col) {
        const int in_panel = (row * kPanelCols + col % kPanelCols) * int(sizeof(T));
        return col / kPanelCols * kPanelBytes +
               (kSwizzle == Swizzle::k128B ? int(swizzle_128b(std::uint32_t(in_panel))) : in_panel);
    }
    // Up to 16 bytes from there, aligned to their size, are in one piece.
    FLA_DEVICE T* at(int row, int col) {
        check_index(row, kRows);
        check_index(col, kCols);
        return reinterpret_cast<T*>(reinterpret_cast<unsigned char*>(data) + byte_offset(row, col));
    }
};

// A tensor in global memory and the box of it that one bulk copy moves, dimension 0 innermost and
// dense, strides in elements. box[0] is the kPanelCols of the tile, the product of the others its
// kRows.
inline constexpr int kMaxTensorRank = 4;
struct TensorShape {
    int rank;
    std::int64_t size[kMaxTensorRank], stride[kMaxTensorRank];
    int box[kMaxTensorRank];
};

// The operands of a wgmma are 64 or N rows (M or N) by 16 columns (K) that begin at `row`, `col` of
// a tile. In a K-major operand K runs along the columns of the tile, in an MN-major one along its
// rows (the tile holds the transposed matrix).
enum class Major { kK, kMn };
template <Major kMajorMode, class TileType>
struct WgmmaOperand {
    using Tile = TileType;
    static constexpr Major kMajor = kMajorMode;
    Tile& tile;
    int row, col;
};
template <class Tile>
FLA_DEVICE WgmmaOperand<Major::kK, Tile> k_major(Tile& tile, int row, int col) {
    return {tile, row, col};
}
template <class Tile>
FLA_DEVICE WgmmaOperand<Major::kMn, Tile> mn_major(Tile& tile, int row, int col) {
    return {tile, row, col};
}

// PTX ISA, "Matrix Descriptor Format": 14-bit fields in units of 16 bytes, swizzle mode in the two
// highest bits (1 is 128B). The rows of an 8-row group are 128 bytes apart.
//   K-major:  the stride field is the step from 8 rows of M or N to the next; the other is unused.
//   MN-major: the stride field is the step from 8 rows of K to the next, the leading field that
//             from 64 columns of M or N to the next.
FLA_DEVICE constexpr std::uint64_t wgmma_descriptor_bits(std::uint32_t address,
                                                         std::uint32_t leading_bytes,
                                                         std::uint32_t stride_bytes) {
    return std::uint64_t{(address & 0x3FFFFu) >> 4} | std::uint64_t{leading_bytes >> 4} << 16 |
           std::uint64_t{stride_bytes >> 4} << 32 | std::uint64_t{1} << 62;
}

// `address` is that of the tile in shared memory; kSize is M or N.
template <int kSize, Major kMajor, class Tile>
FLA_DEVICE std::uint64_t wgmma_descriptor(const WgmmaOperand<kMajor, Tile>& x,
                                          std::uint32_t address) {
    static_assert(Tile::kSwizzle == Swizzle::k128B && sizeof(typename Tile::Element) == 2);
    static_assert(kMajor == Major::kK ? kSize <= Tile::kRows : kSize % 64 == 0);
    check_index(x.row, Tile::kRows - (kMajor == Major::kK ? kSize : 16) + 1);
    check_index(x.col, Tile::kCols - (kMajor == Major::kK ? 16 : kSize) + 1);
    check_multiple(x.row, kMajor == Major::kK ? 8 : 16);
    check_multiple(x.col, kMajor == Major::kK ? 16 : 64);
    const std::uint32_t panel = address + std::uint32_t(x.col / 64 * Tile::kPanelBytes);
    const std::uint32_t begin = panel + std::uint32_t(x.row * 128 + x.col % 64 * 2);
    return wgmma_descriptor_bits(begin, kMajor == Major::kK ? 16 : Tile::kPanelBytes, 1024);
}

}  // namespace FLA_SIDE
}  // namespace fla::device

#if defined(__CUDACC__)
#include "device/hopper_copy_cuda.h"
#include "device/hopper_wgmma_cuda.h"
#else
#include "cta_emulator/hopper_copy_host.h"
#include "cta_emulator/hopper_wgmma_host.h"
#endif

namespace fla::device {
inline namespace FLA_SIDE {

// Loads the tile from the box at coordinates c0 (innermost), c1, ..; elements outside of the tensor
// are zeros. c0 is a multiple of 16 bytes. One thread issues it; `barrier` counts Tile::kBytes.
template <class Tile>
FLA_DEVICE void tma_load_2d(Tile& tile, const TensorMap& map, int c0, int c1, MBarrier& barrier,
                            Site site = Site::current()) {
    const int at[2] = {c0, c1};
    tma_load(tile, map, at, barrier, site);
}
template <class Tile>
FLA_DEVICE void tma_load_3d(Tile& tile, const TensorMap& map, int c0, int c1, int c2,
                            MBarrier& barrier, Site site = Site::current()) {
    const int at[3] = {c0, c1, c2};
    tma_load(tile, map, at, barrier, site);
}
template <class Tile>
FLA_DEVICE void tma_load_4d(Tile& tile, const TensorMap& map, int c0, int c1, int c2, int c3,
                            MBarrier& barrier, Site site = Site::current()) {
    const int at[4] = {c0, c1, c2, c3};
    tma_load(tile, map, at, barrier, site);
}

// Stores the tile to the box; elements past the ends of the tensor are dropped. c0 is a multiple of
// 16 bytes, no coordinate is negative (CUDA programming guide, "Negative indices"). One thread
// issues it, commits and waits. Before, all writers of the tile do fence_proxy_async, then a
// barrier.
template <class Tile>
FLA_DEVICE void tma_store_2d(const TensorMap& map, int c0, int c1, Tile& tile,
                             Site site = Site::current()) {
    const int at[2] = {c0, c1};
    tma_store(map, at, tile, site);
}
template <class Tile>
FLA_DEVICE void tma_store_3d(const TensorMap& map, int c0, int c1, int c2, Tile& tile,
                             Site site = Site::current()) {
    const int at[3] = {c0, c1, c2};
    tma_store(map, at, tile, site);
}
template <class Tile>
FLA_DEVICE void tma_store_4d(const TensorMap& map, int c0, int c1, int c2, int c3, Tile& tile,
                             Site site = Site::current()) {
    const int at[4] = {c0, c1, c2, c3};
    tma_store(map, at, tile, site);
}

}  // namespace FLA_SIDE
}  // namespace fla::device
