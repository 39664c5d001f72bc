#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

/// Calls of registered scan operators through the dispatcher, for operators that are built on them.
namespace fla::ops {

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
