// Mbarriers, bulk tensor copies and the small sm_90a functions on the device; include
// hopper_layer.h.
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include "fla/error.h"

namespace fla::device {
inline namespace FLA_SIDE {

struct MBarrier {
    std::uint64_t word;

    FLA_DEVICE void init(int arrivals, Site = Site::current()) {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&word)),
                     "r"(arrivals)
                     : "memory");
    }
    FLA_DEVICE void arrive(Site = Site::current()) {
        asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&word))
                     : "memory");
    }
    FLA_DEVICE void arrive_expect_tx(int bytes, Site = Site::current()) {
        asm volatile(
            "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&word)),
            "r"(bytes)
            : "memory");
    }
    // Whether the phase of this parity has completed; may wait a while and still say no.
    FLA_DEVICE bool try_wait(unsigned parity, Site = Site::current()) {
        std::uint32_t done;
        asm volatile(
            "{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; "
            "selp.u32 %0, 1, 0, p; }"
            : "=r"(done)
            : "r"(shared_address(&word)), "r"(parity)
            : "memory");
        return done != 0;
    }
    FLA_DEVICE void wait(unsigned parity, Site = Site::current()) {
        while (!try_wait(parity)) {
        }
    }
};

FLA_DEVICE void fence_mbarrier_init() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
FLA_DEVICE void fence_proxy_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

FLA_DEVICE bool elect_one(Site = Site::current()) {
    std::uint32_t elected;
    asm volatile(
        "{ .reg .pred p; .reg .b32 leader; elect.sync leader|p, 0xFFFFFFFF; selp.u32 %0, 1, 0, p; }"
        : "=r"(elected));
    return elected != 0;
}

// All threads of a warp group change their register limit. ptxas ignores it in a kernel without
// FLA_LAUNCH_BOUNDS2, which fixes the registers at entry.
template <int kRegisters>
FLA_DEVICE void raise_max_registers() {
    static_assert(kRegisters % 8 == 0 && 24 <= kRegisters && kRegisters <= 256);
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
FLA_DEVICE void lower_max_registers() {
    static_assert(kRegisters % 8 == 0 && 24 <= kRegisters && kRegisters <= 256);
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// A kernel parameter (FLA_GRID_CONSTANT, also as a member of one).
struct TensorMap {
    CUtensorMap map;
};

template <class T>
constexpr CUtensorMapDataType tensor_data_type() {
    if constexpr (std::is_same_v<T, Bf16>) {
        return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    } else if constexpr (std::is_same_v<T, Half>) {
        return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    } else {
        return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
    }
}

// Finds the driver's encoder. It is looked up at run time so that nothing links against libcuda.
inline auto tensor_map_encoder() {
    void* f = nullptr;
    cudaDriverEntryPointQueryResult found;
#if CUDART_VERSION >= 12050
    const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000,
                                                               cudaEnableDefault, &found);
#else
    const cudaError_t error =
        cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &f, cudaEnableDefault, &found);
#endif
    if (error != cudaSuccess || found != cudaDriverEntryPointSuccess) {
        throw Unsupported("the driver has no cuTensorMapEncodeTiled");
    }
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(f);
}

template <class T>
TensorMap make_tensor_map(T* base, const TensorShape& shape, Swizzle swizzle) {
    using Element = std::remove_const_t<T>;
    static_assert(std::is_same_v<Element, Bf16> || std::is_same_v<Element, Half> ||
                  std::is_same_v<Element, float>);
    cuuint64_t sizes[kMaxTensorRank], stride_bytes[kMaxTensorRank];
    cuuint32_t box[kMaxTensorRank], steps[kMaxTensorRank];
    for (int i = 0; i < shape.rank; ++i) {
        sizes[i] = cuuint64_t(shape.size[i]);
        if (i > 0) {
            stride_bytes[i - 1] = cuuint64_t(shape.stride[i]) * sizeof(T);
        }
        box[i] = cuuint32_t(shape.box[i]);
        steps[i] = 1;
    }
    TensorMap result;
    const CUresult error = tensor_map_encoder()(
        &result.map, tensor_data_type<Element>(), cuuint32_t(shape.rank),
        const_cast<Element*>(base), sizes, stride_bytes, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
        swizzle == Swizzle::k128B ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE,
        CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (error != CUDA_SUCCESS) {
        throw InvalidArgument(join_text("cuTensorMapEncodeTiled refuses the tensor, CUresult ",
                                        static_cast<int>(error)));
    }
    return result;
}

FLA_DEVICE void tma_prefetch(const TensorMap& map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(&map.map) : "memory");
}

