#include <cuda_runtime.h>

#include <limits>

#include "fla/chunk_cumsum.h"
#include "fla/error.h"

namespace fla {
namespace {

constexpr int kThreads = 256;
constexpr float kLowestLogDecay = -105.0F;

/// Kernel arguments: strides of [B, T, H] in elements.
struct CumsumArguments {
    const float* log_decay;
    float* sum;
    std::int64_t in_b, in_t, in_h;
    std::int64_t out_b, out_t, out_h;
    std::int64_t tokens, heads, chunk_len, num_chunks, num_items;
    bool reverse;
};

/// One thread sums one chunk of one head; neighbouring threads own neighbouring heads.
__global__ void __launch_bounds__(kThreads) chunk_cumsum_kernel(const CumsumArguments a) {
    const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (item >= a.num_items) {
        return;
    }
    const std::int64_t h = item % a.heads;
    const std::int64_t chunk = item / a.heads % a.num_chunks;
    const std::int64_t b = item / a.heads / a.num_chunks;
    const std::int64_t begin = chunk * a.chunk_len;
    const std::int64_t end = min(a.tokens, begin + a.chunk_len);
    const float* in = a.log_decay + b * a.in_b + h * a.in_h;
    float* out = a.sum + b * a.out_b + h * a.out_h;
    float sum = 0.0F;
    for (std::int64_t i = 0; i < end - begin; ++i) {
        const std::int64_t t = a.reverse ? end - 1 - i : begin + i;
        sum += fmaxf(in[t * a.in_t], kLowestLogDecay);
        out[t * a.out_t] = sum;
    }
}

void check(const ChunkCumsumParams& p) {
    FLA_CHECK(p.log_decay.ndim == 3 && p.log_decay.dtype == DType::kFloat32, "log_decay is ",
              p.log_decay.describe(), ", expected float32 [B, T, H]");
    FLA_CHECK(p.sum.dtype == DType::kFloat32 && p.sum.ndim == 3 && p.sum.sizes == p.log_decay.sizes,
              "sum is ", p.sum.describe(), ", expected ", p.log_decay.describe());
    FLA_CHECK(p.chunk_len >= 1, "chunk_len is ", p.chunk_len, ", expected at least 1");
    FLA_CHECK(p.log_decay.num_elements() == 0 || (p.log_decay.present() && p.sum.present()),
              "log_decay or sum has no data");
}

}  // namespace

void chunk_cumsum(const ChunkCumsumParams& p, cudaStream_t stream) {
    check(p);
    CumsumArguments a{};
    a.log_decay = static_cast<const float*>(p.log_decay.data);
    a.sum = static_cast<float*>(p.sum.data);
    a.in_b = p.log_decay.stride(0);
    a.in_t = p.log_decay.stride(1);
    a.in_h = p.log_decay.stride(2);
    a.out_b = p.sum.stride(0);
    a.out_t = p.sum.stride(1);
    a.out_h = p.sum.stride(2);
    a.tokens = p.log_decay.size(1);
    a.heads = p.log_decay.size(2);
    a.chunk_len = p.chunk_len;
    a.num_chunks = (a.tokens + a.chunk_len - 1) / a.chunk_len;
    a.num_items = p.log_decay.size(0) * a.num_chunks * a.heads;
    a.reverse = p.direction == Direction::kReverse;
    const std::int64_t blocks = (a.num_items + kThreads - 1) / kThreads;
    FLA_CHECK(blocks <= std::numeric_limits<int>::max(), "log_decay is ", p.log_decay.describe(),
              ", which is too large for one launch");
    if (blocks == 0) {
        return;
    }
    chunk_cumsum_kernel<<<static_cast<unsigned int>(blocks), kThreads, 0, stream>>>(a);
    FLA_CUDA_CHECK(cudaGetLastError());
}

}  // namespace fla
