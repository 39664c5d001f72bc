// Kernels that together call every function of hopper_layer.h: all forms of wgmma, bulk copies of
// every rank, and the small functions. hopper_test.cpp checks what they write on the emulator,
// layer_gpu_test.cpp that a GPU writes the same.
#pragma once

#include "device/hopper_layer.h"

namespace fla::device::testing {

FLA_DEVICE float hopper_element(int row, int col) {
    return float((row * 7 + col * 3) % 13 - 6) / 4;
}

template <class Tile>
FLA_DEVICE void fill_tile(Tile& tile, bool transposed, int offset) {
    for (int i = thread_index().x; i < Tile::kRows * Tile::kCols; i += kWarpGroupSize) {
        const int row = i / Tile::kCols, col = i % Tile::kCols;
        store(tile.at(row, col),
              from_float<typename Tile::Element>(transposed ? hopper_element(col + offset, row)
                                                            : hopper_element(row + offset, col)));
    }
}

// out[64][kN] = A B over K = 64, plus 1 with `accumulate`; element (m, k) of A is
// hopper_element(m, k), element (k, n) of B is hopper_element(n + 50, k).
template <class T, int kN, Major kMajorA, Major kMajorB, bool kARegisters>
FLA_KERNEL void FLA_LAUNCH_BOUNDS(kWarpGroupSize) wgmma_kernel(float* out, bool accumulate) {
    constexpr bool kTransB = kMajorB == Major::kMn;
    constexpr int kTransCols = kN > 64 ? kN : 64;
    struct Shared {
        TmaTile<T, 64, 64> a;
        std::conditional_t<kTransB, TmaTile<T, 64, kTransCols>, TmaTile<T, kN, 64>> b;
    };
    Shared& shared = dynamic_shared<Shared>();
    fill_tile(shared.a, kMajorA == Major::kMn, 0);
    fill_tile(shared.b, kTransB, 50);
    fence_proxy_async();
    sync_threads();
    const int thread = warp_group_thread(), g = lane_id() / 4, t = lane_id() % 4;
    const int row = thread / 32 * 16 + g;
    float acc[kN / 2];
    FLA_UNROLL
    for (int i = 0; i < kN / 2; ++i) {
        acc[i] = 1.0f;
    }
    std::uint32_t a[4][4];
    FLA_UNROLL
    for (int step = 0; step < 4; ++step) {
        FLA_UNROLL
        for (int r = 0; r < 4; ++r) {
            const int col = 16 * step + 2 * t + r / 2 * 8;
            a[step][r] = pack2<T>(hopper_element(row + r % 2 * 8, col),
                                  hopper_element(row + r % 2 * 8, col + 1));
        }
    }
    wgmma_fence(acc);
    FLA_UNROLL
    for (int step = 0; step < 4; ++step) {
        const WgmmaOperand<kMajorB, decltype(shared.b)> b{shared.b, kTransB ? 16 * step : 0,
                                                          kTransB ? 0 : 16 * step};
        const bool add = step > 0 || accumulate;
        if constexpr (kARegisters) {
            wgmma(acc, a[step], b, add);
        } else if constexpr (kMajorA == Major::kMn) {
            wgmma(acc, mn_major(shared.a, 16 * step, 0), b, add);
        } else {
            wgmma(acc, k_major(shared.a, 0, 16 * step), b, add);
        }
    }
    wgmma_commit();
    wgmma_wait<0>(acc);
    FLA_UNROLL
    for (int i = 0; i < kN / 2; ++i) {
        out[(row + i / 2 % 2 * 8) * kN + i / 4 * 8 + 2 * t + i % 2] = acc[i];
    }
}

// Two products over K = 128 from the middle of 128 x 128 tiles a and b, in flight together:
// out[0] = a[64.., :] b[64.., :]^T and out[1] = a[64.., :] b[:, 64..], each 64 x 64. Element (i, j)
// of b is hopper_element(i + 50, j).
FLA_KERNEL void FLA_LAUNCH_BOUNDS(kWarpGroupSize) wgmma_window_kernel(float* out) {
    struct Shared {
        TmaTile<Bf16, 128, 128> a, b;
    };
    Shared& shared = dynamic_shared<Shared>();
    fill_tile(shared.a, false, 0);
    fill_tile(shared.b, false, 50);
    fence_proxy_async();
    sync_threads();
    float acc[2][32];
    wgmma_fence(acc[0], acc[1]);
    FLA_UNROLL
    for (int k = 0; k < 128; k += 16) {
        wgmma(acc[0], k_major(shared.a, 64, k), k_major(shared.b, 64, k), k > 0);
    }
    wgmma_commit();
    FLA_UNROLL
    for (int k = 0; k < 128; k += 16) {
        wgmma(acc[1], k_major(shared.a, 64, k), mn_major(shared.b, k, 64), k > 0);
    }
    wgmma_commit();
    wgmma_wait<1>(acc[0]);
    wgmma_wait<0>(acc[0], acc[1]);
    const int row = warp_group_warp() * 16 + lane_id() / 4, col = lane_id() % 4 * 2;
    FLA_UNROLL
    for (int product = 0; product < 2; ++product) {
        FLA_UNROLL
        for (int i = 0; i < 32; ++i) {
            out[product * 4096 + (row + i / 2 % 2 * 8) * 64 + i / 4 * 8 + col + i % 2] =
                acc[product][i];
        }
    }
}

// Copies a box from one place of a tensor to another place of a second one, by one thread.
struct BoxCopy {
    int from[kMaxTensorRank], to[kMaxTensorRank];
};
template <class Tile, int kRank>
FLA_KERNEL void copy_box_kernel(FLA_GRID_CONSTANT TensorMap from, FLA_GRID_CONSTANT TensorMap to,
                                BoxCopy at) {
    struct Shared {
        Tile tile;
        MBarrier barrier;
    };
    Shared& shared = dynamic_shared<Shared>();
    if (thread_index().x != 0) {
        return;
    }
    tma_prefetch(from);
    shared.barrier.init(1);
    fence_mbarrier_init();
    if constexpr (kRank == 2) {
        tma_load_2d(shared.tile, from, at.from[0], at.from[1], shared.barrier);
    }
    if constexpr (kRank == 3) {
        tma_load_3d(shared.tile, from, at.from[0], at.from[1], at.from[2], shared.barrier);
    }
    if constexpr (kRank == 4) {
        tma_load_4d(shared.tile, from, at.from[0], at.from[1], at.from[2], at.from[3],
                    shared.barrier);
    }
    shared.barrier.arrive_expect_tx(Tile::kBytes);
    while (!shared.barrier.try_wait(0)) {
    }
    if constexpr (kRank == 2) {
        tma_store_2d(to, at.to[0], at.to[1], shared.tile);
    }
    if constexpr (kRank == 3) {
        tma_store_3d(to, at.to[0], at.to[1], at.to[2], shared.tile);
    }
    if constexpr (kRank == 4) {
        tma_store_4d(to, at.to[0], at.to[1], at.to[2], at.to[3], shared.tile);
    }
    tma_store_commit();
    tma_store_wait<0>();
}

// Two warp groups count their elected threads. The second launch bound fixes the registers at
// entry, 128, from which the groups go down and up.
FLA_KERNEL void FLA_LAUNCH_BOUNDS2(2 * kWarpGroupSize, 2) small_kernel(int* out) {
    if (warp_group_id() == 0) {
        lower_max_registers<40>();
    } else {
        raise_max_registers<160>();
    }
    if (elect_one()) {
        out[warp_id()] = warp_group_id() * 100 + warp_group_warp() * 10;
    }
    barrier_sync(1 + warp_group_id(), kWarpGroupSize);
    if (elect_one()) {
        out[warp_id()] += 1;
    }
}

}  // namespace fla::device::testing
