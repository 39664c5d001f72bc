// The chunked fp32 back end, both passes, against the fp64 recurrence.

#include <gtest/gtest.h>

#include <limits>

#include "libfla/gated_problem.h"
#include "support/tensor_matchers.h"

namespace fla::testing {
namespace {

using flagen::testing::RmsNear;
using flagen::testing::SameBits;

constexpr double kLimit = 1e-5;
constexpr double kDecayLimit = 1e-4;

/// Compares all seven outputs.
void expect_near(const GatedOutputs<float>& found, const GatedOutputs<double>& wanted) {
    EXPECT_THAT(found.o.values(), RmsNear(wanted.o.values(), kLimit)) << "o";
    EXPECT_THAT(found.final_state.values(), RmsNear(wanted.final_state.values(), kLimit)) << "S_T";
    EXPECT_THAT(found.grad_q.values(), RmsNear(wanted.grad_q.values(), kLimit)) << "dq";
    EXPECT_THAT(found.grad_k.values(), RmsNear(wanted.grad_k.values(), kLimit)) << "dk";
    EXPECT_THAT(found.grad_v.values(), RmsNear(wanted.grad_v.values(), kLimit)) << "dv";
    EXPECT_THAT(found.grad_initial_state.values(),
                RmsNear(wanted.grad_initial_state.values(), kLimit))
        << "dS_0";
    EXPECT_THAT(found.grad_log_decay.values(), RmsNear(wanted.grad_log_decay.values(), kDecayLimit))
        << "dg";
}

void expect_equals_recurrence(const GatedSetup& setup) {
    const GatedInputs<float> in = make_inputs<float>(setup);
    expect_near(run_cpu(in), run_reference(in));
}

class GatedCpu : public ::testing::TestWithParam<Decay> {
  protected:
    GatedCpu() { setup_.decay = GetParam(); }
    GatedSetup setup_;
};

INSTANTIATE_TEST_SUITE_P(Decays, GatedCpu, ::testing::ValuesIn(kDecays),
                         [](const auto& tested) { return name_of(tested.param); });

TEST_P(GatedCpu, EqualsRecurrenceAtEveryLength) {
    for (const std::int64_t tokens : kLengths) {
        for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
            SCOPED_TRACE(tokens);
            setup_.tokens = tokens;
            setup_.direction = direction;
            setup_.heads = setup_.qk_heads = tokens > 500 ? 1 : 2;
            setup_.batch = tokens > 500 ? 1 : 2;
            expect_equals_recurrence(setup_);
        }
    }
}

TEST_P(GatedCpu, EqualsRecurrenceForEveryWidth) {
    constexpr std::int64_t kWidths[][2] = {{1, 1},   {3, 17},   {16, 16},  {17, 3},    {64, 64},
                                           {64, 65}, {128, 64}, {31, 130}, {256, 257}, {5, 512}};
    for (const auto& [keys, values] : kWidths) {
        SCOPED_TRACE(keys);
        setup_.keys = keys;
        setup_.values = values;
        setup_.heads = setup_.qk_heads = 1;
        expect_equals_recurrence(setup_);
    }
}

TEST_P(GatedCpu, SharesKeysAmongGroupedHeads) {
    setup_.batch = 2;
    setup_.heads = 6;
    for (const std::int64_t qk_heads : {1, 2, 3}) {
        SCOPED_TRACE(qk_heads);
        setup_.qk_heads = qk_heads;
        expect_equals_recurrence(setup_);
    }
}

TEST_P(GatedCpu, WorksWithoutStates) {
    setup_.states = false;
    const GatedInputs<float> in = make_inputs<float>(setup_);
    expect_near(run_cpu(in), run_reference(in));
    GatedOutputs<float> out = make_outputs(in);
    out.final_state = {};
    out.grad_initial_state = {};
    gated_forward_cpu(forward_params(in, out), serial_for);
    gated_backward_cpu(backward_params(in, out), serial_for);
    EXPECT_THAT(out.o.values(), SameBits(run_cpu(in).o.values()));
}

TEST_P(GatedCpu, ReadsAndWritesStridedViews) {
    setup_.batch = 2;
    for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
        setup_.direction = direction;
        setup_.layout = Layout::kContiguous;
        const GatedOutputs<float> wanted = run_cpu(make_inputs<float>(setup_));
        for (const Layout layout : {Layout::kPadded, Layout::kHeadsFirst}) {
            setup_.layout = layout;
            const GatedInputs<float> in = make_inputs<float>(setup_);
            expect_same_bits(run_cpu(in, serial_for, layout), wanted);
            expect_near(run_cpu(in, serial_for, layout), run_reference(in));
        }
    }
}

