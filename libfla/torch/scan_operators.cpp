// Registers the scan operators and their backward operators: schemas, CPU, CUDA, Meta and
// Autograd kernels.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <ATen/core/dispatch/Dispatcher.h>

#include <array>
#include <string>
#include <tuple>
#include <utility>

#include "once_differentiable.h"
#include "scan_kernels.h"

namespace fla::ops {

namespace {

using OptionalTensor = std::optional<at::Tensor>;

constexpr ScanOp kLinearAttnBase{"fla::chunk_linear_attn_base",
                                 "fla::chunk_linear_attn_base_backward", Decay::kNone, false};
constexpr ScanOp kSimpleGla{"fla::chunk_simple_gla", "fla::chunk_simple_gla_backward", Decay::kHead,
                            false};
constexpr ScanOp kGla{"fla::chunk_gla", "fla::chunk_gla_backward", Decay::kChannel, false};
constexpr ScanOp kDeltaRule{"fla::chunk_delta_rule", "fla::chunk_delta_rule_backward", Decay::kNone,
                            true};
constexpr ScanOp kGatedDeltaRule{"fla::chunk_gated_delta_rule",
                                 "fla::chunk_gated_delta_rule_backward", Decay::kHead, true};

/// `Extra` is one at::Tensor each for g and beta, as far as the operator has them, in that order.
template <const ScanOp& kOp, typename... Extra>
struct ScanOperator {
    static constexpr std::size_t kNumExtra = sizeof...(Extra);
    static constexpr bool kHasDecay = kOp.decay != Decay::kNone;
    static_assert(kNumExtra == (kHasDecay ? 1 : 0) + (kOp.delta ? 1 : 0));

    using ForwardResult = std::tuple<at::Tensor, at::Tensor>;
    /// Gradients of q, k, v, the extra tensors and the initial state.
    using BackwardResult = decltype(std::tuple_cat(
        std::declval<std::tuple<at::Tensor, at::Tensor, at::Tensor>>(),
        std::declval<std::tuple<Extra...>>(), std::declval<std::tuple<at::Tensor>>()));

    static ScanArguments pack(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const std::array<at::Tensor, kNumExtra>& extra,
                              std::optional<double> scale, const OptionalTensor& initial_state,
                              bool reverse) {
        ScanArguments args{.q = q, .k = k, .v = v, .scale = scale, .reverse = reverse};
        args.initial_state = initial_state.value_or(at::Tensor());
        if constexpr (kHasDecay) {
            args.g = extra[0];
        }
        if constexpr (kOp.delta) {
            args.beta = extra[kNumExtra - 1];
        }
        return args;
    }

    static BackwardResult unpack(const ScanGradients& grads) {
        const auto head = std::make_tuple(grads.q, grads.k, grads.v);
        const auto tail = std::make_tuple(grads.initial_state);
        if constexpr (kHasDecay && kOp.delta) {
            return std::tuple_cat(head, std::make_tuple(grads.g, grads.beta), tail);
        } else if constexpr (kHasDecay) {
            return std::tuple_cat(head, std::make_tuple(grads.g), tail);
        } else if constexpr (kOp.delta) {
            return std::tuple_cat(head, std::make_tuple(grads.beta), tail);
        } else {
            return std::tuple_cat(head, tail);
        }
    }

    template <ForwardResult (*kKernel)(const ScanOp&, const ScanArguments&)>
    static ForwardResult forward_kernel(const at::Tensor& q, const at::Tensor& k,
                                        const at::Tensor& v, const Extra&... extra,
                                        std::optional<double> scale,
                                        const OptionalTensor& initial_state, bool reverse) {
        return kKernel(kOp, pack(q, k, v, {extra...}, scale, initial_state, reverse));
    }

    template <ScanGradients (*kKernel)(const ScanOp&, const ScanArguments&)>
    static BackwardResult backward_kernel(const at::Tensor& q, const at::Tensor& k,
                                          const at::Tensor& v, const Extra&... extra,
                                          const at::Tensor& grad_o,
                                          const OptionalTensor& grad_final_state,
                                          std::optional<double> scale,
                                          const OptionalTensor& initial_state, bool reverse) {
        ScanArguments args = pack(q, k, v, {extra...}, scale, initial_state, reverse);
        args.grad_o = grad_o;
        args.grad_final_state = grad_final_state.value_or(at::Tensor());
        return unpack(kKernel(kOp, args));
    }

