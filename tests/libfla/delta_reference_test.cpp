#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "libfla/delta_case.h"

namespace fla::testing {
namespace {

using flagen::testing::RmsNear;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

GateCase gates_of(double low, double high) {
    return {"uniform",
            [low, high](std::mt19937_64& rng, std::int64_t) { return uniform(rng, low, high); }};
}

TEST(DeltaReference, FollowsTwoTokensByHand) {
    DeltaInputs<double> in;
    in.sizes = {.batch = 1, .tokens = 2, .qk_heads = 1, .heads = 1, .keys = 1, .values = 1};
    in.scale = 2.0;
    for (auto* t : {&in.q, &in.k, &in.v}) {
        *t = make_tensor<double>({1, 2, 1, 1}, 0.0);
    }
    in.beta = make_tensor<double>({1, 2, 1}, 0.0);
    in.log_decay = make_tensor<double>({1, 2, 1}, 0.0);
    in.q.storage = {1.0, 3.0};
    in.k.storage = {2.0, 0.5};
    in.v.storage = {5.0, -1.0};
    in.beta.storage = {0.25, 2.0};
    in.log_decay.storage = {-std::log(2.0), -std::log(4.0)};
    in.initial_state = make_tensor<double>({1, 1, 1, 1}, 4.0);
    // Token 0: decayed state 2, error 5 - 4 = 1, state 2 + 0.25 * 2 * 1 = 2.5, o = 2 * 2.5 * 1.
    // Token 1: decayed 0.625, error -1 - 0.3125, state 0.625 + 2 * 0.5 * -1.3125 = -0.6875.
    const DeltaOutputs<double> out = run_reference(in, false);
    EXPECT_THAT(out.o.values(), ElementsAre(DoubleNear(5.0, 1e-14), DoubleNear(-4.125, 1e-14)));
    EXPECT_THAT(out.final_state.values(), ElementsAre(DoubleNear(-0.6875, 1e-14)));
}

/// S_t = (I - beta k kᵀ) exp(g) S_{t-1} + beta k vᵀ with the transition written out as a matrix.
TEST(DeltaReference, EqualsProductsOfTransitionMatrices) {
    std::mt19937_64 rng(11);
    const GateCase gates = gates_of(-1.0, 0.0);
    const DeltaSizes s{.batch = 1, .tokens = 9, .qk_heads = 1, .heads = 1, .keys = 4, .values = 3};
    const DeltaInputs<double> in = random_delta<double>(s, &gates, beta_cases()[3], rng);
    std::vector<double> state = in.initial_state.storage;
    std::vector<double> wanted_o;
    for (std::int64_t t = 0; t < s.tokens; ++t) {
        const double beta = in.beta.at(t);
        const double decay = std::exp(in.log_decay.at(t));
        const double* k = &in.k.at(t * s.keys);
        std::vector<double> next(state.size(), 0.0);
        for (std::int64_t r = 0; r < s.keys; ++r) {
            for (std::int64_t x = 0; x < s.values; ++x) {
                double sum = beta * k[r] * in.v.at(t * s.values + x);
                for (std::int64_t c = 0; c < s.keys; ++c) {
                    const double transition = (r == c ? 1.0 : 0.0) - beta * k[r] * k[c];
                    sum += transition * decay * state[static_cast<std::size_t>(c * s.values + x)];
                }
                next[static_cast<std::size_t>(r * s.values + x)] = sum;
            }
        }
        state = next;
        for (std::int64_t x = 0; x < s.values; ++x) {
            double sum = 0.0;
            for (std::int64_t c = 0; c < s.keys; ++c) {
                sum += in.q.at(t * s.keys + c) * state[static_cast<std::size_t>(c * s.values + x)];
            }
            wanted_o.push_back(in.scale * sum);
        }
    }
    const DeltaOutputs<double> out = run_reference(in, false);
    EXPECT_THAT(out.o.values(), RmsNear(wanted_o, 1e-14));
    EXPECT_THAT(out.final_state.values(), RmsNear(state, 1e-14));
}

double inner_product(const Tensor<double>& a, const Tensor<double>& b) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < a.num_elements(); ++i) {
        sum += a.at(i) * b.at(i);
    }
    return sum;
}

/// <o, grad_o> + <S_T, grad_S_T>: its gradient is what the backward pass must give.
double loss(const DeltaInputs<double>& in) {
    const DeltaOutputs<double> out = run_reference(in, false);
    return inner_product(out.o, in.grad_o) + inner_product(out.final_state, in.grad_final_state);
}

void expect_finite_differences(DeltaInputs<double>& in, Tensor<double>& input,
                               const Tensor<double>& gradient, const char* name) {
    constexpr double kStep = 1e-5;
    for (std::int64_t i = 0; i < input.num_elements(); ++i) {
        const double before = input.at(i);
        input.at(i) = before + kStep;
        const double above = loss(in);
        input.at(i) = before - kStep;
        const double below = loss(in);
        input.at(i) = before;
        // Truncation costs about kStep^2, rounding 1e-15 / kStep, both times sums of order 10.
        EXPECT_NEAR(gradient.at(i), (above - below) / (2 * kStep), 5e-8) << name << " " << i;
    }
}

struct GradientCase {
    std::string name;
    double gate;  ///< 0: no gate at all.
    int beta;     ///< Index into beta_cases().
    Direction direction;
};

