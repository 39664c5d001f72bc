#include "tensor_check.h"

#include <ATen/ATen.h>

#include <array>
#include <string>

namespace fla::ops {

namespace {

bool is_supported(at::ScalarType dtype) {
    return dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16 ||
           dtype == at::kHalf;
}

/// Gates, beta, states and their gradients: any float type, but float64 only beside float64.
void check_side_dtype(const char* op, const char* name, const at::Tensor& tensor,
                      at::ScalarType main) {
    TORCH_CHECK(is_supported(tensor.scalar_type()), op, ": ", name, " is ", tensor.scalar_type(),
                ", expected Float, BFloat16, Half or Double");
    TORCH_CHECK((tensor.scalar_type() == at::kDouble) == (main == at::kDouble), op, ": ", name,
                " is ", tensor.scalar_type(), " but q is ", main,
                "; expected Double for all tensors or for none");
}

void check_main_dtype(const char* op, const char* name, const at::Tensor& tensor,
                      at::ScalarType main) {
    TORCH_CHECK(tensor.scalar_type() == main, op, ": ", name, " is ", tensor.scalar_type(),
                ", expected ", main, " (the dtype of q)");
}

DType core_dtype(at::ScalarType dtype) {
    switch (dtype) {
        case at::kDouble:
            return DType::kFloat64;
        case at::kBFloat16:
            return DType::kBFloat16;
        case at::kHalf:
            return DType::kFloat16;
        default:
            return DType::kFloat32;
    }
}

template <typename Pointer>
BasicTensorRef<Pointer> make_ref(const at::Tensor& tensor, Pointer data) {
    TORCH_INTERNAL_ASSERT(tensor.dim() <= kMaxDims);
    BasicTensorRef<Pointer> ref;
    ref.data = data;
    ref.dtype = core_dtype(tensor.scalar_type());
    ref.ndim = static_cast<int>(tensor.dim());
    for (int d = 0; d < ref.ndim; ++d) {
        ref.sizes[static_cast<std::size_t>(d)] = tensor.size(d);
        // The stride of a dimension of one element is arbitrary; the core wants 1 for the last.
        ref.strides[static_cast<std::size_t>(d)] = tensor.size(d) == 1 ? 1 : tensor.stride(d);
    }
    return ref;
}

}  // namespace

at::ScalarType ScanArguments::compute_dtype() const {
    return q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

std::vector<c10::SymInt> ScanArguments::state_sizes() const {
    return {q.sym_size(0), v.sym_size(2), q.sym_size(3), v.sym_size(3)};
}

void check_rank(const char* op, const char* name, const at::Tensor& tensor, std::int64_t rank,
                const char* axes) {
    TORCH_CHECK(tensor.dim() == rank, op, ": ", name, " has sizes ", tensor.sym_sizes(),
                ", expected ", rank, " dimensions ", axes);
}

void check_sizes(const char* op, const char* name, const at::Tensor& tensor,
                 c10::SymIntArrayRef expected, const char* axes) {
    check_rank(op, name, tensor, static_cast<std::int64_t>(expected.size()), axes);
    for (std::size_t d = 0; d < expected.size(); ++d) {
        TORCH_SYM_CHECK(tensor.sym_size(static_cast<std::int64_t>(d)).sym_eq(expected[d]), op, ": ",
                        name, " has sizes ", tensor.sym_sizes(), ", expected ", axes, " = ",
                        expected);
    }
}

void check_arguments(const ScanOp& op, const ScanArguments& args) {
    const char* name = op.name;
    check_rank(name, "q", args.q, 4, "[B, T, Hq, K]");
    check_rank(name, "v", args.v, 4, "[B, T, H, V]");
    const auto b = args.q.sym_size(0);
    const auto t = args.q.sym_size(1);
    const auto hq = args.q.sym_size(2);
    const auto kw = args.q.sym_size(3);
    const auto h = args.v.sym_size(2);
    const auto vw = args.v.sym_size(3);
    const std::array<c10::SymInt, 4> qk_sizes{b, t, hq, kw};
    const std::array<c10::SymInt, 4> v_sizes{b, t, h, vw};
    const std::array<c10::SymInt, 3> head_sizes{b, t, h};
    const std::array<c10::SymInt, 4> channel_sizes{b, t, h, kw};
    const std::array<c10::SymInt, 4> state_sizes{b, h, kw, vw};
    TORCH_SYM_CHECK(hq.sym_gt(0), name, ": q has no heads, expected at least 1");
    TORCH_SYM_CHECK(kw.sym_gt(0), name, ": q has width K = 0, expected at least 1");
    TORCH_SYM_CHECK(vw.sym_gt(0), name, ": v has width V = 0, expected at least 1");
    TORCH_SYM_CHECK((h % hq).sym_eq(0), name, ": v has H = ", h,
                    " heads, expected a multiple of the Hq = ", hq, " heads of q");
    check_sizes(name, "k", args.k, qk_sizes, "[B, T, Hq, K]");
    check_sizes(name, "v", args.v, v_sizes, "[B, T, H, V]");

    const at::ScalarType main = args.q.scalar_type();
    TORCH_CHECK(is_supported(main), name, ": q is ", main,
                ", expected Float, BFloat16, Half or Double");
    check_main_dtype(name, "k", args.k, main);
    check_main_dtype(name, "v", args.v, main);

    const auto check_side = [&](const char* side_name, const at::Tensor& side,
                                c10::SymIntArrayRef sizes, const char* axes) {
        if (side.defined()) {
            check_sizes(name, side_name, side, sizes, axes);
            check_side_dtype(name, side_name, side, main);
        }
    };
    if (op.decay == Decay::kHead) {
        check_side("g", args.g, head_sizes, "[B, T, H]");
    } else if (op.decay == Decay::kChannel) {
        check_side("g", args.g, channel_sizes, "[B, T, H, K]");
    }
    check_side("beta", args.beta, head_sizes, "[B, T, H]");
    check_side("initial_state", args.initial_state, state_sizes, "[B, H, K, V]");
    check_side("grad_o", args.grad_o, v_sizes, "[B, T, H, V]");
    check_side("grad_final_state", args.grad_final_state, state_sizes, "[B, H, K, V]");

    const auto check_device = [&](const char* tensor_name, const at::Tensor& tensor) {
        TORCH_CHECK(!tensor.defined() || tensor.device() == args.q.device(), name, ": ",
                    tensor_name, " is on ", tensor.device(), ", expected ", args.q.device(),
                    " (the device of q)");
    };
    check_device("k", args.k);
    check_device("v", args.v);
    check_device("g", args.g);
    check_device("beta", args.beta);
    check_device("initial_state", args.initial_state);
    check_device("grad_o", args.grad_o);
    check_device("grad_final_state", args.grad_final_state);
}

void check_dense_rows(const char* op, const char* name, const at::Tensor& tensor) {
    const std::int64_t last = tensor.dim() - 1;
    TORCH_CHECK(tensor.size(last) <= 1 || tensor.stride(last) == 1, op, ": ", name,
                " has innermost stride ", tensor.stride(last),
                ", expected 1 (contiguous() makes a copy that has it)");
}

at::Tensor readable(const at::Tensor& tensor, at::ScalarType dtype) {
    if (!tensor.defined()) {
        return tensor;
    }
    at::Tensor converted = tensor.to(dtype);
    const std::int64_t last = converted.dim() - 1;
    const bool in_place = converted.size(last) <= 1 || converted.stride(last) == 1;
    return in_place ? converted : converted.contiguous();
}

ConstTensorRef const_ref(const at::Tensor& tensor) {
    return tensor.defined() ? make_ref<const void*>(tensor, tensor.const_data_ptr())
                            : ConstTensorRef{};
}

TensorRef mutable_ref(const at::Tensor& tensor) {
    return tensor.defined() ? make_ref<void*>(tensor, tensor.mutable_data_ptr()) : TensorRef{};
}

}  // namespace fla::ops
