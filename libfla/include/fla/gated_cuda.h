#pragma once

#include <cstdint>

#include "fla/gated_attn.h"
#include "fla/stream.h"

namespace fla {

/// The gated family on a GPU (sm_80 and later): GatedForward and GatedBackward with device pointers.
///
/// q, k, v, o and their gradients are float32, bfloat16 or float16, log_decay and its gradient are
/// float32, bfloat16 or float16 too; states and their gradients are float32. Sums, states and
/// exponentials are fp32 inside.
///
/// - bfloat16 with K, V <= 128 and rows that 16-byte copies can reach (base and strides multiples of
///   16 bytes, K and V of 8 elements) runs on tensor cores, everything else (K, V <= 256) token by
///   token on CUDA cores: exact to fp32, several times slower.
/// - Exact for every gate <= 0, -inf included: no history is dropped, no exponent is positive. A
///   log_decay that is positive or NaN is not checked for and gives unspecified values.
/// - The same inputs give the same bits: on any stream, in a graph, on any GPU that runs the same
///   code path. No atomics, no autotuning.
/// - Calls enqueue kernels on `stream` and return: no allocation, no synchronization; they can be
///   captured into a CUDA graph.
/// - `workspace` is device memory of at least the stated size, aligned to 256 bytes, that nothing
///   else uses until the kernels have run. Its content before and after means nothing.
///
/// The absolute error of grad_log_decay is about 2^-17 of the terms k dk that cancel in it, so it is
/// noise where decays are so strong that the gradient itself is smaller.
///
/// @throws fla::InvalidArgument if shapes, dtypes or strides break the contract of GatedForward, K or
///         V is above 256, or scale is 0 in a backward pass.
/// @throws fla::CudaError if a launch fails.
void gated_forward_cuda(const GatedForward& params, void* workspace, cudaStream_t stream);
void gated_backward_cuda(const GatedBackward& params, void* workspace, cudaStream_t stream);

/// Bytes of workspace that one call needs; a function of shapes, strides and dtypes.
///
/// @throws fla::InvalidArgument as the call itself.
[[nodiscard]] std::int64_t gated_forward_cuda_workspace(const GatedForward& params);
[[nodiscard]] std::int64_t gated_backward_cuda_workspace(const GatedBackward& params);

}  // namespace fla
