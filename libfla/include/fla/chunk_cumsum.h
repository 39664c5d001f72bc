#pragma once

#include <cstdint>

#include "fla/direction.h"
#include "fla/stream.h"
#include "fla/tensor_ref.h"

namespace fla {

/// Running sums of log-decays inside each chunk, the form in which chunked kernels read them.
///
/// For chunks of `chunk_len` tokens that begin at tokens 0, chunk_len, 2 chunk_len, ... (kForward)
/// and every token t of the chunk [c, e):
///
///     sum_t = log_decay_c + ... + log_decay_t           (kForward)
///     sum_t = log_decay_t + ... + log_decay_{e-1}       (kReverse)
///
/// Values are first raised to -105, whose exponential is 0 in fp32, so that -inf cannot give
/// inf - inf later. Sums are fp32, in token order, and do not depend on the GPU.
struct ChunkCumsumParams {
    ConstTensorRef log_decay;  ///< [B, T, H] fp32 on the device, any strides
    TensorRef sum;  ///< [B, T, H] fp32 on the device, any strides; may be log_decay itself
    std::int64_t chunk_len = 64;  ///< At least 1. Need not divide T.
    Direction direction = Direction::kForward;
};

/// Enqueues the sums on `stream` and returns without synchronizing or allocating. Only in builds
/// with CUDA; runs on sm_80 and later.
///
/// @throws fla::InvalidArgument if a size, dtype or chunk_len breaks the contract above.
/// @throws fla::CudaError if the launch fails; faults inside the kernel surface at a later sync.
void chunk_cumsum(const ChunkCumsumParams& params, cudaStream_t stream);

}  // namespace fla
