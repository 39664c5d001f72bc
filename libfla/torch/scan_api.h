#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

/// Calls of registered scan operators through the dispatcher, for operators that are built on them.
namespace fla::ops {

/// Dtype in which an operator that is built on a scan hands it q, k and v: float32, float64 for
/// float64, and on CUDA bfloat16 for bfloat16, which tensor cores multiply.
[[nodiscard]] at::ScalarType scan_dtype(const at::Tensor& tensor);

using ScanResult = std::tuple<at::Tensor, at::Tensor>;

[[nodiscard]] ScanResult call_linear_attn_base(const at::Tensor& q, const at::Tensor& k,
                                               const at::Tensor& v, std::optional<double> scale,
                                               const std::optional<at::Tensor>& initial_state,
                                               bool reverse);

[[nodiscard]] ScanResult call_simple_gla(const at::Tensor& q, const at::Tensor& k,
                                         const at::Tensor& v, const at::Tensor& g,
                                         std::optional<double> scale,
                                         const std::optional<at::Tensor>& initial_state,
                                         bool reverse);

}  // namespace fla::ops
