#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "tensor_check.h"

namespace fla::ops {

/// Gradients of one scan. `g` and `beta` are undefined where the operator has none.
struct ScanGradients {
    at::Tensor q, k, v, g, beta, initial_state;
};

/// Runs the forward scan on CPU tensors: the chunked back end, or the reference for float64.
/// Returns o [B, T, H, V] in the dtype of v and the final state [B, H, K, V] in the compute dtype.
[[nodiscard]] std::tuple<at::Tensor, at::Tensor> scan_forward_cpu(const ScanOp& op,
                                                                  const ScanArguments& args);

/// Runs the backward scan on CPU tensors. Every gradient is contiguous and has the dtype of its
/// tensor; that of an absent initial state has the compute dtype.
[[nodiscard]] ScanGradients scan_backward_cpu(const ScanOp& op, const ScanArguments& args);

/// The same on CUDA tensors, on the current stream of their device, without synchronization.
/// float64 and the delta rule are refused, and everything is in a build without CUDA.
[[nodiscard]] std::tuple<at::Tensor, at::Tensor> scan_forward_cuda(const ScanOp& op,
                                                                   const ScanArguments& args);
[[nodiscard]] ScanGradients scan_backward_cuda(const ScanOp& op, const ScanArguments& args);

/// Throws the c10::Error of an operator that has no CUDA kernel.
[[noreturn]] void refuse_cuda(const ScanOp& op);

/// Shapes and dtypes of forward and backward, without memory: for tracing.
[[nodiscard]] std::tuple<at::Tensor, at::Tensor> scan_forward_meta(const ScanOp& op,
                                                                   const ScanArguments& args);
[[nodiscard]] ScanGradients scan_backward_meta(const ScanOp& op, const ScanArguments& args);

}  // namespace fla::ops