#define FLA_TMA_LOAD(rank, coordinates, ...)                                                    \
    asm volatile("cp.async.bulk.tensor." rank                                                   \
                 ".shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, " coordinates \
                 "], [%2];" ::"r"(to),                                                          \
                 "l"(&map.map), "r"(shared_address(&barrier.word)), __VA_ARGS__                 \
                 : "memory")
#define FLA_TMA_STORE(rank, coordinates, ...)                                                    \
    asm volatile("cp.async.bulk.tensor." rank ".global.shared::cta.bulk_group [%0, " coordinates \
                 "], [%1];" ::"l"(&map.map),                                                     \
                 "r"(from), __VA_ARGS__                                                          \
                 : "memory")

template <class Tile, int kRank>
FLA_DEVICE void tma_load(Tile& tile, const TensorMap& map, const int (&at)[kRank],
                         MBarrier& barrier, Site) {
    FLA_UNROLL
    for (int panel = 0; panel < Tile::kPanels; ++panel) {
        const std::uint32_t to = shared_address(tile.data) + panel * Tile::kPanelBytes;
        const int c0 = at[0] + panel * Tile::kPanelCols;
        if constexpr (kRank == 2) {
            FLA_TMA_LOAD("2d", "{%3, %4}", "r"(c0), "r"(at[1]));
        }
        if constexpr (kRank == 3) {
            FLA_TMA_LOAD("3d", "{%3, %4, %5}", "r"(c0), "r"(at[1]), "r"(at[2]));
        }
        if constexpr (kRank == 4) {
            FLA_TMA_LOAD("4d", "{%3, %4, %5, %6}", "r"(c0), "r"(at[1]), "r"(at[2]), "r"(at[3]));
        }
    }
}

template <class Tile, int kRank>
FLA_DEVICE void tma_store(const TensorMap& map, const int (&at)[kRank], Tile& tile, Site) {
    FLA_UNROLL
    for (int panel = 0; panel < Tile::kPanels; ++panel) {
        const std::uint32_t from = shared_address(tile.data) + panel * Tile::kPanelBytes;
        const int c0 = at[0] + panel * Tile::kPanelCols;
        if constexpr (kRank == 2) {
            FLA_TMA_STORE("2d", "{%2, %3}", "r"(c0), "r"(at[1]));
        }
        if constexpr (kRank == 3) {
            FLA_TMA_STORE("3d", "{%2, %3, %4}", "r"(c0), "r"(at[1]), "r"(at[2]));
        }
        if constexpr (kRank == 4) {
            FLA_TMA_STORE("4d", "{%2, %3, %4, %5}", "r"(c0), "r"(at[1]), "r"(at[2]), "r"(at[3]));
        }
    }
}
#undef FLA_TMA_LOAD
#undef FLA_TMA_STORE

FLA_DEVICE void tma_store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// Until at most kNewestLeft groups are not complete (wait) or not read (wait_read: the tile may be
// written again).
template <int kNewestLeft>
FLA_DEVICE void tma_store_wait(Site = Site::current()) {
    asm volatile("cp.async.bulk.wait_group %0;" ::"n"(kNewestLeft) : "memory");
}
template <int kNewestLeft>
FLA_DEVICE void tma_store_wait_read(Site = Site::current()) {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kNewestLeft) : "memory");
}

}  // namespace FLA_SIDE
}  // namespace fla::device
