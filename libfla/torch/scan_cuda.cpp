// The scans on CUDA tensors: outputs and workspace from LibTorch's allocator, kernels on the
// current stream of the tensors' device.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "fla/gated_cuda.h"
#include "scan_call.h"

namespace fla::ops {

namespace {

/// Nothing is converted or copied but states, which are small, and a grad_o without dense rows:
/// autograd hands over an expanded one behind a sum.
ScanInputs inputs_in_place(const ScanArguments& args) {
    return {args.q,
            args.k,
            args.v,
            args.g,
            args.beta,
            readable(args.initial_state, at::kFloat),
            args.grad_o.defined() ? readable(args.grad_o, args.grad_o.scalar_type()) : at::Tensor(),
            readable(args.grad_final_state, at::kFloat)};
}

void check_cuda_arguments(const ScanOp& op, const ScanArguments& args) {
    if (op.delta) {
        refuse_cuda(op);
    }
    check_arguments(op, args);
    TORCH_CHECK(args.q.is_cuda(), op.name, ": q is on ", args.q.device(),
                ", expected a CUDA device");
    TORCH_CHECK(
        args.q.scalar_type() != at::kDouble, op.name,
        ": q is Double, expected Float, BFloat16 or Half on CUDA (float64 runs on the CPU)");
    check_dense_rows(op.name, "q", args.q);
    check_dense_rows(op.name, "k", args.k);
    check_dense_rows(op.name, "v", args.v);
    if (op.decay == Decay::kChannel) {
        check_dense_rows(op.name, "g", args.g);
    }
}

/// Enqueues `pass` on the current stream. The workspace is freed at the end of the call: the
/// allocator hands it out again only to work that this stream runs later.
template <typename Params, typename WorkspaceBytes, typename Pass>
void enqueue(const ScanOp& op, const at::Tensor& on, const Params& params, WorkspaceBytes bytes,
             Pass pass) {
    call_core(op, [&] {
        const at::Tensor workspace = at::empty({bytes(params)}, on.options().dtype(at::kByte));
        pass(params, workspace.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream().stream());
    });
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> scan_forward_cuda(const ScanOp& op, const ScanArguments& args) {
    check_cuda_arguments(op, args);
    const c10::cuda::CUDAGuard guard(args.q.device());
    if (is_empty(args)) {
        return scan_forward_empty(args);
    }
    const ScanInputs in = inputs_in_place(args);
    at::Tensor o = new_like(args.v, args.v.scalar_type());
    at::Tensor final_state = new_state(args);
    GatedForward params;
    fill_inputs(params, op, args, in);
    params.o = mutable_ref(o);
    params.final_state = mutable_ref(final_state);
    enqueue(op, o, params, gated_forward_cuda_workspace, gated_forward_cuda);
    return {o, final_state};
}

ScanGradients scan_backward_cuda(const ScanOp& op, const ScanArguments& args) {
    check_cuda_arguments(op, args);
    const c10::cuda::CUDAGuard guard(args.q.device());
    if (is_empty(args)) {
        return scan_backward_empty(args);
    }
    const ScanInputs in = inputs_in_place(args);
    ScanGradients grads;
    grads.q = new_like(args.q, args.q.scalar_type());
    grads.k = new_like(args.k, args.k.scalar_type());
    grads.v = new_like(args.v, args.v.scalar_type());
    if (args.g.defined()) {
        grads.g = new_like(args.g, args.g.scalar_type());
    }
    grads.initial_state = new_state(args);
    GatedBackward params;
    fill_inputs(params, op, args, in);
    fill_gradients(params, grads);
    enqueue(op, grads.v, params, gated_backward_cuda_workspace, gated_backward_cuda);
    grads.initial_state = cast_like(grads.initial_state, args.initial_state);
    return grads;
}

}  // namespace fla::ops
