#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "delta/delta_cpu.h"
#include "fla/error.h"
#include "libfla/delta_case.h"

// Chunked fp32 against the fp64 recurrence: outputs, states and every gradient. Bounds are RMS
// ratios; attention_cases.h fills outputs with NaN, so an element that is not written fails.

namespace fla::testing {
namespace {

constexpr Direction kDirections[] = {Direction::kForward, Direction::kReverse};

void expect_chunked_equals_recurrent(const DeltaInputs<float>& in, const DeltaBounds& bounds = {}) {
    const DeltaOutputs<float> found = run_chunked(in);
    const DeltaOutputs<double> wanted = run_reference(converted<double>(in));
    expect_forward_near(found, wanted, bounds);
    expect_backward_near(found, wanted, bounds);
}

/// Index into gate_cases(), or -1 for no gate.
class DeltaChunked : public ::testing::TestWithParam<int> {};

TEST_P(DeltaChunked, EqualsRecurrentForEveryLengthAndBeta) {
    std::mt19937_64 rng(20);
    const std::vector<GateCase> cases = gate_cases();
    const GateCase* gates = GetParam() < 0 ? nullptr : &cases[static_cast<std::size_t>(GetParam())];
    std::size_t turn = 0;
    for (const BetaCase& beta : beta_cases()) {
        for (const std::int64_t tokens : kLengths) {
            SCOPED_TRACE((gates == nullptr ? "no gate" : gates->name) + ", " + beta.name + ", T " +
                         std::to_string(tokens));
            const DeltaSizes s{.batch = 1, .tokens = tokens, .qk_heads = 1, .heads = 1};
            DeltaInputs<float> in = random_delta<float>(s, gates, beta, rng);
            in.direction = kDirections[turn++ % 2];
            expect_chunked_equals_recurrent(in);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Gates, DeltaChunked,
                         ::testing::Range(-1, static_cast<int>(gate_cases().size())),
                         [](const auto& test) {
                             return test.param < 0 ? std::string("None")
                                                   : "Case" + std::to_string(test.param);
                         });

TEST(DeltaChunkedGradient, OfBetaAtZeroIsNeitherZeroNorNan) {
    std::mt19937_64 rng(21);
    const std::vector<GateCase> gates = gate_cases();
    const DeltaSizes s{.batch = 1, .tokens = 130};
    const DeltaInputs<float> in = random_delta<float>(s, &gates[2], beta_cases()[0], rng);
    const DeltaOutputs<float> found = run_chunked(in);
    const DeltaOutputs<double> wanted = run_reference(converted<double>(in));
    expect_near(found.grad_beta, wanted.grad_beta, 1e-6, "grad_beta");
    for (const float gradient : found.grad_beta.values()) {
        EXPECT_NE(gradient, 0.0F);
    }
}

/// A difference of q.dq and k.dk sums would leave noise of 1e-7 here, above the true 1e-9 and less.
TEST(DeltaChunkedGradient, OfStrongGatesKeepsItsDigits) {
    std::mt19937_64 rng(22);
    for (const double g : {-20.0, -40.0, -60.0}) {
        const GateCase gates{"constant", [g](std::mt19937_64&, std::int64_t) { return g; }};
        const DeltaSizes s{.batch = 1, .tokens = 150};
        const DeltaInputs<float> in = random_delta<float>(s, &gates, beta_cases()[3], rng);
        const DeltaOutputs<float> found = run_chunked(in);
        const DeltaOutputs<double> wanted = run_reference(converted<double>(in));
        EXPECT_THAT(found.grad_log_decay.values(),
                    flagen::testing::RmsNear(wanted.grad_log_decay.values(), 1e-5))
            << g;
    }
}

/// With beta = 2 and one unit key u for all tokens, the state along u obeys p_t = 2 c v_t + (1 - 2
/// c) p_{t-1} with c = u.u = 1: a reflection, so nothing decays. A chunk holds u.u rounded to fp32,
/// the same c (1 + r) for every token, hence a factor -(1 + 2 r) a token and (1 + 2 r)^T in all: a
/// relative error of 2 r T that no order of summation avoids, since even a correctly rounded u.u
/// has |r| up to 2^-24. The bound allows twice that for the 16 products in u.u, and 1e-6 for all
/// other roundings. Where u.u is exact in fp32 the usual bound holds (next test), which shows that
/// r is the only cause; runs of equal keys with other beta decay and keep the usual bound too (the
/// test after it).
TEST(DeltaChunkedSpecial, IdenticalKeysWithBetaTwo) {
    std::mt19937_64 rng(23);
    for (const std::int64_t tokens : {2, 16, 64, 1000, 4097}) {
        SCOPED_TRACE(tokens);
        const DeltaSizes s{.batch = 1, .tokens = tokens};
        DeltaInputs<float> in = random_delta<float>(s, nullptr, beta_cases()[2], rng);
        for (std::int64_t i = 0; i < in.k.num_elements(); ++i) {
            in.k.at(i) = in.k.at(i % (s.qk_heads * s.keys));
        }
        const double bound = 1e-6 + 2 * std::ldexp(2.0, -24) * static_cast<double>(tokens);
        expect_chunked_equals_recurrent(in, {.outputs = bound, .gate_grads = bound});
    }
}

/// Keys of 16 entries +-1/4: every product and u.u are exact.
TEST(DeltaChunkedSpecial, IdenticalExactKeysWithBetaTwoKeepTheUsualBound) {
    std::mt19937_64 rng(32);
    const DeltaSizes s{.batch = 1, .tokens = 4097, .qk_heads = 1, .heads = 1};
    DeltaInputs<float> in = random_delta<float>(s, nullptr, beta_cases()[2], rng);
    for (std::int64_t i = 0; i < in.k.num_elements(); ++i) {
        in.k.at(i) = i % s.keys % 3 == 0 ? -0.25F : 0.25F;
    }
    expect_chunked_equals_recurrent(in);
}

TEST(DeltaChunkedSpecial, RunsOfIdenticalKeys) {
    std::mt19937_64 rng(24);
    const std::vector<GateCase> gates = gate_cases();
    for (const GateCase* gate : {static_cast<const GateCase*>(nullptr), &gates[2]}) {
        const DeltaSizes s{.batch = 1, .tokens = 300};
        DeltaInputs<float> in = random_delta<float>(s, gate, beta_cases()[3], rng);
        const std::int64_t row = s.qk_heads * s.keys;
        for (std::int64_t t = 0; t < s.tokens; ++t) {
            for (std::int64_t c = 0; c < row; ++c) {
                in.k.at(t * row + c) = in.k.at(t / 7 * 7 * row + c);
            }
        }
        expect_chunked_equals_recurrent(in);
    }
}

/// Lengths of keys from 0.2 to 7, beta as large as stability allows: beta |k|^2 <= 2.
TEST(DeltaChunkedSpecial, KeysThatAreNotNormalised) {
    std::mt19937_64 rng(25);
    const std::vector<GateCase> gates = gate_cases();
    for (const GateCase* gate : {static_cast<const GateCase*>(nullptr), &gates[2], &gates[8]}) {
        const DeltaSizes s{.batch = 1, .tokens = 1000, .qk_heads = 1, .heads = 1};
        DeltaInputs<float> in = random_delta<float>(s, gate, beta_cases()[1], rng);
        for (std::int64_t t = 0; t < s.tokens; ++t) {
            const double length = std::pow(10.0, uniform(rng, -0.7, 0.85));
            for (std::int64_t c = 0; c < s.keys; ++c) {
                in.k.at(t * s.keys + c) *= static_cast<float>(length);
            }
            in.beta.at(t) = static_cast<float>(uniform(rng, 0.0, 1.999) / (length * length));
        }
        expect_chunked_equals_recurrent(in);
    }
}

/// Keys of length 10 make the gate-free inverse of a chunk overflow; gates of -20 make the
/// recurrence harmless all the same.
TEST(DeltaChunkedSpecial, LongKeysUnderStrongGates) {
    std::mt19937_64 rng(26);
    const std::vector<GateCase> gates = gate_cases();
    const DeltaSizes s{.batch = 1, .tokens = 200};
    DeltaInputs<float> in = random_delta<float>(s, &gates[5], beta_cases()[1], rng);
    normalise_keys(in.k, 10.0);
    expect_chunked_equals_recurrent(in);
}

/// Outside the stable range the recurrence grows, so the sequence is short.
TEST(DeltaChunkedSpecial, AnyBeta) {
    std::mt19937_64 rng(27);
    const DeltaSizes s{.batch = 1, .tokens = 40};
    const BetaCase wild{"wild", -3.0, 4.0, 0.1};
    expect_chunked_equals_recurrent(random_delta<float>(s, nullptr, wild, rng));
}

TEST(DeltaChunkedSpecial, EveryWidth) {
    std::mt19937_64 rng(28);
    const std::vector<GateCase> gates = gate_cases();
    struct Widths {
        std::int64_t keys, values;
    };
    for (const Widths w :
         {Widths{1, 1}, Widths{3, 5}, Widths{16, 48}, Widths{17, 33}, Widths{64, 64},
          Widths{100, 36}, Widths{128, 64}, Widths{64, 256}, Widths{256, 20}}) {
        SCOPED_TRACE(std::to_string(w.keys) + " " + std::to_string(w.values));
        const DeltaSizes s{.batch = 1,
                           .tokens = 150,
                           .qk_heads = 1,
                           .heads = 1,
                           .keys = w.keys,
                           .values = w.values};
        expect_chunked_equals_recurrent(random_delta<float>(s, &gates[2], beta_cases()[3], rng));
    }
}

/// At K = V = 256 a history of 8 MiB holds 25 chunks: 1700 tokens make two segments.
TEST(DeltaChunkedSpecial, BackwardInSeveralSegments) {
    std::mt19937_64 rng(29);
    const std::vector<GateCase> gates = gate_cases();
    const DeltaSizes s{
        .batch = 1, .tokens = 1700, .qk_heads = 1, .heads = 1, .keys = 256, .values = 256};
    DeltaInputs<float> in = random_delta<float>(s, &gates[1], beta_cases()[3], rng);
    in.scale = 1.0 / 16;
    expect_chunked_equals_recurrent(in);
}

/// Runs both passes on one instruction set and compares.
void expect_isa_equals_recurrent(CpuIsa isa, const DeltaInputs<float>& in) {
    SCOPED_TRACE(name_of(isa));
    const DeltaOutputs<double> wanted = run_reference(converted<double>(in));
    DeltaOutputs<float> found;
    delta_forward_cpu_on(isa, forward_params(in, found), serial_for);
    delta_backward_cpu_on(isa, backward_params(in, found), serial_for);
    expect_forward_near(found, wanted);
    expect_backward_near(found, wanted);
}

TEST(DeltaChunkedSpecial, EveryInstructionSet) {
    std::mt19937_64 rng(30);
    const std::vector<GateCase> gates = gate_cases();
    for (const CpuIsa isa : {CpuIsa::kBaseline, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
        if (!is_supported(isa)) {
            DeltaOutputs<float> unused;
            const DeltaInputs<float> in = random_delta<float>({}, nullptr, beta_cases()[1], rng);
            EXPECT_THROW(delta_forward_cpu_on(isa, forward_params(in, unused), serial_for),
                         Unsupported);
            continue;
        }
        for (const GateCase& gate : gates) {
            for (const std::int64_t tokens : {1, 17, 200}) {
                const DeltaSizes s{.batch = 1,
                                   .tokens = tokens,
                                   .qk_heads = 1,
                                   .heads = 1,
                                   .keys = 40,
                                   .values = 72};
                expect_isa_equals_recurrent(isa,
                                            random_delta<float>(s, &gate, beta_cases()[3], rng));
            }
        }
    }
}

template <typename T>
std::vector<T> slice(const std::vector<T>& values, std::size_t first, std::size_t count) {
    return {values.begin() + static_cast<std::ptrdiff_t>(first),
            values.begin() + static_cast<std::ptrdiff_t>(first + count)};
}

/// An error in one head or at one end would drown in the mean over all.
TEST(DeltaChunkedSpecial, HoldsAtBothEndsOfALongSequence) {
    std::mt19937_64 rng(31);
    const std::vector<GateCase> gates = gate_cases();
    const DeltaSizes s{.batch = 1, .tokens = 4097, .qk_heads = 1, .heads = 1};
    const DeltaInputs<float> in = random_delta<float>(s, &gates[1], beta_cases()[3], rng);
    const DeltaOutputs<float> found = run_chunked(in);
    const DeltaOutputs<double> wanted = run_reference(converted<double>(in));
    const std::size_t piece = 41 * static_cast<std::size_t>(s.values);
    for (const std::size_t first : {std::size_t{0}, 4056 * static_cast<std::size_t>(s.values)}) {
        EXPECT_THAT(slice(found.o.values(), first, piece),
                    flagen::testing::RmsNear(slice(wanted.o.values(), first, piece), 1e-5));
        EXPECT_THAT(slice(found.grad_v.values(), first, piece),
                    flagen::testing::RmsNear(slice(wanted.grad_v.values(), first, piece), 1e-5));
    }
}

}  // namespace
}  // namespace fla::testing
