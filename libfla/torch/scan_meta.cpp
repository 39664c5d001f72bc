#include <ATen/ATen.h>

#include "scan_kernels.h"

namespace fla::ops {

namespace {

at::Tensor empty_as(const at::Tensor& tensor) {
    return tensor.defined() ? at::empty_symint(tensor.sym_sizes(), tensor.options()) : at::Tensor();
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> scan_forward_meta(const ScanOp& op, const ScanArguments& args) {
    check_arguments(op, args);
    return {empty_as(args.v),
            at::empty_symint(args.state_sizes(), args.v.options().dtype(args.compute_dtype()))};
}

ScanGradients scan_backward_meta(const ScanOp& op, const ScanArguments& args) {
    check_arguments(op, args);
    ScanGradients grads{empty_as(args.q), empty_as(args.k),    empty_as(args.v),
                        empty_as(args.g), empty_as(args.beta), empty_as(args.initial_state)};
    if (!grads.initial_state.defined()) {
        grads.initial_state =
            at::empty_symint(args.state_sizes(), args.v.options().dtype(args.compute_dtype()));
    }
    return grads;
}

}  // namespace fla::ops
