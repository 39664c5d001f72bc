#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fla/torch/ops.h"

/// Cases of the scan operators and their oracle: plain tensor algebra, token by token, in float64,
/// differentiated by LibTorch's autograd.
namespace fla::testing {

enum class Scan { kLinearAttn, kSimpleGla, kGla, kDeltaRule, kGatedDeltaRule };

inline const std::vector<Scan>& all_scans() {
    static const std::vector<Scan> scans{Scan::kLinearAttn, Scan::kSimpleGla, Scan::kGla,
                                         Scan::kDeltaRule, Scan::kGatedDeltaRule};
    return scans;
}

inline std::string name_of(Scan scan) {
    static const std::vector<std::string> names{"linear_attn", "simple_gla", "gla", "delta_rule",
                                                "gated_delta_rule"};
    return names[static_cast<std::size_t>(scan)];
}

inline bool has_gate(Scan scan) {
    return scan == Scan::kSimpleGla || scan == Scan::kGla || scan == Scan::kGatedDeltaRule;
}
inline bool has_beta(Scan scan) {
    return scan == Scan::kDeltaRule || scan == Scan::kGatedDeltaRule;
}

struct ScanSizes {
    std::int64_t b = 2, t = 37, hq = 2, h = 4, k = 8, v = 6;
};

/// Arguments of one operator. Absent tensors are undefined.
struct ScanTensors {
    at::Tensor q, k, v, g, beta, state;

    /// The tensors that the operator has, with their names, in a fixed order.
    [[nodiscard]] std::vector<std::pair<std::string, at::Tensor>> named() const {
        std::vector<std::pair<std::string, at::Tensor>> all{
            {"q", q}, {"k", k}, {"v", v}, {"g", g}, {"beta", beta}, {"initial_state", state}};
        std::erase_if(all, [](const auto& item) { return !item.second.defined(); });
        return all;
    }

    [[nodiscard]] std::vector<at::Tensor> list() const {
        std::vector<at::Tensor> tensors;
        for (auto& [name, tensor] : named()) {
            tensors.push_back(tensor);
        }
        return tensors;
    }

    /// Applies `change` to every tensor that is present.
    template <typename Change>
    [[nodiscard]] ScanTensors map(Change change) const {
        const auto apply = [&](const at::Tensor& t) { return t.defined() ? change(t) : t; };
        return {apply(q), apply(k), apply(v), apply(g), apply(beta), apply(state)};
    }

    /// Fresh leaves of `dtype` that require gradients.
    [[nodiscard]] ScanTensors leaves(at::ScalarType dtype) const {
        return map([&](const at::Tensor& t) {
            return t.detach().to(dtype, false, /*copy=*/true).requires_grad_();
        });
    }

    /// Tokens [begin, end) of every sequence; the state as given.
    [[nodiscard]] ScanTensors tokens(std::int64_t begin, std::int64_t end,
                                     const at::Tensor& initial_state) const {
        ScanTensors part = map([&](const at::Tensor& t) { return t.slice(1, begin, end); });
        part.state = initial_state;
        return part;
    }

