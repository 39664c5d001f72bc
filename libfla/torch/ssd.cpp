// Mamba-2's state-space dual form as tensor algebra around the scalar-gated scan.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <limits>

#include "scan_api.h"
#include "tensor_check.h"

namespace fla::ops {

namespace {

constexpr const char* kName = "fla::chunk_ssd";

using OptionalTensor = std::optional<at::Tensor>;

void check_inputs(const at::Tensor& x, const at::Tensor& dt, const at::Tensor& a_log,
                  const at::Tensor& b, const at::Tensor& c, const OptionalTensor& d,
                  const OptionalTensor& dt_bias, const OptionalTensor& initial_state) {
    check_rank(kName, "x", x, 4, "[B, T, H, P]");
    check_rank(kName, "B", b, 4, "[B, T, G, N]");
    const c10::SymInt num_seq = x.sym_size(0);
    const c10::SymInt num_tokens = x.sym_size(1);
    const c10::SymInt h = x.sym_size(2);
    const c10::SymInt groups = b.sym_size(2);
    const c10::SymInt n = b.sym_size(3);
    TORCH_SYM_CHECK(groups.sym_gt(0), kName, ": B has no groups, expected at least 1");
    TORCH_SYM_CHECK((h % groups).sym_eq(0), kName, ": x has H = ", h,
                    " heads, expected a multiple of the G = ", groups, " groups of B");
    check_sizes(kName, "dt", dt, {num_seq, num_tokens, h}, "[B, T, H]");
    check_sizes(kName, "A_log", a_log, {h}, "[H]");
    check_sizes(kName, "B", b, {num_seq, num_tokens, groups, n}, "[B, T, G, N]");
    check_sizes(kName, "C", c, {num_seq, num_tokens, groups, n}, "[B, T, G, N]");
    if (d.has_value()) {
        check_sizes(kName, "D", *d, {h}, "[H]");
    }
    if (dt_bias.has_value()) {
        check_sizes(kName, "dt_bias", *dt_bias, {h}, "[H]");
    }
    if (initial_state.has_value()) {
        check_sizes(kName, "initial_state", *initial_state, {num_seq, h, x.sym_size(3), n},
                    "[B, H, P, N]");
    }
}

void check_dtypes(const at::Tensor& x, const at::Tensor& b, const at::Tensor& c,
                  std::initializer_list<std::pair<const char*, OptionalTensor>> others) {
    const at::ScalarType main = x.scalar_type();
    TORCH_CHECK(at::isFloatingType(main), kName, ": x is ", main,
                ", expected Float, BFloat16, Half or Double");
    TORCH_CHECK(b.scalar_type() == main, kName, ": B is ", b.scalar_type(), ", expected ", main,
                " (the dtype of x)");
    TORCH_CHECK(c.scalar_type() == main, kName, ": C is ", c.scalar_type(), ", expected ", main,
                " (the dtype of x)");
    for (const auto& [name, tensor] : others) {
        TORCH_CHECK(
            !tensor.has_value() || (tensor->scalar_type() == at::kDouble) == (main == at::kDouble),
            kName, ": ", name, " is ", tensor->scalar_type(), " but x is ", main,
            "; expected Double for all tensors or for none");
    }
}

std::tuple<at::Tensor, at::Tensor> chunk_ssd_composite(const at::Tensor& x, const at::Tensor& dt,
                                                       const at::Tensor& a_log, const at::Tensor& b,
                                                       const at::Tensor& c, const OptionalTensor& d,
                                                       const OptionalTensor& dt_bias,
                                                       const OptionalTensor& initial_state,
                                                       bool dt_softplus, double dt_min,
                                                       std::optional<double> dt_max, bool reverse) {
    check_inputs(x, dt, a_log, b, c, d, dt_bias, initial_state);
    check_dtypes(x, b, c,
                 {{"dt", dt},
                  {"A_log", a_log},
                  {"D", d},
                  {"dt_bias", dt_bias},
                  {"initial_state", initial_state}});
    TORCH_CHECK(dt_min >= 0 && dt_max.value_or(dt_min) >= dt_min, kName, ": dt is limited to [",
                dt_min, ", ", dt_max.value_or(dt_min), "], expected 0 <= dt_min <= dt_max");
    const at::ScalarType dtype = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;

    at::Tensor step = dt.to(dtype);  // [B, T, H]
    if (dt_bias.has_value()) {
        step = step + dt_bias->to(dtype);
    }
    if (dt_softplus) {
        step = at::softplus(step);
    }
    if (dt_min > 0 || dt_max.has_value()) {
        step = at::clamp(step, dt_min, dt_max.value_or(std::numeric_limits<double>::infinity()));
    }
    const at::Tensor log_decay = step * at::exp(a_log.to(dtype)).neg();  // [B, T, H]
    const at::Tensor inputs = x.to(dtype);                               // [B, T, H, P]
    OptionalTensor state;                                                // [B, H, N, P]
    if (initial_state.has_value()) {
        state = initial_state->to(dtype).transpose(-1, -2);
    }
    const at::ScalarType scanned = scan_dtype(x);
    auto [y, final_state] = call_simple_gla(c.to(scanned), b.to(scanned),
                                            (inputs * step.unsqueeze(-1)).to(scanned), log_decay,
                                            /*scale=*/1.0, state, reverse);
    if (d.has_value()) {
        y = y + inputs * d->to(dtype).unsqueeze(-1);
    }
    return {y.to(x.scalar_type()), final_state.transpose(-1, -2)};
}

}  // namespace

TORCH_LIBRARY_IMPL(fla, CompositeImplicitAutograd, library) {
    library.impl(kName, TORCH_FN(chunk_ssd_composite));
}

}  // namespace fla::ops
