#include <ATen/ATen.h>

#include <cmath>

#include "fla/delta_rule.h"
#include "fla/error.h"
#include "fla/gated_attn.h"
#include "scan_kernels.h"
#include "torch_parallel.h"

namespace fla::ops {

namespace {

/// Inputs in the compute dtype and readable strides; keeps the memory behind the views alive.
struct ReadableArguments {
    explicit ReadableArguments(const ScanArguments& args) : dtype(args.compute_dtype()) {
        q = readable(args.q, dtype);
        k = readable(args.k, dtype);
        v = readable(args.v, dtype);
        g = readable(args.g, dtype);
        beta = readable(args.beta, dtype);
        initial_state = readable(args.initial_state, dtype);
        grad_o = readable(args.grad_o, dtype);
        grad_final_state = readable(args.grad_final_state, dtype);
    }

    at::ScalarType dtype;
    at::Tensor q, k, v, g, beta, initial_state, grad_o, grad_final_state;
};

template <typename Params>
void fill_inputs(Params& params, const ScanArguments& args, const ReadableArguments& in) {
    params.q = const_ref(in.q);
    params.k = const_ref(in.k);
    params.v = const_ref(in.v);
    params.log_decay = const_ref(in.g);
    params.initial_state = const_ref(in.initial_state);
    params.scale = args.scale.value_or(1.0 / std::sqrt(static_cast<double>(args.q.size(3))));
    params.direction = args.reverse ? fla::Direction::kReverse : fla::Direction::kForward;
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

at::Tensor new_state(const ScanArguments& args) {
    return at::empty({args.q.size(0), args.v.size(2), args.q.size(3), args.v.size(3)},
                     args.v.options().dtype(args.compute_dtype()));
}

/// No sequences, tokens or heads: nothing to scan, and no memory that a view could point to.
bool is_empty(const ScanArguments& args) { return args.v.numel() == 0; }

at::Tensor copy_or_zeros(const at::Tensor& state, const at::Tensor& like) {
    return state.defined() ? state.to(like.scalar_type(), /*non_blocking=*/false, /*copy=*/true,
                                      at::MemoryFormat::Contiguous)
                           : at::zeros_like(like);
}

at::Tensor empty_gradient(const at::Tensor& tensor, at::ScalarType dtype) {
    return tensor.defined() ? at::empty(tensor.sizes(), tensor.options().dtype(dtype))
                            : at::Tensor();
}

/// Gives `grad` the dtype of the tensor it belongs to.
at::Tensor cast_like(const at::Tensor& grad, const at::Tensor& tensor) {
    return tensor.defined() ? grad.to(tensor.scalar_type()) : grad;
}

ScanGradients empty_scan_gradients(const ScanArguments& args) {
    const auto zeros = [](const at::Tensor& t) {
        return t.defined() ? at::zeros(t.sizes(), t.options()) : at::Tensor();
    };
    ScanGradients grads{zeros(args.q), zeros(args.k),    zeros(args.v),
                        zeros(args.g), zeros(args.beta), at::Tensor()};
    const at::Tensor state = args.initial_state.defined() ? args.initial_state : new_state(args);
    grads.initial_state = copy_or_zeros(args.grad_final_state, state);
    return grads;
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> scan_forward_cpu(const ScanOp& op, const ScanArguments& args) {
    check_arguments(op, args);
    at::Tensor final_state = new_state(args);
    if (is_empty(args)) {
        return {at::empty(args.v.sizes(), args.v.options()),
                copy_or_zeros(args.initial_state, final_state)};
    }
    const ReadableArguments in(args);
    const bool exact = in.dtype == at::kDouble;
    const at::Tensor o = empty_gradient(args.v, in.dtype);
    const auto run = [&](auto params, auto chunked, auto reference) {
        fill_inputs(params, args, in);
        if constexpr (requires { params.decay; }) {
            params.decay = op.decay;
        }
        params.o = mutable_ref(o);
        params.final_state = mutable_ref(final_state);
        call_core(op, [&] { exact ? reference(params) : chunked(params, torch_parallel_for); });
    };
    if (op.delta) {
        run(DeltaForward{}, delta_forward_cpu, delta_forward_reference);
    } else {
        run(GatedForward{}, gated_forward_cpu, gated_forward_reference);
    }
    return {o.to(args.v.scalar_type()), final_state};
}

ScanGradients scan_backward_cpu(const ScanOp& op, const ScanArguments& args) {
    check_arguments(op, args);
    if (is_empty(args)) {
        return empty_scan_gradients(args);
    }
    const ReadableArguments in(args);
    const bool exact = in.dtype == at::kDouble;
    const ScanGradients grads{empty_gradient(args.q, in.dtype),    empty_gradient(args.k, in.dtype),
                              empty_gradient(args.v, in.dtype),    empty_gradient(args.g, in.dtype),
                              empty_gradient(args.beta, in.dtype), new_state(args)};
    const auto run = [&](auto params, auto chunked, auto reference) {
        fill_inputs(params, args, in);
        if constexpr (requires { params.decay; }) {
            params.decay = op.decay;
        }
        fill_gradients(params, grads);
        call_core(op, [&] { exact ? reference(params) : chunked(params, torch_parallel_for); });
    };
    if (op.delta) {
        run(DeltaBackward{}, delta_backward_cpu, delta_backward_reference);
    } else {
        run(GatedBackward{}, gated_backward_cpu, gated_backward_reference);
    }
    return {cast_like(grads.q, args.q),       cast_like(grads.k, args.k),
            cast_like(grads.v, args.v),       cast_like(grads.g, args.g),
            cast_like(grads.beta, args.beta), cast_like(grads.initial_state, args.initial_state)};
}

}  // namespace fla::ops
