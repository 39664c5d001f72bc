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

/// Shapes and dtypes of the two functions above, without memory: for tracing.
[[nodiscard]] std::tuple<at::Tensor, at::Tensor> scan_forward_meta(const ScanOp& op,
                                                                   const ScanArguments& args);
[[nodiscard]] ScanGradients scan_backward_meta(const ScanOp& op, const ScanArguments& args);

}  // namespace fla::ops
