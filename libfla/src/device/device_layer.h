// Thin device layer: what a kernel may use besides plain C++.
//
// Under nvcc the functions are PTX or intrinsics. With a host compiler they have the same
// signatures and the same register fragments (PTX ISA, "Matrix Fragments"), and run on the CTA
// emulator (libfla/testing/cta_emulator). A kernel written over this header compiles both ways.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

// FLA_SIDE keeps the two sides apart in a program that holds both: a test that compares them. For
// the same reason a kernel has internal linkage on the host, where nvcc's stub bears its name.
#if defined(__CUDACC__)
#define FLA_SIDE cuda_side
#define FLA_KERNEL __global__
#define FLA_DEVICE __device__ __forceinline__
#define FLA_LAUNCH_BOUNDS(threads) __launch_bounds__(threads)
#define FLA_LAUNCH_BOUNDS2(threads, blocks) __launch_bounds__(threads, blocks)
#define FLA_UNROLL _Pragma("unroll")
#define FLA_STATIC_SHARED(name, ...) __shared__ std::type_identity_t<__VA_ARGS__> name
#else
#define FLA_SIDE host_side
#define FLA_KERNEL static inline
#define FLA_DEVICE inline
#define FLA_LAUNCH_BOUNDS(threads)
#define FLA_LAUNCH_BOUNDS2(threads, blocks)
#define FLA_UNROLL
#define FLA_STATIC_SHARED(name, ...) auto& name = ::fla::device::static_shared<__VA_ARGS__>([] {})
#endif

namespace fla::device {
inline namespace FLA_SIDE {

inline constexpr std::uint32_t kFullMask = 0xFFFFFFFFu;
inline constexpr int kWarpSize = 32;

struct Index3 {
    int x, y, z;
};

// kN elements that are loaded and stored at once.
template <class T, int kN>
struct alignas(sizeof(T) * kN) Vec {
    T data[kN];
    FLA_DEVICE T& operator[](int i) { return data[i]; }
    FLA_DEVICE const T& operator[](int i) const { return data[i]; }
};

}  // namespace FLA_SIDE
}  // namespace fla::device

#if defined(__CUDACC__)
#include "device/device_layer_cuda.h"
#else
#include "cta_emulator/device_layer_host.h"
#endif

namespace fla::device {
inline namespace FLA_SIDE {

// Blocks have one dimension where these are used.
FLA_DEVICE int lane_id() { return thread_index().x % kWarpSize; }
FLA_DEVICE int warp_id() { return thread_index().x / kWarpSize; }

// A row-major matrix in shared memory; kPad elements behind each row keep ldmatrix free of bank
// conflicts. The host build checks every index.
template <class T, int kRows, int kCols, int kPad = 16 / sizeof(T)>
struct alignas(16) SharedTile {
    T data[kRows * (kCols + kPad)];
    FLA_DEVICE T* at(int row, int col) {
        check_index(row, kRows);
        check_index(col, kCols);
        return data + row * (kCols + kPad) + col;
    }
};

}  // namespace FLA_SIDE
}  // namespace fla::device