TEST_P(GatedCpu, WritesNothingOutsideItsOutputs) {
    setup_.layout = Layout::kPadded;
    const GatedInputs<float> in = make_inputs<float>(setup_);
    const GatedOutputs<float> out = run_cpu(in, serial_for, Layout::kPadded);
    for (const Tensor<float>* t : {&out.o, &out.final_state, &out.grad_q, &out.grad_k, &out.grad_v,
                                   &out.grad_initial_state}) {
        std::int64_t unwritten = 0;
        for (const float x : t->storage) {
            unwritten += std::isnan(x) ? 1 : 0;
        }
        EXPECT_EQ(unwritten, static_cast<std::int64_t>(t->storage.size()) - t->num_elements());
    }
}

TEST_P(GatedCpu, SameBitsForAnyNumberOfThreads) {
    setup_.batch = 2;
    setup_.heads = 4;
    setup_.tokens = 700;
    for (const std::int64_t qk_heads : {4, 2}) {
        setup_.qk_heads = qk_heads;
        const GatedInputs<float> in = make_inputs<float>(setup_);
        const GatedOutputs<float> wanted = run_cpu(in);
        for (const int num_threads : {1, 2, 3}) {
            for (int repeat = 0; repeat < 3; ++repeat) {
                expect_same_bits(run_cpu(in, thread_for(num_threads)), wanted);
            }
        }
    }
}

/// Tokens [begin, end) of a [B, T, ...] tensor.
Tensor<float> part(const Tensor<float>& t, std::int64_t begin, std::int64_t end) {
    Tensor<float> out;
    if (t.present()) {
        std::vector<std::int64_t> sizes = t.sizes;
        sizes[1] = end - begin;
        out = make_tensor<float>(sizes, 0.0F);
        const std::int64_t row = t.num_elements() / (t.sizes[0] * t.sizes[1]);
        for (std::int64_t i = 0; i < out.num_elements(); ++i) {
            const std::int64_t b = i / (row * sizes[1]);
            out.at(i) = t.at((b * t.sizes[1] + begin) * row + i % (row * sizes[1]));
        }
    }
    return out;
}

GatedInputs<float> part(const GatedInputs<float>& in, std::int64_t begin, std::int64_t end) {
    GatedInputs<float> out = in;
    out.q = part(in.q, begin, end);
    out.k = part(in.k, begin, end);
    out.v = part(in.v, begin, end);
    out.grad_o = part(in.grad_o, begin, end);
    out.log_decay = part(in.log_decay, begin, end);
    return out;
}

TEST_P(GatedCpu, PassesStateAndItsGradientOn) {
    setup_.tokens = 150;
    for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
        setup_.direction = direction;
        const GatedInputs<float> whole = make_inputs<float>(setup_);
        const GatedOutputs<double> wanted = run_reference(whole);
        for (const std::int64_t cut : {0, 1, 37, 64, 150}) {
            SCOPED_TRACE(cut);
            const bool forward = direction == Direction::kForward;
            const std::int64_t middle = forward ? cut : setup_.tokens - cut;
            GatedInputs<float> early =
                forward ? part(whole, 0, middle) : part(whole, middle, setup_.tokens);
            GatedInputs<float> late =
                forward ? part(whole, middle, setup_.tokens) : part(whole, 0, middle);
            GatedOutputs<float> early_out = make_outputs(early);
            GatedOutputs<float> late_out = make_outputs(late);
            gated_forward_cpu(forward_params(early, early_out), serial_for);
            late.initial_state = early_out.final_state;
            gated_forward_cpu(forward_params(late, late_out), serial_for);
            gated_backward_cpu(backward_params(late, late_out), serial_for);
            early.grad_final_state = late_out.grad_initial_state;
            gated_backward_cpu(backward_params(early, early_out), serial_for);

            EXPECT_THAT(late_out.final_state.values(),
                        RmsNear(wanted.final_state.values(), kLimit));
            EXPECT_THAT(early_out.grad_initial_state.values(),
                        RmsNear(wanted.grad_initial_state.values(), kLimit));
            GatedOutputs<float> both = run_cpu(whole);
            const std::int64_t begin = forward ? 0 : middle;
            const std::int64_t end = forward ? middle : setup_.tokens;
            EXPECT_THAT(early_out.o.values(), RmsNear(part(both.o, begin, end).values(), kLimit));
            EXPECT_THAT(early_out.grad_q.values(),
                        RmsNear(part(both.grad_q, begin, end).values(), kLimit));
            EXPECT_THAT(early_out.grad_k.values(),
                        RmsNear(part(both.grad_k, begin, end).values(), kLimit));
            EXPECT_THAT(early_out.grad_v.values(),
                        RmsNear(part(both.grad_v, begin, end).values(), kLimit));
            EXPECT_THAT(early_out.grad_log_decay.values(),
                        RmsNear(part(both.grad_log_decay, begin, end).values(), kDecayLimit));
        }
    }
}