class DeltaReferenceGradient : public ::testing::TestWithParam<GradientCase> {};

TEST_P(DeltaReferenceGradient, EqualsFiniteDifferencesForEveryInput) {
    std::mt19937_64 rng(12);
    const GradientCase& c = GetParam();
    const GateCase gates = gates_of(1.5 * c.gate, 0.5 * c.gate);
    const DeltaSizes s{.batch = 2, .tokens = 5, .qk_heads = 2, .heads = 4, .keys = 3, .values = 2};
    DeltaInputs<double> in = random_delta<double>(
        s, c.gate == 0 ? nullptr : &gates, beta_cases()[static_cast<std::size_t>(c.beta)], rng);
    in.direction = c.direction;
    DeltaOutputs<double> out = run_reference(in);
    expect_finite_differences(in, in.q, out.grad_q, "q");
    expect_finite_differences(in, in.k, out.grad_k, "k");
    expect_finite_differences(in, in.v, out.grad_v, "v");
    expect_finite_differences(in, in.beta, out.grad_beta, "beta");
    expect_finite_differences(in, in.initial_state, out.grad_initial_state, "initial_state");
    if (in.log_decay.present()) {
        expect_finite_differences(in, in.log_decay, out.grad_log_decay, "log_decay");
    }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, DeltaReferenceGradient,
    ::testing::Values(GradientCase{"NoGateBeta0", 0, 0, Direction::kForward},
                      GradientCase{"NoGateBeta1", 0, 1, Direction::kReverse},
                      GradientCase{"NoGateBeta2", 0, 2, Direction::kForward},
                      GradientCase{"NoGateMixed", 0, 3, Direction::kReverse},
                      GradientCase{"WeakGateBeta0", -0.05, 0, Direction::kReverse},
                      GradientCase{"WeakGateMixed", -0.05, 3, Direction::kForward},
                      GradientCase{"GateBeta1", -1, 1, Direction::kReverse},
                      GradientCase{"GateMixed", -1, 3, Direction::kForward},
                      GradientCase{"StrongGateBeta2", -5, 2, Direction::kReverse},
                      GradientCase{"CrushingGateMixed", -20, 3, Direction::kForward}),
    [](const auto& test) { return test.param.name; });

/// The backward pass restarts from a state kept every 64 tokens: gradients across such borders.
TEST(DeltaReference, GradientCrossesCheckpoints) {
    std::mt19937_64 rng(13);
    const GateCase gates = gates_of(-0.02, -0.01);
    const DeltaSizes s{
        .batch = 1, .tokens = 130, .qk_heads = 1, .heads = 1, .keys = 2, .values = 1};
    DeltaInputs<double> in = random_delta<double>(s, &gates, beta_cases()[3], rng);
    DeltaOutputs<double> out = run_reference(in);
    expect_finite_differences(in, in.k, out.grad_k, "k");
    expect_finite_differences(in, in.beta, out.grad_beta, "beta");
    expect_finite_differences(in, in.log_decay, out.grad_log_decay, "log_decay");
    expect_finite_differences(in, in.initial_state, out.grad_initial_state, "initial_state");
}

TEST(DeltaReference, InfiniteGateForgetsEverythingBefore) {
    std::mt19937_64 rng(14);
    const GateCase gates = gates_of(-0.1, 0.0);
    const DeltaSizes s{.batch = 1, .tokens = 8, .qk_heads = 1, .heads = 1, .keys = 3, .values = 2};
    DeltaInputs<double> in = random_delta<double>(s, &gates, beta_cases()[3], rng);
    in.log_decay.at(4) = -std::numeric_limits<double>::infinity();
    DeltaOutputs<double> out = run_reference(in);
    DeltaInputs<double> other = in;
    for (std::int64_t i = 0; i < 4 * s.values; ++i) {
        other.v.at(i) += 1.0;
    }
    const DeltaOutputs<double> changed = run_reference(other, false);
    EXPECT_EQ(changed.final_state.values(), out.final_state.values());
    EXPECT_EQ(changed.o.at(4 * s.values), out.o.at(4 * s.values));
    EXPECT_NE(changed.o.at(3 * s.values), out.o.at(3 * s.values));
    EXPECT_EQ(out.grad_log_decay.at(4), 0.0);
}

TEST(DeltaReference, ReadsFp32AndStridedMemory) {
    std::mt19937_64 rng(15);
    const GateCase gates = gates_of(-0.1, 0.0);
    const DeltaSizes s{.batch = 2, .tokens = 7, .qk_heads = 1, .heads = 3, .keys = 3, .values = 2};
    for (const Layout layout : {Layout::kPadded, Layout::kHeadsFirst}) {
        const auto in = random_delta<float>(s, &gates, beta_cases()[3], rng, layout);
        const DeltaOutputs<float> narrow = run_reference(in);
        const DeltaOutputs<double> wide = run_reference(converted<double>(in));
        EXPECT_THAT(narrow.o.values(), RmsNear(wide.o.values(), 1e-7));
        EXPECT_THAT(narrow.grad_k.values(), RmsNear(wide.grad_k.values(), 2e-7));
        EXPECT_THAT(narrow.grad_log_decay.values(), RmsNear(wide.grad_log_decay.values(), 1e-7));
    }
}

}  // namespace
}  // namespace fla::testing
