#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "fla/gated_attn.h"
#include "libfla/attention_cases.h"
#include "support/tensor_matchers.h"

namespace fla::testing {

/// Sizes and options of one test problem of the gated family.
struct GatedSetup {
    Decay decay = Decay::kHead;
    std::int64_t tokens = 50;
    std::int64_t batch = 1;
    std::int64_t heads = 2;
    std::int64_t qk_heads = 2;
    std::int64_t keys = 20;
    std::int64_t values = 12;
    Direction direction = Direction::kForward;
    bool states = true;  ///< With an initial state and a gradient of the final state.
    Layout layout = Layout::kContiguous;
    GateCase gates = {"around -0.05",
                      [](std::mt19937_64& rng, std::int64_t) { return uniform(rng, -0.1, 0.0); }};
    std::uint64_t seed = 1;
};

inline const char* name_of(Decay decay) {
    return decay == Decay::kNone ? "none" : decay == Decay::kHead ? "head" : "channel";
}

inline constexpr Decay kDecays[] = {Decay::kNone, Decay::kHead, Decay::kChannel};

template <typename T>
struct GatedInputs {
    Decay decay;
    Direction direction;
    double scale;
    Tensor<T> q, k, v, log_decay, initial_state, grad_o, grad_final_state;
};

template <typename T>
struct GatedOutputs {
    Tensor<T> o, final_state, grad_q, grad_k, grad_v, grad_log_decay, grad_initial_state;
};

inline std::vector<std::int64_t> decay_sizes(const GatedSetup& s) {
    std::vector<std::int64_t> sizes = {s.batch, s.tokens, s.heads};
    if (s.decay == Decay::kChannel) {
        sizes.push_back(s.keys);
    }
    return sizes;
}

/// Draws the inputs of a setup; keys are scaled so that scores are of order 1.
template <typename T>
GatedInputs<T> make_inputs(const GatedSetup& s) {
    std::mt19937_64 rng(s.seed);
    GatedInputs<T> in;
    in.decay = s.decay;
    in.direction = s.direction;
    in.scale = 1.0 / std::sqrt(static_cast<double>(s.keys));
    in.q = random_tensor<T>({s.batch, s.tokens, s.qk_heads, s.keys}, rng, 1.0, s.layout);
    in.k = random_tensor<T>({s.batch, s.tokens, s.qk_heads, s.keys}, rng, 1.0, s.layout);
    in.v = random_tensor<T>({s.batch, s.tokens, s.heads, s.values}, rng, 1.0, s.layout);
    in.grad_o = random_tensor<T>({s.batch, s.tokens, s.heads, s.values}, rng, 1.0, s.layout);
    if (s.decay != Decay::kNone) {
        in.log_decay = random_gates<T>(decay_sizes(s), s.gates, rng, s.layout);
    }
    if (s.states) {
        const std::vector<std::int64_t> sizes = {s.batch, s.heads, s.keys, s.values};
        in.initial_state = random_tensor<T>(sizes, rng, 1.0, s.layout);
        in.grad_final_state = random_tensor<T>(sizes, rng, 1.0, s.layout);
    }
    return in;
}

template <typename To, typename From>
GatedInputs<To> converted_inputs(const GatedInputs<From>& in) {
    return {in.decay,
            in.direction,
            in.scale,
            converted<To>(in.q),
            converted<To>(in.k),
            converted<To>(in.v),
            converted<To>(in.log_decay),
            converted<To>(in.initial_state),
            converted<To>(in.grad_o),
            converted<To>(in.grad_final_state)};
}

/// Outputs of both passes, all NaN.
template <typename T>
GatedOutputs<T> make_outputs(const GatedInputs<T>& in, Layout layout = Layout::kContiguous) {
    GatedOutputs<T> out;
    const std::vector<std::int64_t> state = {in.v.sizes[0], in.v.sizes[2], in.q.sizes[3],
                                             in.v.sizes[3]};
    out.o = make_output<T>(in.v.sizes, layout);
    out.final_state = make_output<T>(state, layout);
    out.grad_q = make_output<T>(in.q.sizes, layout);
    out.grad_k = make_output<T>(in.k.sizes, layout);
    out.grad_v = make_output<T>(in.v.sizes, layout);
    if (in.decay != Decay::kNone) {
        out.grad_log_decay = make_output<T>(in.log_decay.sizes, layout);
    }
    out.grad_initial_state = make_output<T>(state, layout);
    return out;
}

template <typename T>
GatedForward forward_params(const GatedInputs<T>& in, GatedOutputs<T>& out) {
    GatedForward p;
    p.q = in.q.cref();
    p.k = in.k.cref();
    p.v = in.v.cref();
    p.log_decay = in.log_decay.cref();
    p.initial_state = in.initial_state.cref();
    p.o = out.o.ref();
    p.final_state = out.final_state.ref();
    p.decay = in.decay;
    p.direction = in.direction;
    p.scale = in.scale;
    return p;
}

template <typename T>
GatedBackward backward_params(const GatedInputs<T>& in, GatedOutputs<T>& out) {
    GatedBackward p;
    p.q = in.q.cref();
    p.k = in.k.cref();
    p.v = in.v.cref();
    p.log_decay = in.log_decay.cref();
    p.initial_state = in.initial_state.cref();
    p.grad_o = in.grad_o.cref();
    p.grad_final_state = in.grad_final_state.cref();
    p.grad_q = out.grad_q.ref();
    p.grad_k = out.grad_k.ref();
    p.grad_v = out.grad_v.ref();
    p.grad_log_decay = out.grad_log_decay.ref();
    p.grad_initial_state = out.grad_initial_state.ref();
    p.decay = in.decay;
    p.direction = in.direction;
    p.scale = in.scale;
    return p;
}

/// Runs both passes of the chunked CPU back end.
inline GatedOutputs<float> run_cpu(const GatedInputs<float>& in,
                                   const ParallelFor& parallel_for = serial_for,
                                   Layout layout = Layout::kContiguous) {
    GatedOutputs<float> out = make_outputs(in, layout);
    gated_forward_cpu(forward_params(in, out), parallel_for);
    gated_backward_cpu(backward_params(in, out), parallel_for);
    return out;
}

/// Runs both passes of the fp64 reference on the same values.
template <typename T>
GatedOutputs<double> run_reference(const GatedInputs<T>& in) {
    const GatedInputs<double> wide = converted_inputs<double>(in);
    GatedOutputs<double> out = make_outputs(wide);
    gated_forward_reference(forward_params(wide, out));
    gated_backward_reference(backward_params(wide, out));
    return out;
}

inline void expect_same_bits(const GatedOutputs<float>& found, const GatedOutputs<float>& wanted) {
    using flagen::testing::SameBits;
    EXPECT_THAT(found.o.values(), SameBits(wanted.o.values()));
    EXPECT_THAT(found.final_state.values(), SameBits(wanted.final_state.values()));
    EXPECT_THAT(found.grad_q.values(), SameBits(wanted.grad_q.values()));
    EXPECT_THAT(found.grad_k.values(), SameBits(wanted.grad_k.values()));
    EXPECT_THAT(found.grad_v.values(), SameBits(wanted.grad_v.values()));
    EXPECT_THAT(found.grad_initial_state.values(), SameBits(wanted.grad_initial_state.values()));
    EXPECT_THAT(found.grad_log_decay.values(), SameBits(wanted.grad_log_decay.values()));
}

}  // namespace fla::testing
