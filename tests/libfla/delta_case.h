#pragma once

// One problem of the delta rule: its inputs, and the outputs and gradients that some back end
// gives.

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "fla/delta_rule.h"
#include "libfla/attention_cases.h"
#include "support/tensor_matchers.h"

namespace fla::testing {

struct DeltaSizes {
    std::int64_t batch = 1;
    std::int64_t tokens = 1;
    std::int64_t qk_heads = 2;
    std::int64_t heads = 2;
    std::int64_t keys = 16;
    std::int64_t values = 24;
};

template <typename T>
struct DeltaInputs {
    DeltaSizes sizes;
    Tensor<T> q, k, v, beta, log_decay, initial_state, grad_o, grad_final_state;
    double scale = 0.35;
    Direction direction = Direction::kForward;
    Layout output_layout = Layout::kContiguous;
};

template <typename T>
struct DeltaOutputs {
    Tensor<T> o, final_state, grad_q, grad_k, grad_v, grad_beta, grad_log_decay, grad_initial_state;
};

/// How beta is drawn, and the largest value that it takes.
struct BetaCase {
    std::string name;
    double low;
    double high;
    double zeros;  ///< Share of exact zeros.
};

inline std::vector<BetaCase> beta_cases() {
    return {{"beta 0", 0, 0, 0}, {"beta 1", 1, 1, 0}, {"beta 2", 2, 2, 0}, {"mixed", 0, 2, 0.2}};
}

/// Scales every key to length 1, or to the `length` given.
template <typename T>
void normalise_keys(Tensor<T>& k, double length = 1.0) {
    const std::int64_t width = k.sizes.back();
    for (std::int64_t first = 0; first < k.num_elements(); first += width) {
        double sum = 0.0;
        for (std::int64_t c = 0; c < width; ++c) {
            sum += static_cast<double>(k.at(first + c)) * static_cast<double>(k.at(first + c));
        }
        for (std::int64_t c = 0; c < width; ++c) {
            k.at(first + c) = static_cast<T>(
                static_cast<float>(static_cast<double>(k.at(first + c)) * length / std::sqrt(sum)));
        }
    }
}

/// Unit keys, normal q, v and incoming gradients, an initial state; every value exact in fp32.
template <typename T>
DeltaInputs<T> random_delta(const DeltaSizes& s, const GateCase* gates, const BetaCase& beta,
                            std::mt19937_64& rng, Layout layout = Layout::kContiguous) {
    DeltaInputs<T> in;
    in.sizes = s;
    in.q = random_tensor<T>({s.batch, s.tokens, s.qk_heads, s.keys}, rng, 1.0, layout);
    in.k = random_tensor<T>({s.batch, s.tokens, s.qk_heads, s.keys}, rng, 1.0, layout);
    normalise_keys(in.k);
    in.v = random_tensor<T>({s.batch, s.tokens, s.heads, s.values}, rng, 1.0, layout);
    in.beta = random_tensor<T>({s.batch, s.tokens, s.heads}, rng, 1.0, layout);
    for (std::int64_t i = 0; i < in.beta.num_elements(); ++i) {
        const double value =
            uniform(rng, 0.0, 1.0) < beta.zeros ? 0.0 : uniform(rng, beta.low, beta.high);
        in.beta.at(i) = static_cast<T>(static_cast<float>(value));
    }
    if (gates != nullptr) {
        in.log_decay = random_gates<T>({s.batch, s.tokens, s.heads}, *gates, rng, layout);
    }
    in.initial_state = random_tensor<T>({s.batch, s.heads, s.keys, s.values}, rng, 1.0, layout);
    in.grad_o = random_tensor<T>({s.batch, s.tokens, s.heads, s.values}, rng, 1.0, layout);
    in.grad_final_state = random_tensor<T>({s.batch, s.heads, s.keys, s.values}, rng, 1.0, layout);
    in.output_layout = layout;
    return in;
}

template <typename To, typename From>
DeltaInputs<To> converted(const DeltaInputs<From>& from) {
    DeltaInputs<To> to;
    to.sizes = from.sizes;
    to.q = converted<To>(from.q);
    to.k = converted<To>(from.k);
    to.v = converted<To>(from.v);
    to.beta = converted<To>(from.beta);
    to.log_decay = converted<To>(from.log_decay);
    to.initial_state = converted<To>(from.initial_state);
    to.grad_o = converted<To>(from.grad_o);
    to.grad_final_state = converted<To>(from.grad_final_state);
    to.scale = from.scale;
    to.direction = from.direction;
    return to;
}

/// Parameters of the forward pass; its outputs in `out` are NaN until someone writes them.
template <typename T>
DeltaForward forward_params(const DeltaInputs<T>& in, DeltaOutputs<T>& out) {
    const DeltaSizes& s = in.sizes;
    out.o = make_output<T>({s.batch, s.tokens, s.heads, s.values}, in.output_layout);
    out.final_state = make_output<T>({s.batch, s.heads, s.keys, s.values}, in.output_layout);
    DeltaForward p;
    p.q = in.q.cref();
    p.k = in.k.cref();
    p.v = in.v.cref();
    p.beta = in.beta.cref();
    p.log_decay = in.log_decay.cref();
    p.initial_state = in.initial_state.cref();
    p.o = out.o.ref();
    p.final_state = out.final_state.ref();
    p.scale = in.scale;
    p.direction = in.direction;
    return p;
}

template <typename T>
DeltaBackward backward_params(const DeltaInputs<T>& in, DeltaOutputs<T>& out) {
    const DeltaSizes& s = in.sizes;
    const Layout layout = in.output_layout;
    out.grad_q = make_output<T>({s.batch, s.tokens, s.qk_heads, s.keys}, layout);
    out.grad_k = make_output<T>({s.batch, s.tokens, s.qk_heads, s.keys}, layout);
    out.grad_v = make_output<T>({s.batch, s.tokens, s.heads, s.values}, layout);
    out.grad_beta = make_output<T>({s.batch, s.tokens, s.heads}, layout);
    if (in.log_decay.present()) {
        out.grad_log_decay = make_output<T>({s.batch, s.tokens, s.heads}, layout);
    }
    out.grad_initial_state = make_output<T>({s.batch, s.heads, s.keys, s.values}, layout);
    DeltaBackward p;
    p.q = in.q.cref();
    p.k = in.k.cref();
    p.v = in.v.cref();
    p.beta = in.beta.cref();
    p.log_decay = in.log_decay.cref();
    p.initial_state = in.initial_state.cref();
    p.grad_o = in.grad_o.cref();
    p.grad_final_state = in.grad_final_state.cref();
    p.grad_q = out.grad_q.ref();
    p.grad_k = out.grad_k.ref();
    p.grad_v = out.grad_v.ref();
    p.grad_beta = out.grad_beta.ref();
    p.grad_log_decay = out.grad_log_decay.ref();
    p.grad_initial_state = out.grad_initial_state.ref();
    p.scale = in.scale;
    p.direction = in.direction;
    return p;
}

template <typename T>
DeltaOutputs<T> run_reference(const DeltaInputs<T>& in, bool backward = true) {
    DeltaOutputs<T> out;
    delta_forward_reference(forward_params(in, out));
    if (backward) {
        delta_backward_reference(backward_params(in, out));
    }
    return out;
}

inline DeltaOutputs<float> run_chunked(const DeltaInputs<float>& in, bool backward = true,
                                       const ParallelFor& parallel_for = serial_for) {
    DeltaOutputs<float> out;
    delta_forward_cpu(forward_params(in, out), parallel_for);
    if (backward) {
        delta_backward_cpu(backward_params(in, out), parallel_for);
    }
    return out;
}

/// Largest root mean square of an error that fp32 cannot avoid where the true value underflows: one
/// lost decay factor, 2^-126, times the few hundred of a sum of products of this file's inputs.
inline constexpr double kUnderflow = 256 * 1.1754943508222875e-38;

struct DeltaBounds {
    double outputs = 1e-5;     ///< o, final state and the gradients of q, k, v, initial state.
    double gate_grads = 1e-4;  ///< Gradients of beta and log_decay.
};

inline void expect_near(const Tensor<float>& found, const Tensor<double>& wanted, double limit,
                        const char* name) {
    const auto f = found.values();
    const auto w = wanted.values();
    double norm = 0.0;
    for (const double x : w) {
        norm += x * x;
    }
    const double rms = std::sqrt(norm / static_cast<double>(std::max<std::size_t>(w.size(), 1)));
    // Relative limit, widened where the whole tensor is near the end of fp32's range.
    EXPECT_THAT(f, flagen::testing::RmsNear(w, rms == 0.0 ? kUnderflow : limit + kUnderflow / rms))
        << name;
}

inline void expect_forward_near(const DeltaOutputs<float>& found,
                                const DeltaOutputs<double>& wanted,
                                const DeltaBounds& bounds = {}) {
    expect_near(found.o, wanted.o, bounds.outputs, "o");
    expect_near(found.final_state, wanted.final_state, bounds.outputs, "final_state");
}

inline void expect_backward_near(const DeltaOutputs<float>& found,
                                 const DeltaOutputs<double>& wanted,
                                 const DeltaBounds& bounds = {}) {
    expect_near(found.grad_q, wanted.grad_q, bounds.outputs, "grad_q");
    expect_near(found.grad_k, wanted.grad_k, bounds.outputs, "grad_k");
    expect_near(found.grad_v, wanted.grad_v, bounds.outputs, "grad_v");
    expect_near(found.grad_initial_state, wanted.grad_initial_state, bounds.outputs,
                "grad_initial_state");
    expect_near(found.grad_beta, wanted.grad_beta, bounds.gate_grads, "grad_beta");
    expect_near(found.grad_log_decay, wanted.grad_log_decay, bounds.gate_grads, "grad_log_decay");
}

}  // namespace fla::testing
