#include "scan_call.h"

#include <ATen/ATen.h>

namespace fla::ops {

namespace {

at::Tensor copy_or_zeros(const at::Tensor& state, const at::Tensor& like) {
    return state.defined() ? state.to(like.scalar_type(), /*non_blocking=*/false, /*copy=*/true,
                                      at::MemoryFormat::Contiguous)
                           : at::zeros_like(like);
}

at::Tensor zeros_for(const at::Tensor& tensor) {
    return tensor.defined() ? at::zeros(tensor.sizes(), tensor.options()) : at::Tensor();
}

}  // namespace

at::Tensor new_state(const ScanArguments& args) {
    return at::empty({args.q.size(0), args.v.size(2), args.q.size(3), args.v.size(3)},
                     args.v.options().dtype(args.compute_dtype()));
}

at::Tensor new_like(const at::Tensor& tensor, at::ScalarType dtype) {
    return tensor.defined() ? at::empty(tensor.sizes(), tensor.options().dtype(dtype))
                            : at::Tensor();
}

at::Tensor cast_like(const at::Tensor& grad, const at::Tensor& tensor) {
    return tensor.defined() ? grad.to(tensor.scalar_type()) : grad;
}

bool is_empty(const ScanArguments& args) { return args.v.numel() == 0; }

void refuse_cuda(const ScanOp& op) {
    TORCH_CHECK_NOT_IMPLEMENTED(false, op.name,
                                ": no CUDA kernel in this build of libfla_torch; move the tensors "
                                "to the CPU");
}

std::tuple<at::Tensor, at::Tensor> scan_forward_empty(const ScanArguments& args) {
    return {new_like(args.v, args.v.scalar_type()),
            copy_or_zeros(args.initial_state, new_state(args))};
}

ScanGradients scan_backward_empty(const ScanArguments& args) {
    const at::Tensor state = args.initial_state.defined() ? args.initial_state : new_state(args);
    return {zeros_for(args.q), zeros_for(args.k),    zeros_for(args.v),
            zeros_for(args.g), zeros_for(args.beta), copy_or_zeros(args.grad_final_state, state)};
}

}  // namespace fla::ops
