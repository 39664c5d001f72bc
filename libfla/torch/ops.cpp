// The C++ interface: every call goes through the dispatcher, as a call from Python does.
#include "fla/torch/ops.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include "scan_api.h"

namespace fla::ops {

namespace {

using OptionalTensor = std::optional<at::Tensor>;

template <typename Signature>
c10::TypedOperatorHandle<Signature> find_operator(const char* name) {
    return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

/// Calls the scan operator `name`; `extra` are its gate and beta.
template <typename... Extra>
ScanResult call_scan(const char* name, const at::Tensor& q, const at::Tensor& k,
                     const at::Tensor& v, const Extra&... extra, std::optional<double> scale,
                     const OptionalTensor& initial_state, bool reverse) {
    return find_operator<ScanResult(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                    const Extra&..., std::optional<double>, const OptionalTensor&,
                                    bool)>(name)
        .call(q, k, v, extra..., scale, initial_state, reverse);
}

bool is_reverse(Direction direction) { return direction == Direction::kReverse; }

ScanOutput to_output(ScanResult result) {
    return {std::move(std::get<0>(result)), std::move(std::get<1>(result))};
}

}  // namespace

at::ScalarType scan_dtype(const at::Tensor& tensor) {
    const at::ScalarType dtype = tensor.scalar_type();
    return dtype == at::kDouble || (dtype == at::kBFloat16 && tensor.is_cuda()) ? dtype
                                                                                : at::kFloat;
}

ScanResult call_linear_attn_base(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 std::optional<double> scale, const OptionalTensor& initial_state,
                                 bool reverse) {
    return call_scan<>("fla::chunk_linear_attn_base", q, k, v, scale, initial_state, reverse);
}

ScanResult call_simple_gla(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& g, std::optional<double> scale,
                           const OptionalTensor& initial_state, bool reverse) {
    return call_scan<at::Tensor>("fla::chunk_simple_gla", q, k, v, g, scale, initial_state,
                                 reverse);
}

ScanOutput chunk_simple_gla(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& g, const ScanOptions& options) {
    return to_output(call_simple_gla(q, k, v, g, options.scale, options.initial_state,
                                     is_reverse(options.direction)));
}

ScanOutput chunk_gla(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& g, const ScanOptions& options) {
    return to_output(call_scan<at::Tensor>("fla::chunk_gla", q, k, v, g, options.scale,
                                           options.initial_state, is_reverse(options.direction)));
}

ScanOutput chunk_delta_rule(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& beta, const ScanOptions& options) {
    return to_output(call_scan<at::Tensor>("fla::chunk_delta_rule", q, k, v, beta, options.scale,
                                           options.initial_state, is_reverse(options.direction)));
}

ScanOutput chunk_gated_delta_rule(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& g, const at::Tensor& beta,
                                  const ScanOptions& options) {
    return to_output(call_scan<at::Tensor, at::Tensor>("fla::chunk_gated_delta_rule", q, k, v, g,
                                                       beta, options.scale, options.initial_state,
                                                       is_reverse(options.direction)));
}

LinearAttnOutput chunk_linear_attn(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   const LinearAttnOptions& options) {
    using Signature = std::tuple<at::Tensor, at::Tensor, at::Tensor>(
        const at::Tensor&, const at::Tensor&, const at::Tensor&, std::optional<double>,
        const OptionalTensor&, const OptionalTensor&, c10::string_view, bool, bool);
    auto [o, final_state, final_z] =
        find_operator<Signature>("fla::chunk_linear_attn")
            .call(q, k, v, options.scale, options.initial_state, options.initial_z,
                  options.feature_map == FeatureMap::kEluPlusOne ? "elu1" : "identity",
                  options.normalize, is_reverse(options.direction));
    return {std::move(o), std::move(final_state), std::move(final_z)};
}

SsdOutput chunk_ssd(const SsdInputs& inputs, const SsdOptions& options) {
    using Signature =
        ScanResult(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                   const at::Tensor&, const OptionalTensor&, const OptionalTensor&,
                   const OptionalTensor&, bool, double, std::optional<double>, bool);
    auto [y, final_state] =
        find_operator<Signature>("fla::chunk_ssd")
            .call(inputs.x, inputs.dt, inputs.a_log, inputs.b, inputs.c, inputs.d, inputs.dt_bias,
                  inputs.initial_state, options.dt_softplus, options.dt_min, options.dt_max,
                  is_reverse(options.direction));
    return {std::move(y), std::move(final_state)};
}

}  // namespace fla::ops