TEST_P(GatedCpu, EmptySequencePassesTheStateThrough) {
    setup_.tokens = 0;
    GatedInputs<float> in = make_inputs<float>(setup_);
    GatedOutputs<float> out = run_cpu(in);
    EXPECT_THAT(out.final_state.values(), SameBits(in.initial_state.values()));
    EXPECT_THAT(out.grad_initial_state.values(), SameBits(in.grad_final_state.values()));
}

TEST(GatedCpuGates, EqualRecurrenceFromOpenToClosed) {
    for (const Decay decay : {Decay::kHead, Decay::kChannel}) {
        for (const GateCase& gates : gate_cases()) {
            for (const std::int64_t tokens : {100, 1500}) {
                SCOPED_TRACE(gates.name);
                GatedSetup setup;
                setup.decay = decay;
                setup.gates = gates;
                setup.tokens = tokens;
                expect_equals_recurrence(setup);
            }
        }
    }
}

TEST(GatedCpuGates, ResetForgetsEverythingBefore) {
    for (const Decay decay : {Decay::kHead, Decay::kChannel}) {
        GatedSetup setup;
        setup.decay = decay;
        setup.gates = {"", [](std::mt19937_64&, std::int64_t token) {
                           return token == 20 ? -std::numeric_limits<double>::infinity() : -0.01;
                       }};
        GatedInputs<float> in = make_inputs<float>(setup);
        const GatedOutputs<float> wanted = run_cpu(in);
        for (std::int64_t i = 0; i < 20 * setup.heads * setup.values; ++i) {
            in.v.at(i) = 1e30F;
        }
        const GatedOutputs<float> found = run_cpu(in);
        EXPECT_THAT(found.final_state.values(), SameBits(wanted.final_state.values()));
        EXPECT_THAT(part(found.o, 20, 50).values(), SameBits(part(wanted.o, 20, 50).values()));
        const std::vector<float> grad =
            part(wanted.grad_log_decay, 20, 21).values();  // At the reset itself.
        EXPECT_THAT(grad, ::testing::Each(0.0F));
    }
}

// A state with no rounding bias: after 100,000 tokens of a gate near 0 the decayed initial state is
// still exact to 1e-5, although fp32 holds exp(-1e-6) with a relative error of 1e-2 in the
// exponent.
TEST(GatedCpuGates, WeakGatesKeepTheirMemoryLength) {
    for (const Decay decay : {Decay::kHead, Decay::kChannel}) {
        GatedSetup setup;
        setup.decay = decay;
        setup.tokens = 100000;
        setup.heads = setup.qk_heads = 1;
        setup.keys = setup.values = 4;
        setup.gates = {"", [](std::mt19937_64&, std::int64_t) { return -1e-6; }};
        GatedInputs<float> in = make_inputs<float>(setup);
        std::fill(in.k.storage.begin(), in.k.storage.end(), 0.0F);
        GatedOutputs<float> out = make_outputs(in);
        gated_forward_cpu(forward_params(in, out), serial_for);
        std::vector<double> wanted;
        for (const float x : in.initial_state.values()) {
            wanted.push_back(x * std::exp(1e5 * static_cast<double>(-1e-6F)));
        }
        EXPECT_THAT(out.final_state.values(), RmsNear(wanted, kLimit));
    }
}

}  // namespace
}  // namespace fla::testing
