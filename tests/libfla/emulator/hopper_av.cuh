// O = A V by a warp-specialised kernel: the first warp group accumulates 64 x 64 tiles with wgmma,
// a warp behind it feeds a ring of two stages by bulk loads.
#pragma once

#include "device/hopper_layer.h"

namespace fla::device::testing {

struct AvParams {
    TensorMap a, v, o;  // [rows, inner], [inner, cols], [rows, cols], all Bf16
    int chunks;         // of 64 along the inner dimension
};

// Bugs that the tests plant to see that the emulator finds them.
enum class AvFault {
    kNone,
    kNoFullWait,
    kNoEmptyWait,
    kEarlyRelease,
    kNoWgmmaWait,
    kWrongFullParity,
    kWrongEmptyParity,
    kNoProxyFence,
    kWrongBytes,
    kNoWgmmaFence,
    kCount
};

inline constexpr int kAvThreads = kWarpGroupSize + 32;
inline constexpr int kAvStages = 2;

struct AvShared {
    using Tile = TmaTile<Bf16, 64, 64>;
    struct Stage {
        Tile a, v;
    };
    Stage stages[kAvStages];
    Tile o;
    MBarrier full[kAvStages], empty[kAvStages];
};

template <AvFault kFault>
FLA_DEVICE void produce_av(AvShared& shared, const AvParams& p, int row, int col) {
    if (!elect_one()) {
        return;
    }
    for (int chunk = 0; chunk < p.chunks; ++chunk) {
        const int s = chunk % kAvStages, round = chunk / kAvStages;
        // The first round finds the stages empty: it waits for the phase before the first one.
        const unsigned parity =
            unsigned(round % 2) ^ (kFault == AvFault::kWrongEmptyParity ? 0 : 1);
        if constexpr (kFault != AvFault::kNoEmptyWait) {
            shared.empty[s].wait(parity);
        }
        shared.full[s].arrive_expect_tx(AvShared::Tile::kBytes *
                                        (kFault == AvFault::kWrongBytes ? 1 : 2));
        tma_load_2d(shared.stages[s].a, p.a, 64 * chunk, row, shared.full[s]);
        tma_load_2d(shared.stages[s].v, p.v, col, 64 * chunk, shared.full[s]);
    }
}

template <AvFault kFault>
FLA_DEVICE void consume_av(AvShared& shared, const AvParams& p, int row, int col) {
    const int thread = warp_group_thread();
    float acc[32];
    FLA_UNROLL
    for (int i = 0; i < 32; ++i) {
        acc[i] = 0.0f;
    }
    for (int chunk = 0; chunk < p.chunks; ++chunk) {
        const int s = chunk % kAvStages;
        const unsigned parity = unsigned(chunk / kAvStages % 2);
        if constexpr (kFault != AvFault::kNoFullWait) {
            shared.full[s].wait(parity ^ (kFault == AvFault::kWrongFullParity ? 1 : 0));
        }
        if constexpr (kFault != AvFault::kNoWgmmaFence) {
            wgmma_fence(acc);
        }
        FLA_UNROLL
        for (int k = 0; k < 64; k += 16) {
            wgmma(acc, k_major(shared.stages[s].a, 0, k), mn_major(shared.stages[s].v, k, 0));
        }
        wgmma_commit();
        if constexpr (kFault == AvFault::kEarlyRelease) {
            if (thread == 0) {
                shared.empty[s].arrive();
            }
        } else if (chunk > 0) {  // the tiles of the chunk before have been read
            wgmma_wait<1>();
            if (thread == 0) {
                shared.empty[(chunk - 1) % kAvStages].arrive();
            }
        }
    }
    if constexpr (kFault != AvFault::kNoWgmmaWait) {
        wgmma_wait<0>(acc);
    }

    const int g = thread % 32 / 4, t = thread % 4;
    FLA_UNROLL
    for (int i = 0; i < 32; i += 2) {
        store(reinterpret_cast<std::uint32_t*>(
                  shared.o.at(16 * warp_group_warp() + g + i / 2 % 2 * 8, i / 4 * 8 + 2 * t)),
              pack2<Bf16>(acc[i], acc[i + 1]));
    }
    if constexpr (kFault != AvFault::kNoProxyFence) {
        fence_proxy_async();
    }
    barrier_sync(1, kWarpGroupSize);
    if (thread == 0) {
        tma_store_2d(p.o, col, row, shared.o);
        tma_store_commit();
        tma_store_wait_read<0>();
    }
}

template <AvFault kFault = AvFault::kNone>
FLA_KERNEL void FLA_LAUNCH_BOUNDS(kAvThreads) av_kernel(FLA_GRID_CONSTANT AvParams p) {
    AvShared& shared = dynamic_shared<AvShared>();
    const int row = 64 * block_index().x, col = 64 * block_index().y;
    if (thread_index().x == 0) {
        for (int s = 0; s < kAvStages; ++s) {
            shared.full[s].init(1);
            shared.empty[s].init(1);
        }
        fence_mbarrier_init();
    }
    sync_threads();
    if (warp_group_id() == 0) {
        consume_av<kFault>(shared, p, row, col);
    } else {
        produce_av<kFault>(shared, p, row, col);
    }
}

}  // namespace fla::device::testing