    using ForwardSignature = ForwardResult(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                           const Extra&..., std::optional<double>,
                                           const OptionalTensor&, bool);
    using BackwardSignature = BackwardResult(const at::Tensor&, const at::Tensor&,
                                             const at::Tensor&, const Extra&..., const at::Tensor&,
                                             const OptionalTensor&, std::optional<double>,
                                             const OptionalTensor&, bool);

    static const c10::TypedOperatorHandle<ForwardSignature>& forward_op() {
        static const auto handle = c10::Dispatcher::singleton()
                                       .findSchemaOrThrow(kOp.name, "")
                                       .template typed<ForwardSignature>();
        return handle;
    }

    static const c10::TypedOperatorHandle<BackwardSignature>& backward_op() {
        static const auto handle = c10::Dispatcher::singleton()
                                       .findSchemaOrThrow(kOp.backward_name, "")
                                       .template typed<BackwardSignature>();
        return handle;
    }

    struct Function : public torch::autograd::Function<Function> {
        static torch::autograd::variable_list forward(torch::autograd::AutogradContext* ctx,
                                                      const at::Tensor& q, const at::Tensor& k,
                                                      const at::Tensor& v, const Extra&... extra,
                                                      std::optional<double> scale,
                                                      const OptionalTensor& initial_state,
                                                      bool reverse) {
            ctx->set_materialize_grads(false);
            ctx->save_for_backward({q, k, v, extra..., initial_state.value_or(at::Tensor())});
            ctx->saved_data["scale"] = scale;
            ctx->saved_data["reverse"] = reverse;
            const at::AutoDispatchBelowADInplaceOrView below_autograd;
            auto [o, final_state] =
                forward_op().call(q, k, v, extra..., scale, initial_state, reverse);
            return {o, final_state};
        }

        static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                       torch::autograd::variable_list grads) {
            return backward_with(ctx, grads, std::index_sequence_for<Extra...>());
        }

        template <std::size_t... kExtra>
        static torch::autograd::variable_list backward_with(
            torch::autograd::AutogradContext* ctx, const torch::autograd::variable_list& grads,
            std::index_sequence<kExtra...> /*extra*/) {
            if (!grads[0].defined() && !grads[1].defined()) {
                return torch::autograd::variable_list(kNumExtra + 6);
            }
            const auto saved = ctx->get_saved_variables();
            const at::Tensor& initial_state = saved[3 + kNumExtra];
            const at::Tensor grad_o = grads[0].defined() ? grads[0] : at::zeros_like(saved[2]);
            const auto result = backward_op().call(
                saved[0], saved[1], saved[2], saved[3 + kExtra]..., grad_o, as_optional(grads[1]),
                ctx->saved_data["scale"].template to<std::optional<double>>(),
                as_optional(initial_state), ctx->saved_data["reverse"].toBool());
            return {std::get<0>(result),
                    std::get<1>(result),
                    std::get<2>(result),
                    std::get<3 + kExtra>(result)...,
                    at::Tensor(),  // scale
                    initial_state.defined() ? std::get<3 + kNumExtra>(result) : at::Tensor(),
                    at::Tensor()};  // reverse
        }

        static OptionalTensor as_optional(const at::Tensor& tensor) {
            return tensor.defined() ? OptionalTensor(tensor) : std::nullopt;
        }
    };

    static ForwardResult forward_autograd(const at::Tensor& q, const at::Tensor& k,
                                          const at::Tensor& v, const Extra&... extra,
                                          std::optional<double> scale,
                                          const OptionalTensor& initial_state, bool reverse) {
        const auto results = Function::apply(q, k, v, extra..., scale, initial_state, reverse);
        return {results[0], results[1]};
    }

    static BackwardResult backward_autograd(const at::Tensor& q, const at::Tensor& k,
                                            const at::Tensor& v, const Extra&... extra,
                                            const at::Tensor& grad_o,
                                            const OptionalTensor& grad_final_state,
                                            std::optional<double> scale,
                                            const OptionalTensor& initial_state, bool reverse) {
        auto grads = [&] {
            const at::AutoDispatchBelowADInplaceOrView below_autograd;
            return backward_op().call(q, k, v, extra..., grad_o, grad_final_state, scale,
                                      initial_state, reverse);
        }();
        auto results = std::apply(
            [](auto&... grad) { return torch::autograd::variable_list{grad...}; }, grads);
        forbid_double_backward(kOp.name, results,
                               {q, k, v, extra..., grad_o, grad_final_state.value_or(at::Tensor()),
                                initial_state.value_or(at::Tensor())});
        std::size_t i = 0;
        std::apply([&](auto&... grad) { ((grad = results[i++]), ...); }, grads);
        return grads;
    }