    [[nodiscard]] ScanTensors flipped() const {
        ScanTensors result = map([&](const at::Tensor& t) { return t.flip({1}); });
        result.state = state;
        return result;
    }
};

/// Random float64 arguments. Gates are mixed: weak, strong and exactly 0; keys of the delta rule
/// are normalised and beta lies in [0, 2] with some exact zeros.
inline ScanTensors random_tensors(Scan scan, const ScanSizes& s, std::uint64_t seed = 1) {
    torch::manual_seed(seed);
    const auto f64 = at::dtype(at::kDouble);
    ScanTensors x;
    x.q = at::randn({s.b, s.t, s.hq, s.k}, f64);
    x.k = at::randn({s.b, s.t, s.hq, s.k}, f64);
    x.v = at::randn({s.b, s.t, s.h, s.v}, f64);
    x.state = at::randn({s.b, s.h, s.k, s.v}, f64);
    if (has_gate(scan)) {
        const std::vector<std::int64_t> sizes =
            scan == Scan::kGla ? std::vector{s.b, s.t, s.h, s.k} : std::vector{s.b, s.t, s.h};
        x.g = at::log_sigmoid(at::randn(sizes, f64) * 2.0 + 1.0);
        x.g = at::where(at::rand(sizes, f64) < 0.1, at::zeros_like(x.g), x.g);
    }
    if (has_beta(scan)) {
        x.k = x.k / x.k.norm(2, -1, /*keepdim=*/true);
        x.beta = at::rand({s.b, s.t, s.h}, f64) * 2.0;
        x.beta = at::where(at::rand({s.b, s.t, s.h}, f64) < 0.1, at::zeros_like(x.beta), x.beta);
    }
    return x;
}

/// Runs the operator under test.
inline ops::ScanOutput run_operator(Scan scan, const ScanTensors& x, bool reverse = false,
                                    std::optional<double> scale = std::nullopt) {
    ops::ScanOptions options;
    options.scale = scale;
    if (x.state.defined()) {
        options.initial_state = x.state;
    }
    options.direction = reverse ? ops::Direction::kReverse : ops::Direction::kForward;
    switch (scan) {
        case Scan::kLinearAttn: {
            ops::LinearAttnOptions linear;
            linear.scale = scale;
            linear.initial_state = options.initial_state;
            linear.feature_map = ops::FeatureMap::kIdentity;
            linear.direction = options.direction;
            const auto result = ops::chunk_linear_attn(x.q, x.k, x.v, linear);
            return {result.o, result.final_state};
        }
        case Scan::kSimpleGla:
            return ops::chunk_simple_gla(x.q, x.k, x.v, x.g, options);
        case Scan::kGla:
            return ops::chunk_gla(x.q, x.k, x.v, x.g, options);
        case Scan::kDeltaRule:
            return ops::chunk_delta_rule(x.q, x.k, x.v, x.beta, options);
        case Scan::kGatedDeltaRule:
            return ops::chunk_gated_delta_rule(x.q, x.k, x.v, x.g, x.beta, options);
    }
    return {};
}

/// The recurrence as written in the papers, one token after another.
inline ops::ScanOutput run_oracle(Scan scan, const ScanTensors& x, bool reverse = false,
                                  std::optional<double> scale = std::nullopt) {
    const std::int64_t num_tokens = x.q.size(1);
    const std::int64_t group = x.v.size(2) / x.q.size(2);
    const double s = scale.value_or(1.0 / std::sqrt(static_cast<double>(x.q.size(3))));
    const at::Tensor q = x.q.repeat_interleave(group, 2);
    const at::Tensor k = x.k.repeat_interleave(group, 2);
    at::Tensor state =
        x.state.defined()
            ? x.state
            : at::zeros({x.v.size(0), x.v.size(2), x.q.size(3), x.v.size(3)}, x.v.options());
    std::vector<at::Tensor> o(static_cast<std::size_t>(num_tokens));
    for (std::int64_t step = 0; step < num_tokens; ++step) {
        const std::int64_t t = reverse ? num_tokens - 1 - step : step;
        const at::Tensor k_t = k.select(1, t).unsqueeze(-1);  // [B, H, K, 1]
        at::Tensor value = x.v.select(1, t).unsqueeze(-2);    // [B, H, 1, V]
        if (x.g.defined()) {
            const at::Tensor decay = x.g.select(1, t).exp();
            state = state *
                    (scan == Scan::kGla ? decay.unsqueeze(-1) : decay.unsqueeze(-1).unsqueeze(-1));
        }
        if (x.beta.defined()) {
            value = (value - (state * k_t).sum(-2, /*keepdim=*/true)) *
                    x.beta.select(1, t).unsqueeze(-1).unsqueeze(-1);
        }
        state = state + k_t * value;
        o[static_cast<std::size_t>(t)] = (state * q.select(1, t).unsqueeze(-1)).sum(-2) * s;
    }
    return {at::stack(o, 1), state};
}

/// RMS(got - want) / RMS(want), infinite if `got` holds a NaN or has other sizes.
inline double rms_ratio(const at::Tensor& got, const at::Tensor& want) {
    if (got.sizes() != want.sizes()) {
        return INFINITY;
    }
    const at::Tensor a = got.detach().to(at::kDouble);
    const at::Tensor b = want.detach().to(at::kDouble);
    const double reference = b.pow(2).mean().sqrt().item<double>();
    const double error = (a - b).pow(2).mean().sqrt().item<double>();
    if (std::isnan(error)) {
        return INFINITY;
    }
    return reference > 0 ? error / reference : error;
}

/// Gradients of sum(o * weight_o) + sum(final_state * weight_state) for every tensor of `x`.
inline std::vector<at::Tensor> gradients(const ops::ScanOutput& out, const ScanTensors& x,
                                         const at::Tensor& weight_o,
                                         const at::Tensor& weight_state) {
    return torch::autograd::grad(
        {out.o, out.final_state}, x.list(),
        {weight_o.to(out.o.scalar_type()), weight_state.to(out.final_state.scalar_type())});
}

}  // namespace fla::testing
