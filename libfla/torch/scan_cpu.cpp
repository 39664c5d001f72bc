#include <ATen/ATen.h>

#include "fla/delta_rule.h"
#include "fla/gated_attn.h"
#include "scan_call.h"
#include "torch_parallel.h"

namespace fla::ops {

namespace {

/// Everything in the compute dtype and readable strides.
ScanInputs readable_inputs(const ScanArguments& args) {
    const at::ScalarType dtype = args.compute_dtype();
    return {readable(args.q, dtype),      readable(args.k, dtype),
            readable(args.v, dtype),      readable(args.g, dtype),
            readable(args.beta, dtype),   readable(args.initial_state, dtype),
            readable(args.grad_o, dtype), readable(args.grad_final_state, dtype)};
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> scan_forward_cpu(const ScanOp& op, const ScanArguments& args) {
    check_arguments(op, args);
    if (is_empty(args)) {
        return scan_forward_empty(args);
    }
    const ScanInputs in = readable_inputs(args);
    const bool exact = args.compute_dtype() == at::kDouble;
    const at::Tensor o = new_like(args.v, args.compute_dtype());
    at::Tensor final_state = new_state(args);
    const auto run = [&](auto params, auto chunked, auto reference) {
        fill_inputs(params, op, args, in);
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
        return scan_backward_empty(args);
    }
    const ScanInputs in = readable_inputs(args);
    const at::ScalarType dtype = args.compute_dtype();
    const bool exact = dtype == at::kDouble;
    const ScanGradients grads{new_like(args.q, dtype),    new_like(args.k, dtype),
                              new_like(args.v, dtype),    new_like(args.g, dtype),
                              new_like(args.beta, dtype), new_state(args)};
    const auto run = [&](auto params, auto chunked, auto reference) {
        fill_inputs(params, op, args, in);
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
