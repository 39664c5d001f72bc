// What the gated family refuses, and whether the message helps.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "fla/error.h"
#include "libfla/gated_problem.h"

namespace fla::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Runs both passes after `change` and returns the two messages, empty where nothing was thrown.
struct Messages {
    std::string forward;
    std::string backward;
};

std::string message_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const InvalidArgument& error) {
        return error.what();
    }
    return {};
}

Messages messages_of(const GatedInputs<float>& in,
                     const std::function<void(GatedForward&)>& change_forward,
                     const std::function<void(GatedBackward&)>& change_backward) {
    GatedOutputs<float> out = make_outputs(in);
    GatedForward forward = forward_params(in, out);
    GatedBackward backward = backward_params(in, out);
    change_forward(forward);
    change_backward(backward);
    return {message_of([&] { gated_forward_cpu(forward, serial_for); }),
            message_of([&] { gated_backward_cpu(backward, serial_for); })};
}

/// Applies one change to both parameter structs.
template <typename Change>
Messages messages_of(const GatedInputs<float>& in, const Change& change) {
    return messages_of(
        in, [&](GatedForward& p) { change(p); }, [&](GatedBackward& p) { change(p); });
}

GatedInputs<float> valid_inputs(Decay decay = Decay::kHead) {
    GatedSetup setup;
    setup.decay = decay;
    setup.tokens = 40;
    setup.batch = 3;
    return make_inputs<float>(setup);
}

TEST(GatedCheck, AcceptsTheDocumentedShapes) {
    for (const Decay decay : kDecays) {
        const Messages found = messages_of(valid_inputs(decay), [](auto&) {});
        EXPECT_EQ(found.forward, "");
        EXPECT_EQ(found.backward, "");
    }
}

TEST(GatedCheck, NamesTensorValueAndExpectation) {
    const Messages found = messages_of(valid_inputs(), [](auto& p) { p.k.sizes[3] = 21; });
    EXPECT_EQ(found.forward, "k is float32 [3, 40, 2, 21], expected sizes [3, 40, 2, 20]");
    EXPECT_EQ(found.backward, found.forward);
}

TEST(GatedCheck, RejectsWrongDType) {
    const Messages found =
        messages_of(valid_inputs(), [](auto& p) { p.v.dtype = DType::kBFloat16; });
    EXPECT_THAT(found.forward, AllOf(HasSubstr("v is bfloat16"), HasSubstr("expected float32")));
    EXPECT_EQ(found.backward, found.forward);
}

TEST(GatedCheck, RejectsStridedRows) {
    const Messages found = messages_of(valid_inputs(), [](auto& p) { p.q.strides[3] = 2; });
    EXPECT_EQ(found.forward, "q has innermost stride 2, expected 1");
    EXPECT_EQ(found.backward, found.forward);
}

TEST(GatedCheck, RejectsHeadsThatDoNotDivide) {
    GatedInputs<float> in = valid_inputs();
    in.v = make_tensor<float>({3, 40, 3, 12}, 0.0F);
    const Messages found = messages_of(in, [](auto&) {});
    EXPECT_EQ(found.forward, "v has 3 heads, expected a multiple of the 2 heads of q and k");
    EXPECT_EQ(found.backward, found.forward);
}

TEST(GatedCheck, RejectsTooWideHeads) {
    GatedInputs<float> in = valid_inputs();
    in.v = make_tensor<float>({3, 40, 2, kMaxGatedDim + 1}, 0.0F);
    EXPECT_EQ(messages_of(in, [](auto&) {}).forward, "v has value width 513, expected 1 to 512");
}

TEST(GatedCheck, RejectsMissingData) {
    EXPECT_EQ(messages_of(valid_inputs(), [](auto& p) { p.q.data = nullptr; }).forward,
              "q has no data");
    EXPECT_EQ(messages_of(
                  valid_inputs(), [](GatedForward& p) { p.o.data = nullptr; },
                  [](GatedBackward& p) { p.grad_v.data = nullptr; })
                  .forward,
              "o has no data");
}

TEST(GatedCheck, RejectsDecayOfTheWrongKind) {
    const Messages extra = messages_of(valid_inputs(), [](auto& p) { p.decay = Decay::kNone; });
    EXPECT_EQ(extra.forward, "log_decay is float32 [3, 40, 2], expected none without decay");
    const Messages head = messages_of(valid_inputs(), [](auto& p) { p.decay = Decay::kChannel; });
    EXPECT_EQ(head.forward, "log_decay is float32 [3, 40, 2], expected sizes [3, 40, 2, 20]");
}

TEST(GatedCheck, FindsPositiveAndNanDecayAndSaysWhere) {
    for (const Decay decay : {Decay::kHead, Decay::kChannel}) {
        for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
            for (const float bad : {1e-6F, std::numeric_limits<float>::quiet_NaN()}) {
                GatedInputs<float> in = valid_inputs(decay);
                in.direction = direction;
                const std::int64_t inner = decay == Decay::kHead ? 1 : 20;
                in.log_decay.at(((2 * 40 + 33) * 2 + 1) * inner + inner - 1) = bad;
                const Messages found = messages_of(in, [](auto&) {});
                EXPECT_THAT(found.forward, HasSubstr("at sequence 2, token 33, head 1"));
                EXPECT_EQ(found.backward, found.forward);
            }
        }
    }
}

}  // namespace
}  // namespace fla::testing
