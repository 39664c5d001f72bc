// wgmma on the device; include hopper_layer.h.
#pragma once

namespace fla::device {
inline namespace FLA_SIDE {

#define FLA_ACC8(i)                                                                       \
    "+f"(acc[i]), "+f"(acc[i + 1]), "+f"(acc[i + 2]), "+f"(acc[i + 3]), "+f"(acc[i + 4]), \
        "+f"(acc[i + 5]), "+f"(acc[i + 6]), "+f"(acc[i + 7])
#define FLA_ACC16(i) FLA_ACC8(i), FLA_ACC8(i + 8)
#define FLA_ACC32(i) FLA_ACC16(i), FLA_ACC16(i + 16)
#define FLA_ACC64(i) FLA_ACC32(i), FLA_ACC32(i + 32)

// The accumulator registers of an instruction by their operand numbers.
#define FLA_REGS8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define FLA_REGS16 \
    FLA_REGS8      \
    ", "           \
    "%8, %9, %10, %11, %12, %13, %14, %15"
#define FLA_REGS32                             \
    FLA_REGS16                                 \
    ", "                                       \
    "%16, %17, %18, %19, %20, %21, %22, %23, " \
    "%24, %25, %26, %27, %28, %29, %30, %31"
#define FLA_REGS64                             \
    FLA_REGS32                                 \
    ", "                                       \
    "%32, %33, %34, %35, %36, %37, %38, %39, " \
    "%40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, " \
    "%56, %57, %58, %59, %60, %61, %62, %63"

// Operands: accumulators, then descriptors or registers of A, descriptor of B, whether to add to
// the accumulators, and which of A and B are MN-major.
#define FLA_WGMMA_SHARED(type, n, regs, a_, b_, add_, ta_, tb_)                            \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %" add_                                   \
                 ", 0; "                                                                   \
                 "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type           \
                 " {" FLA_REGS##regs "}, %" a_ ", %" b_ ", p, 1, 1, %" ta_ ", %" tb_ "; }" \
                 : FLA_ACC##regs(0)                                                        \
                 : "l"(a), "l"(b), "r"(int(accumulate)), "n"(kTransA), "n"(kTransB)        \
                 : "memory")
#define FLA_WGMMA_REGISTERS(type, n, regs, a0_, a1_, a2_, a3_, b_, add_, tb_)                    \
    asm volatile(                                                                                \
        "{ .reg .pred p; setp.ne.b32 p, %" add_                                                  \
        ", 0; "                                                                                  \
        "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" FLA_REGS##regs      \
        "}, {%" a0_ ", %" a1_ ", %" a2_ ", %" a3_ "}, %" b_ ", p, 1, 1, %" tb_ "; }"             \
        : FLA_ACC##regs(0)                                                                       \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(accumulate)), "n"(kTransB) \
        : "memory")

#define FLA_WGMMA_BOTH(form, ...)              \
    if constexpr (std::is_same_v<T, Bf16>) {   \
        FLA_WGMMA_##form("bf16", __VA_ARGS__); \
    } else {                                   \
        FLA_WGMMA_##form("f16", __VA_ARGS__);  \
    }

template <class T, bool kTransA, bool kTransB, int kRegisters>
FLA_DEVICE void wgmma_shared(float (&acc)[kRegisters], std::uint64_t a, std::uint64_t b,
                             bool accumulate) {
    if constexpr (kRegisters == 8) {
        FLA_WGMMA_BOTH(SHARED, 16, 8, "8", "9", "10", "11", "12")
    }
    if constexpr (kRegisters == 16) {
        FLA_WGMMA_BOTH(SHARED, 32, 16, "16", "17", "18", "19", "20")
    }
    if constexpr (kRegisters == 32) {
        FLA_WGMMA_BOTH(SHARED, 64, 32, "32", "33", "34", "35", "36")
    }
    if constexpr (kRegisters == 64) {
        FLA_WGMMA_BOTH(SHARED, 128, 64, "64", "65", "66", "67", "68")
    }
}
template <class T, bool kTransB, int kRegisters>
FLA_DEVICE void wgmma_registers(float (&acc)[kRegisters], const std::uint32_t (&a)[4],
                                std::uint64_t b, bool accumulate) {
    if constexpr (kRegisters == 8) {
        FLA_WGMMA_BOTH(REGISTERS, 16, 8, "8", "9", "10", "11", "12", "13", "14")
    }
    if constexpr (kRegisters == 16) {
        FLA_WGMMA_BOTH(REGISTERS, 32, 16, "16", "17", "18", "19", "20", "21", "22")
    }
    if constexpr (kRegisters == 32) {
        FLA_WGMMA_BOTH(REGISTERS, 64, 32, "32", "33", "34", "35", "36", "37", "38")
    }
    if constexpr (kRegisters == 64) {
        FLA_WGMMA_BOTH(REGISTERS, 128, 64, "64", "65", "66", "67", "68", "69", "70")
    }
}
#undef FLA_WGMMA_BOTH
#undef FLA_WGMMA_REGISTERS
#undef FLA_WGMMA_SHARED

// acc (+)= a b for a 64 x 16, b 16 x N with N = 16, 32, 64 or 128, by the 128 threads of a warp
// group. acc[4 j + 2 h + e] of thread t is the element (16 (t / 32) + t % 32 / 4 + 8 h,
// 8 j + 2 (t % 4) + e).
template <int kRegisters, Major kMajorA, class TileA, Major kMajorB, class TileB>
FLA_DEVICE void wgmma(float (&acc)[kRegisters], WgmmaOperand<kMajorA, TileA> a,
                      WgmmaOperand<kMajorB, TileB> b, bool accumulate = true,
                      Site = Site::current()) {
    using T = typename TileB::Element;
    static_assert(kRegisters == 8 || kRegisters == 16 || kRegisters == 32 || kRegisters == 64);
    static_assert(std::is_same_v<typename TileA::Element, T>);
    wgmma_shared<T, kMajorA == Major::kMn, kMajorB == Major::kMn>(
        acc, wgmma_descriptor<64>(a, shared_address(a.tile.data)),
        wgmma_descriptor<2 * kRegisters>(b, shared_address(b.tile.data)), accumulate);
}
// With a in registers: a[r] holds the row 16 (t / 32) + t % 32 / 4 + 8 (r % 2), the columns
// 2 (t % 4) + 8 (r / 2) and the next. They must stay as they are until the wait.
template <int kRegisters, Major kMajorB, class TileB>
FLA_DEVICE void wgmma(float (&acc)[kRegisters], const std::uint32_t (&a)[4],
                      WgmmaOperand<kMajorB, TileB> b, bool accumulate = true,
                      Site = Site::current()) {
    using T = typename TileB::Element;
    static_assert(kRegisters == 8 || kRegisters == 16 || kRegisters == 32 || kRegisters == 64);
    wgmma_registers<T, kMajorB == Major::kMn>(
        acc, a, wgmma_descriptor<2 * kRegisters>(b, shared_address(b.tile.data)), accumulate);
}

// Keeps the compiler from moving uses of the accumulators over the instruction beside it.
template <int kCount>
FLA_DEVICE void pin_registers(float (&acc)[kCount]) {
    FLA_UNROLL
    for (int i = 0; i < kCount; ++i) {
        asm volatile("" : "+f"(acc[i])::"memory");
    }
}
FLA_DEVICE void wgmma_fence(Site = Site::current()) {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
template <int kA>
FLA_DEVICE void wgmma_fence(float (&a)[kA], Site = Site::current()) {
    pin_registers(a);
    wgmma_fence();
}
template <int kA, int kB>
FLA_DEVICE void wgmma_fence(float (&a)[kA], float (&b)[kB], Site = Site::current()) {
    pin_registers(b);
    wgmma_fence(a);
}
FLA_DEVICE void wgmma_commit(Site = Site::current()) {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kNewestLeft>
FLA_DEVICE void wgmma_wait(Site = Site::current()) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kNewestLeft) : "memory");
}
template <int kNewestLeft, int kA>
FLA_DEVICE void wgmma_wait(float (&a)[kA], Site = Site::current()) {
    wgmma_wait<kNewestLeft>();
    pin_registers(a);
}
template <int kNewestLeft, int kA, int kB>
FLA_DEVICE void wgmma_wait(float (&a)[kA], float (&b)[kB], Site = Site::current()) {
    wgmma_wait<kNewestLeft>(a);
    pin_registers(b);
}

}  // namespace FLA_SIDE
}  // namespace fla::device
