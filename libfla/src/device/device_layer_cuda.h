// The device layer on the device; include device_layer.h.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

namespace fla::device {
inline namespace FLA_SIDE {

using Bf16 = __nv_bfloat16;
using Half = __half;

struct Site {  // source locations are for the emulator
    static constexpr FLA_DEVICE Site current() { return {}; }
};

FLA_DEVICE constexpr void check_index(int, int) {}
FLA_DEVICE constexpr void check_multiple(int, int) {}

FLA_DEVICE Index3 thread_index() { return {int(threadIdx.x), int(threadIdx.y), int(threadIdx.z)}; }
FLA_DEVICE Index3 block_index() { return {int(blockIdx.x), int(blockIdx.y), int(blockIdx.z)}; }
FLA_DEVICE Index3 block_dim() { return {int(blockDim.x), int(blockDim.y), int(blockDim.z)}; }
FLA_DEVICE Index3 grid_dim() { return {int(gridDim.x), int(gridDim.y), int(gridDim.z)}; }

template <class T>
FLA_DEVICE T& dynamic_shared() {
    extern __shared__ __align__(1024) unsigned char fla_dynamic_shared[];
    return *reinterpret_cast<T*>(fla_dynamic_shared);
}

FLA_DEVICE std::uint32_t shared_address(const void* p) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

// Numbers

template <class T>
FLA_DEVICE T from_float(float x) {
    return T(x);
}
template <class T>
FLA_DEVICE float to_float(T x) {
    return float(x);
}

template <class T>
FLA_DEVICE std::uint32_t pack2(float lo, float hi) {
    std::uint32_t r;
    if constexpr (std::is_same_v<T, Bf16>) {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    } else {
        asm("{ .reg .b16 l, h; cvt.rn.f16.f32 l, %1; cvt.rn.f16.f32 h, %2; mov.b32 %0, {l, h}; }"
            : "=r"(r)
            : "f"(lo), "f"(hi));
    }
    return r;
}
template <class T>
FLA_DEVICE Vec<float, 2> unpack2(std::uint32_t x) {
    if constexpr (std::is_same_v<T, Bf16>) {
        return {__uint_as_float(x << 16), __uint_as_float(x & 0xFFFF0000u)};
    } else {
        const float2 f = __half22float2(*reinterpret_cast<const __half2*>(&x));
        return {f.x, f.y};
    }
}

// The greater of each of two packed pairs.
template <class T>
FLA_DEVICE std::uint32_t max2(std::uint32_t a, std::uint32_t b) {
    using Pair = std::conditional_t<std::is_same_v<T, Bf16>, __nv_bfloat162, __half2>;
    const Pair r = __hmax2(*reinterpret_cast<const Pair*>(&a), *reinterpret_cast<const Pair*>(&b));
    return *reinterpret_cast<const std::uint32_t*>(&r);
}

FLA_DEVICE std::uint32_t to_tf32(float x) {
    std::uint32_t r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
    return r;
}

FLA_DEVICE float exp2_approx(float x) {
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

// Memory

template <std::size_t kBytes>
using RawWord = std::conditional_t<
    kBytes == 16, uint4,
    std::conditional_t<kBytes == 8, uint2,
                       std::conditional_t<kBytes == 4, std::uint32_t, std::uint16_t>>>;

template <int kN, class T>
FLA_DEVICE Vec<T, kN> load_vec(const T* p, Site = Site::current()) {
    Vec<T, kN> v;
    using Raw = RawWord<sizeof v>;
    *reinterpret_cast<Raw*>(&v) = *reinterpret_cast<const Raw*>(p);
    return v;
}
template <class T, int kN>
FLA_DEVICE void store_vec(T* p, const Vec<T, kN>& v, Site = Site::current()) {
    using Raw = RawWord<sizeof v>;
    *reinterpret_cast<Raw*>(p) = *reinterpret_cast<const Raw*>(&v);
}
template <class T>
FLA_DEVICE T load(const T* p, Site = Site::current()) {
    return *p;
}
template <class T>
FLA_DEVICE void store(T* p, T v, Site = Site::current()) {
    *p = v;
}

template <int kBytes = 16>
FLA_DEVICE void cp_async(void* dst, const void* src, int src_bytes = kBytes,
                         Site = Site::current()) {
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
    const std::uint32_t to = shared_address(dst);
    const std::size_t from = __cvta_generic_to_global(src);
    if constexpr (kBytes == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
                     "r"(src_bytes)
                     : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from),
                     "n"(kBytes), "r"(src_bytes)
                     : "memory");
    }
}
FLA_DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kNewestLeft>
FLA_DEVICE void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kNewestLeft) : "memory");
}

