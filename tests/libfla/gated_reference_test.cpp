// The fp64 recurrence against closed forms and finite differences.

#include <gtest/gtest.h>

#include <cmath>

#include "fla/error.h"
#include "libfla/gated_problem.h"
#include "support/tensor_matchers.h"

namespace fla::testing {
namespace {

using flagen::testing::RmsNear;

/// <o, grad_o> + <final_state, grad_final_state>.
double loss(const GatedInputs<double>& in) {
    GatedOutputs<double> out = make_outputs(in);
    gated_forward_reference(forward_params(in, out));
    double sum = 0.0;
    for (std::int64_t i = 0; i < out.o.num_elements(); ++i) {
        sum += out.o.at(i) * in.grad_o.at(i);
    }
    for (std::int64_t i = 0; in.grad_final_state.present() && i < out.final_state.num_elements();
         ++i) {
        sum += out.final_state.at(i) * in.grad_final_state.at(i);
    }
    return sum;
}

/// Central differences of the loss for every element of one input.
std::vector<double> differences(GatedInputs<double> in,
                                Tensor<double> GatedInputs<double>::*which) {
    constexpr double kStep = 1e-5;
    Tensor<double>& tensor = in.*which;
    std::vector<double> out;
    for (std::int64_t i = 0; i < tensor.num_elements(); ++i) {
        const double value = tensor.at(i);
        tensor.at(i) = value + kStep;
        const double above = loss(in);
        tensor.at(i) = value - kStep;
        const double below = loss(in);
        tensor.at(i) = value;
        out.push_back((above - below) / (2.0 * kStep));
    }
    return out;
}

TEST(GatedReference, TwoTokensByHand) {
    GatedSetup setup;
    setup.heads = setup.qk_heads = setup.keys = setup.values = 1;
    setup.tokens = 2;
    for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
        setup.direction = direction;
        const GatedInputs<double> in = make_inputs<double>(setup);
        GatedOutputs<double> out = make_outputs(in);
        gated_forward_reference(forward_params(in, out));
        const bool forward = direction == Direction::kForward;
        const int first = forward ? 0 : 1;
        const int second = forward ? 1 : 0;
        const double s1 = std::exp(in.log_decay.at(first)) * in.initial_state.at(0) +
                          in.k.at(first) * in.v.at(first);
        const double s2 =
            std::exp(in.log_decay.at(second)) * s1 + in.k.at(second) * in.v.at(second);
        EXPECT_DOUBLE_EQ(out.o.at(first), in.q.at(first) * s1);
        EXPECT_DOUBLE_EQ(out.o.at(second), in.q.at(second) * s2);
        EXPECT_DOUBLE_EQ(out.final_state.at(0), s2);
    }
}

TEST(GatedReference, EveryGradientEqualsFiniteDifferences) {
    for (const Decay decay : kDecays) {
        for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
            SCOPED_TRACE(name_of(decay));
            GatedSetup setup;
            setup.decay = decay;
            setup.direction = direction;
            setup.batch = 2;
            setup.tokens = 5;
            setup.qk_heads = 1;
            setup.keys = 3;
            setup.values = 2;
            setup.gates = {
                "", [](std::mt19937_64& rng, std::int64_t) { return uniform(rng, -1.5, -0.1); }};
            using In = GatedInputs<double>;
            const In in = make_inputs<double>(setup);
            const GatedOutputs<double> out = run_reference(in);
            constexpr double kLimit = 1e-8;
            EXPECT_THAT(differences(in, &In::q), RmsNear(out.grad_q.values(), kLimit));
            EXPECT_THAT(differences(in, &In::k), RmsNear(out.grad_k.values(), kLimit));
            EXPECT_THAT(differences(in, &In::v), RmsNear(out.grad_v.values(), kLimit));
            EXPECT_THAT(differences(in, &In::initial_state),
                        RmsNear(out.grad_initial_state.values(), kLimit));
            if (decay != Decay::kNone) {
                EXPECT_THAT(differences(in, &In::log_decay),
                            RmsNear(out.grad_log_decay.values(), kLimit));
            }
        }
    }
}

TEST(GatedReference, RejectsPositiveAndNanDecay) {
    for (const double bad : {1e-3, std::nan("")}) {
        GatedSetup setup;
        setup.decay = Decay::kChannel;
        GatedInputs<double> in = make_inputs<double>(setup);
        in.log_decay.at(47) = bad;
        GatedOutputs<double> out = make_outputs(in);
        EXPECT_THROW(gated_forward_reference(forward_params(in, out)), InvalidArgument);
        EXPECT_THROW(gated_backward_reference(backward_params(in, out)), InvalidArgument);
    }
}

}  // namespace
}  // namespace fla::testing
