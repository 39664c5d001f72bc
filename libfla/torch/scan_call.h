#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>

#include "fla/error.h"
#include "scan_kernels.h"
#include "tensor_check.h"

/// What the CPU and CUDA kernels of a scan share: from tensors to the core's parameters and back.
namespace fla::ops {

/// The tensors of one call as the core reads them; keeps the memory behind its views alive.
struct ScanInputs {
    at::Tensor q, k, v, g, beta, initial_state, grad_o, grad_final_state;
};

template <typename Params>
void fill_inputs(Params& params, const ScanOp& op, const ScanArguments& args,
                 const ScanInputs& in) {
    params.q = const_ref(in.q);
    params.k = const_ref(in.k);
    params.v = const_ref(in.v);
    params.log_decay = const_ref(in.g);
    params.initial_state = const_ref(in.initial_state);
    params.scale = args.scale.value_or(1.0 / std::sqrt(static_cast<double>(args.q.size(3))));
    params.direction = args.reverse ? fla::Direction::kReverse : fla::Direction::kForward;
    if constexpr (requires { params.decay; }) {
        params.decay = op.decay;
    }
    if constexpr (requires { params.beta; }) {
        params.beta = const_ref(in.beta);
    }
    if constexpr (requires { params.grad_o; }) {
        params.grad_o = const_ref(in.grad_o);
        params.grad_final_state = const_ref(in.grad_final_state);
    }
}

template <typename Params>
void fill_gradients(Params& params, const ScanGradients& grads) {
    params.grad_q = mutable_ref(grads.q);
    params.grad_k = mutable_ref(grads.k);
    params.grad_v = mutable_ref(grads.v);
    params.grad_log_decay = mutable_ref(grads.g);
    params.grad_initial_state = mutable_ref(grads.initial_state);
    if constexpr (requires { params.grad_beta; }) {
        params.grad_beta = mutable_ref(grads.beta);
    }
}

/// Runs `work` and turns the core's errors into c10::Error with the operator's name.
template <typename Work>
void call_core(const ScanOp& op, Work work) {
    try {
        work();
    } catch (const fla::Error& error) {
        TORCH_CHECK(false, op.name, ": ", error.what());
    }
}

/// Returns uninitialised memory for a state, [B, H, K, V] in the compute dtype.
[[nodiscard]] at::Tensor new_state(const ScanArguments& args);

/// Returns contiguous uninitialised memory with the sizes of `tensor`; undefined stays undefined.
[[nodiscard]] at::Tensor new_like(const at::Tensor& tensor, at::ScalarType dtype);

/// Gives `grad` the dtype of the tensor it belongs to.
[[nodiscard]] at::Tensor cast_like(const at::Tensor& grad, const at::Tensor& tensor);

/// No sequences, tokens or heads: nothing to scan, and no memory that a view could point to.
[[nodiscard]] bool is_empty(const ScanArguments& args);

/// Results of a scan over nothing.
[[nodiscard]] std::tuple<at::Tensor, at::Tensor> scan_forward_empty(const ScanArguments& args);
[[nodiscard]] ScanGradients scan_backward_empty(const ScanArguments& args);

}  // namespace fla::ops