    static void define(torch::Library& library) {
        std::string extra = kHasDecay ? "Tensor g, " : "";
        extra += kOp.delta ? "Tensor beta, " : "";
        const std::string inputs = "(Tensor q, Tensor k, Tensor v, " + extra;
        const std::string options =
            "float? scale=None, Tensor? initial_state=None, bool reverse=False)";
        std::string grads = "Tensor grad_q, Tensor grad_k, Tensor grad_v, ";
        grads += kHasDecay ? "Tensor grad_g, " : "";
        grads += kOp.delta ? "Tensor grad_beta, " : "";
        const std::vector<at::Tag> tags{at::Tag::pt2_compliant_tag};
        library.def((kOp.name + inputs + options + " -> (Tensor o, Tensor final_state)").c_str(),
                    tags);
        library.def((kOp.backward_name + inputs + "Tensor grad_o, Tensor? grad_final_state, " +
                     options + " -> (" + grads + "Tensor grad_initial_state)")
                        .c_str(),
                    tags);
    }

    static void implement_cpu(torch::Library& library) {
        library.impl(kOp.name, TORCH_FN(forward_kernel<&scan_forward_cpu>));
        library.impl(kOp.backward_name, TORCH_FN(backward_kernel<&scan_backward_cpu>));
    }

    static void implement_meta(torch::Library& library) {
        library.impl(kOp.name, TORCH_FN(forward_kernel<&scan_forward_meta>));
        library.impl(kOp.backward_name, TORCH_FN(backward_kernel<&scan_backward_meta>));
    }

    static void implement_cuda(torch::Library& library) {
        library.impl(kOp.name, TORCH_FN(forward_kernel<&scan_forward_cuda>));
        library.impl(kOp.backward_name, TORCH_FN(backward_kernel<&scan_backward_cuda>));
    }

    static void implement_autograd(torch::Library& library) {
        library.impl(kOp.name, TORCH_FN(forward_autograd));
        library.impl(kOp.backward_name, TORCH_FN(backward_autograd));
    }
};

/// Calls `visit` with each operator's registration.
template <typename Visit>
void for_each_operator(Visit visit) {
    visit(ScanOperator<kLinearAttnBase>());
    visit(ScanOperator<kSimpleGla, at::Tensor>());
    visit(ScanOperator<kGla, at::Tensor>());
    visit(ScanOperator<kDeltaRule, at::Tensor>());
    visit(ScanOperator<kGatedDeltaRule, at::Tensor, at::Tensor>());
}

}  // namespace

TORCH_LIBRARY(fla, library) {
    for_each_operator([&](auto op) { op.define(library); });
    library.def(
        "fla::chunk_linear_attn(Tensor q, Tensor k, Tensor v, float? scale=None, "
        "Tensor? initial_state=None, Tensor? initial_z=None, str feature_map=\"elu1\", "
        "bool normalize=False, bool reverse=False) -> (Tensor o, Tensor final_state, "
        "Tensor final_z)",
        {at::Tag::pt2_compliant_tag});
    library.def(
        "fla::chunk_ssd(Tensor x, Tensor dt, Tensor A_log, Tensor B, Tensor C, Tensor? D=None, "
        "Tensor? dt_bias=None, Tensor? initial_state=None, bool dt_softplus=True, "
        "float dt_min=0.0, float? dt_max=None, bool reverse=False) -> (Tensor y, "
        "Tensor final_state)",
        {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(fla, CPU, library) {
    for_each_operator([&](auto op) { op.implement_cpu(library); });
}

TORCH_LIBRARY_IMPL(fla, Meta, library) {
    for_each_operator([&](auto op) { op.implement_meta(library); });
}

TORCH_LIBRARY_IMPL(fla, CUDA, library) {
    for_each_operator([&](auto op) { op.implement_cuda(library); });
}

TORCH_LIBRARY_IMPL(fla, Autograd, library) {
    for_each_operator([&](auto op) { op.implement_autograd(library); });
}

}  // namespace fla::ops
