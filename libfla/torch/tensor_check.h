#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "fla/gated_attn.h"
#include "fla/tensor_ref.h"

/// Turns tensors into the views that the core reads, after checks that name the tensor.
namespace fla::ops {

/// What tells one scan operator from another.
struct ScanOp {
    const char* name;           ///< "fla::chunk_gla"
    const char* backward_name;  ///< "fla::chunk_gla_backward"
    Decay decay;
    bool delta;  ///< Delta rule, hence a beta.
};

/// Arguments of one scan operator as the dispatcher hands them over. Undefined tensors are absent.
struct ScanArguments {
    at::Tensor q = {};                 ///< [B, T, Hq, K]
    at::Tensor k = {};                 ///< [B, T, Hq, K]
    at::Tensor v = {};                 ///< [B, T, H, V]
    at::Tensor g = {};                 ///< [B, T, H] or [B, T, H, K]
    at::Tensor beta = {};              ///< [B, T, H]
    at::Tensor initial_state = {};     ///< [B, H, K, V]
    at::Tensor grad_o = {};            ///< [B, T, H, V], backward only
    at::Tensor grad_final_state = {};  ///< [B, H, K, V], backward only
    std::optional<double> scale = std::nullopt;
    bool reverse = false;

    /// float64 for float64 input, else float32: the dtype of the arithmetic and of the states.
    [[nodiscard]] at::ScalarType compute_dtype() const;
    /// Sizes of the state, [B, H, K, V]; symbolic while a graph is being traced.
    [[nodiscard]] std::vector<c10::SymInt> state_sizes() const;
};

/// Checks ranks, sizes, dtypes and devices, with symbolic sizes too.
///
/// @throws c10::Error naming operator, tensor, the value found and the one expected.
void check_arguments(const ScanOp& op, const ScanArguments& args);

/// Checks that `tensor` has `rank` dimensions; `axes` is "[B, T, H, K]", for the message.
void check_rank(const char* op, const char* name, const at::Tensor& tensor, std::int64_t rank,
                const char* axes);

/// Checks sizes against `expected`; `axes` as in check_rank().
void check_sizes(const char* op, const char* name, const at::Tensor& tensor,
                 c10::SymIntArrayRef expected, const char* axes);

/// Converts to `dtype` and makes the last dimension contiguous; copies only if it must. An
/// undefined tensor stays undefined.
[[nodiscard]] at::Tensor readable(const at::Tensor& tensor, at::ScalarType dtype);

/// Checks that the innermost stride is 1.
void check_dense_rows(const char* op, const char* name, const at::Tensor& tensor);

/// Views the memory of a floating-point tensor of at most kMaxDims dimensions; an undefined
/// tensor gives null data. The tensor must outlive the view.
[[nodiscard]] ConstTensorRef const_ref(const at::Tensor& tensor);
[[nodiscard]] TensorRef mutable_ref(const at::Tensor& tensor);

}  // namespace fla::ops
