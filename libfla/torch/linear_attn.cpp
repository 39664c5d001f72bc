// Linear attention as tensor algebra around the plain scan: feature map before it, division after
// it.
#include <ATen/ATen.h>
#include <torch/library.h>

#include "scan_api.h"
#include "tensor_check.h"

namespace fla::ops {

namespace {

constexpr const char* kName = "fla::chunk_linear_attn";
constexpr double kNormalizerEps = 1e-6;

using OptionalTensor = std::optional<at::Tensor>;

/// phi(x), computed in `dtype` and handed over as `scanned`.
at::Tensor apply_feature_map(const at::Tensor& x, bool elu1, at::ScalarType dtype,
                             at::ScalarType scanned) {
    return (elu1 ? at::elu(x.to(dtype)).add(1.0) : x).to(scanned);
}

/// [B, H, K, V + 1]: the state with z as its last column, zeros for the absent half.
OptionalTensor join_state(const OptionalTensor& state, const OptionalTensor& z, const at::Tensor& q,
                          const at::Tensor& v, at::ScalarType dtype) {
    if (!state.has_value() && !z.has_value()) {
        return std::nullopt;
    }
    const c10::SymInt b = q.sym_size(0);
    const c10::SymInt h = v.sym_size(2);
    const c10::SymInt kw = q.sym_size(3);
    const auto options = v.options().dtype(dtype);
    const at::Tensor columns =
        state.has_value() ? state->to(dtype) : at::zeros_symint({b, h, kw, v.sym_size(3)}, options);
    const at::Tensor last = z.has_value() ? z->to(dtype) : at::zeros_symint({b, h, kw}, options);
    return at::cat({columns, last.unsqueeze(-1)}, -1);
}

void check_inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const OptionalTensor& initial_state, const OptionalTensor& initial_z,
                  c10::string_view feature_map, bool normalize) {
    TORCH_CHECK(feature_map == "elu1" || feature_map == "identity", kName, ": feature_map is \"",
                feature_map, "\", expected \"elu1\" or \"identity\"");
    TORCH_CHECK(normalize || !initial_z.has_value(), kName,
                ": initial_z is given, expected none without normalize");
    ScanArguments args{.q = q, .k = k, .v = v};
    args.initial_state = initial_state.value_or(at::Tensor());
    check_arguments({kName, kName, Decay::kNone, false}, args);
    if (initial_z.has_value()) {
        const auto sizes = args.state_sizes();
        check_sizes(kName, "initial_z", *initial_z, {sizes[0], sizes[1], sizes[2]}, "[B, H, K]");
    }
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> chunk_linear_attn_composite(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, std::optional<double> scale,
    const OptionalTensor& initial_state, const OptionalTensor& initial_z,
    c10::string_view feature_map, bool normalize, bool reverse) {
    check_inputs(q, k, v, initial_state, initial_z, feature_map, normalize);
    const at::ScalarType dtype = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const bool elu1 = feature_map == "elu1";
    // Numerator and denominator keep fp32: in gradients of their quotient they nearly cancel.
    const at::ScalarType scanned = normalize ? dtype : scan_dtype(q);
    const at::Tensor phi_q = apply_feature_map(q, elu1, dtype, scanned);
    const at::Tensor phi_k = apply_feature_map(k, elu1, dtype, scanned);
    if (!normalize) {
        auto [o, state] =
            call_linear_attn_base(phi_q, phi_k, v.to(scanned), scale, initial_state, reverse);
        const at::Tensor no_z =
            at::empty_symint({q.sym_size(0), v.sym_size(2), 0}, state.options());
        return {o.to(v.scalar_type()), state, no_z};
    }
    // A column of ones beside v collects the denominator, and z beside the state.
    const at::Tensor values = v.to(dtype);
    const at::Tensor ones = at::ones_like(values.slice(-1, 0, 1));
    auto [joined, state] =
        call_linear_attn_base(phi_q, phi_k, at::cat({values, ones}, -1), scale.value_or(1.0),
                              join_state(initial_state, initial_z, q, v, dtype), reverse);
    const at::Tensor num = joined.slice(-1, 0, -1);
    const at::Tensor den = joined.slice(-1, -1);
    return {num.div(den.add(kNormalizerEps)).to(v.scalar_type()), state.slice(-1, 0, -1),
            state.select(-1, -1)};
}

}  // namespace

TORCH_LIBRARY_IMPL(fla, CompositeImplicitAutograd, library) {
    library.impl(kName, TORCH_FN(chunk_linear_attn_composite));
}

}  // namespace fla::ops