// Barriers

FLA_DEVICE void sync_threads(Site = Site::current()) { __syncthreads(); }
FLA_DEVICE void barrier_sync(int id, int threads, Site = Site::current()) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
FLA_DEVICE void barrier_arrive(int id, int threads, Site = Site::current()) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
FLA_DEVICE void sync_warp(std::uint32_t mask = kFullMask, Site = Site::current()) {
    __syncwarp(mask);
}

// Warp collectives

#define FLA_DEFINE_SHUFFLE(name)                                                        \
    template <class T>                                                                  \
    FLA_DEVICE T name(T v, int operand, int width = 32, std::uint32_t mask = kFullMask, \
                      Site = Site::current()) {                                         \
        return __##name##_sync(mask, v, operand, width);                                \
    }
FLA_DEFINE_SHUFFLE(shfl)
FLA_DEFINE_SHUFFLE(shfl_up)
FLA_DEFINE_SHUFFLE(shfl_down)
FLA_DEFINE_SHUFFLE(shfl_xor)
#undef FLA_DEFINE_SHUFFLE

FLA_DEVICE std::uint32_t ballot(bool p, std::uint32_t mask = kFullMask, Site = Site::current()) {
    return __ballot_sync(mask, p);
}
FLA_DEVICE bool any(bool p, std::uint32_t mask = kFullMask, Site = Site::current()) {
    return __any_sync(mask, p);
}
FLA_DEVICE bool all(bool p, std::uint32_t mask = kFullMask, Site = Site::current()) {
    return __all_sync(mask, p);
}

// Matrices

#define FLA_DEFINE_LDMATRIX(name, trans)                                                       \
    template <int kCount>                                                                      \
    FLA_DEVICE void name(std::uint32_t(&r)[kCount], const void* row, Site = Site::current()) { \
        static_assert(kCount == 1 || kCount == 2 || kCount == 4);                              \
        const std::uint32_t p = shared_address(row);                                           \
        if constexpr (kCount == 1)                                                             \
            asm volatile("ldmatrix.sync.aligned.m8n8.x1" trans ".shared.b16 {%0}, [%1];"       \
                         : "=r"(r[0])                                                          \
                         : "r"(p)                                                              \
                         : "memory");                                                          \
        if constexpr (kCount == 2)                                                             \
            asm volatile("ldmatrix.sync.aligned.m8n8.x2" trans ".shared.b16 {%0, %1}, [%2];"   \
                         : "=r"(r[0]), "=r"(r[1])                                              \
                         : "r"(p)                                                              \
                         : "memory");                                                          \
        if constexpr (kCount == 4)                                                             \
            asm volatile("ldmatrix.sync.aligned.m8n8.x4" trans                                 \
                         ".shared.b16 {%0, %1, %2, %3}, [%4];"                                 \
                         : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                      \
                         : "r"(p)                                                              \
                         : "memory");                                                          \
    }
FLA_DEFINE_LDMATRIX(ldmatrix, "")
FLA_DEFINE_LDMATRIX(ldmatrix_trans, ".trans")
#undef FLA_DEFINE_LDMATRIX

#define FLA_MMA(shape_and_types)                                                    \
    asm volatile("mma.sync.aligned." shape_and_types                                \
                 " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
                 : "+f"(acc[0]), "+f"(acc[1]), "+f"(acc[2]), "+f"(acc[3])           \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))

// acc += a b, with T = Bf16 or Half.
template <class T>
FLA_DEVICE void mma_m16n8k16(float (&acc)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                             std::uint32_t b1, Site = Site::current()) {
    static_assert(std::is_same_v<T, Bf16> || std::is_same_v<T, Half>);
    if constexpr (std::is_same_v<T, Bf16>) {
        FLA_MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
    } else {
        FLA_MMA("m16n8k16.row.col.f32.f16.f16.f32");
    }
}

// acc += a b on fp32 words of which the hardware reads the tf32 bits.
FLA_DEVICE void mma_m16n8k8_tf32(float (&acc)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                 std::uint32_t b1, Site = Site::current()) {
    FLA_MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
}
#undef FLA_MMA

}  // namespace FLA_SIDE
}  // namespace fla::device
