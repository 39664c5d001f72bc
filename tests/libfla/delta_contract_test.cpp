#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "delta/delta_chunk.h"
#include "delta/delta_cpu.h"
#include "fla/error.h"
#include "libfla/delta_case.h"

// What the operator promises beside its values: composition over segments, grouped heads, memory
// layouts, the same bits on any threads, and errors.

namespace fla::testing {
namespace {

using flagen::testing::RmsNear;
using flagen::testing::SameBits;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const GateCase kWeak{"weak",
                     [](std::mt19937_64& rng, std::int64_t) { return uniform(rng, -0.1, 0.0); }};

void expect_same_bits(const DeltaOutputs<float>& a, const DeltaOutputs<float>& b) {
    EXPECT_THAT(a.o.values(), SameBits(b.o.values()));
    EXPECT_THAT(a.final_state.values(), SameBits(b.final_state.values()));
    EXPECT_THAT(a.grad_q.values(), SameBits(b.grad_q.values()));
    EXPECT_THAT(a.grad_k.values(), SameBits(b.grad_k.values()));
    EXPECT_THAT(a.grad_v.values(), SameBits(b.grad_v.values()));
    EXPECT_THAT(a.grad_beta.values(), SameBits(b.grad_beta.values()));
    EXPECT_THAT(a.grad_log_decay.values(), SameBits(b.grad_log_decay.values()));
    EXPECT_THAT(a.grad_initial_state.values(), SameBits(b.grad_initial_state.values()));
}

/// Tokens [first, first + count) of a contiguous [1, T, ...] tensor.
template <typename T>
Tensor<T> tokens_of(const Tensor<T>& t, std::int64_t first, std::int64_t count) {
    const std::int64_t row = t.num_elements() / t.sizes[1];
    std::vector<std::int64_t> sizes = t.sizes;
    sizes[1] = count;
    Tensor<T> part = make_tensor<T>(sizes, T{});
    for (std::int64_t i = 0; i < count * row; ++i) {
        part.at(i) = t.at(first * row + i);
    }
    return part;
}

DeltaInputs<float> segment_of(const DeltaInputs<float>& in, std::int64_t first,
                              std::int64_t count) {
    DeltaInputs<float> part = in;
    part.sizes.tokens = count;
    for (auto member :
         {&DeltaInputs<float>::q, &DeltaInputs<float>::k, &DeltaInputs<float>::v,
          &DeltaInputs<float>::beta, &DeltaInputs<float>::log_decay, &DeltaInputs<float>::grad_o}) {
        part.*member = tokens_of(in.*member, first, count);
    }
    return part;
}

/// f(x) = f(x1) then f(x2): the state goes on, its gradient comes back.
TEST(DeltaStatePassing, GivesTheOutputsAndGradientsOfTheWhole) {
    std::mt19937_64 rng(40);
    for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
        for (const std::int64_t cut : {1, 63, 64, 100, 149}) {
            SCOPED_TRACE(cut);
            const DeltaSizes s{.batch = 1, .tokens = 150};
            DeltaInputs<float> in = random_delta<float>(s, &kWeak, beta_cases()[3], rng);
            in.direction = direction;
            const DeltaOutputs<double> whole = run_reference(converted<double>(in));
            DeltaInputs<float> early = segment_of(in, 0, cut);
            DeltaInputs<float> late = segment_of(in, cut, s.tokens - cut);
            DeltaInputs<float>& first = direction == Direction::kForward ? early : late;
            DeltaInputs<float>& second = direction == Direction::kForward ? late : early;
            second.initial_state = run_chunked(first, false).final_state;
            const DeltaOutputs<float> after = run_chunked(second);
            first.grad_final_state = after.grad_initial_state;
            const DeltaOutputs<float> before = run_chunked(first);

            expect_near(after.final_state, whole.final_state, 1e-5, "final_state");
            expect_near(before.grad_initial_state, whole.grad_initial_state, 1e-5,
                        "state gradient");
            const bool in_order = direction == Direction::kForward;
            const DeltaOutputs<float>& low = in_order ? before : after;
            const DeltaOutputs<float>& high = in_order ? after : before;
            const std::int64_t rest = s.tokens - cut;
            expect_near(low.o, tokens_of(whole.o, 0, cut), 1e-5, "o");
            expect_near(high.o, tokens_of(whole.o, cut, rest), 1e-5, "o");
            expect_near(low.grad_q, tokens_of(whole.grad_q, 0, cut), 1e-5, "grad_q");
            expect_near(high.grad_q, tokens_of(whole.grad_q, cut, rest), 1e-5, "grad_q");
            expect_near(low.grad_k, tokens_of(whole.grad_k, 0, cut), 1e-5, "grad_k");
            expect_near(high.grad_k, tokens_of(whole.grad_k, cut, rest), 1e-5, "grad_k");
            expect_near(low.grad_v, tokens_of(whole.grad_v, 0, cut), 1e-5, "grad_v");
            expect_near(high.grad_v, tokens_of(whole.grad_v, cut, rest), 1e-5, "grad_v");
            expect_near(low.grad_beta, tokens_of(whole.grad_beta, 0, cut), 1e-4, "grad_beta");
            expect_near(high.grad_beta, tokens_of(whole.grad_beta, cut, rest), 1e-4, "grad_beta");
            expect_near(low.grad_log_decay, tokens_of(whole.grad_log_decay, 0, cut), 1e-4,
                        "grad_log_decay");
            expect_near(high.grad_log_decay, tokens_of(whole.grad_log_decay, cut, rest), 1e-4,
                        "grad_log_decay");
        }
    }
}

TEST(DeltaContract, HeadsShareQueriesAndKeys) {
    std::mt19937_64 rng(41);
    for (const std::int64_t qk_heads : {1, 2, 3}) {
        SCOPED_TRACE(qk_heads);
        const DeltaSizes s{.batch = 2, .tokens = 300, .qk_heads = qk_heads, .heads = 6};
        const DeltaInputs<float> in = random_delta<float>(s, &kWeak, beta_cases()[3], rng);
        const DeltaOutputs<float> found = run_chunked(in, true, thread_for(2));
        const DeltaOutputs<double> wanted = run_reference(converted<double>(in));
        expect_forward_near(found, wanted);
        expect_backward_near(found, wanted);
    }
}

TEST(DeltaContract, StridedViewsGiveTheBitsOfContiguousMemory) {
    for (const Layout layout : {Layout::kPadded, Layout::kHeadsFirst}) {
        const DeltaSizes s{.batch = 2, .tokens = 90, .qk_heads = 2, .heads = 4};
        std::mt19937_64 rng(42);
        const DeltaInputs<float> packed = random_delta<float>(s, &kWeak, beta_cases()[3], rng);
        rng.seed(42);
        const DeltaInputs<float> strided =
            random_delta<float>(s, &kWeak, beta_cases()[3], rng, layout);
        ASSERT_NE(packed.q.strides, strided.q.strides);
        expect_same_bits(run_chunked(packed), run_chunked(strided));
    }
}

/// Walks the token axis of a view backwards.
template <typename Ref>
Ref flipped(Ref t) {
    if (t.present()) {
        t.data = static_cast<decltype(t.data)>(
            const_cast<float*>(static_cast<const float*>(t.data)) + (t.size(1) - 1) * t.stride(1));
        t.strides[1] = -t.strides[1];
    }
    return t;
}

TEST(DeltaContract, ReverseIsForwardOnFlippedViews) {
    std::mt19937_64 rng(43);
    const DeltaSizes s{.batch = 2, .tokens = 100};
    DeltaInputs<float> in = random_delta<float>(s, &kWeak, beta_cases()[3], rng);
    DeltaOutputs<float> flipped_views;
    DeltaForward f = forward_params(in, flipped_views);
    DeltaBackward b = backward_params(in, flipped_views);
    for (auto* t : {&f.q, &f.k, &f.v, &f.beta, &f.log_decay, &b.q, &b.k, &b.v, &b.beta,
                    &b.log_decay, &b.grad_o}) {
        *t = flipped(*t);
    }
    for (auto* t : {&f.o, &b.grad_q, &b.grad_k, &b.grad_v, &b.grad_beta, &b.grad_log_decay}) {
        *t = flipped(*t);
    }
    delta_forward_cpu(f, serial_for);
    delta_backward_cpu(b, serial_for);
    in.direction = Direction::kReverse;
    expect_same_bits(run_chunked(in), flipped_views);
}

TEST(DeltaContract, SameBitsForAnyNumberOfThreads) {
    std::mt19937_64 rng(44);
    const DeltaSizes s{.batch = 2, .tokens = 700, .qk_heads = 1, .heads = 3};
    const DeltaInputs<float> in = random_delta<float>(s, &kWeak, beta_cases()[3], rng);
    const DeltaOutputs<float> wanted = run_chunked(in);
    for (const int threads : {1, 2, 3}) {
        SCOPED_TRACE(threads);
        expect_same_bits(run_chunked(in, true, thread_for(threads)), wanted);
    }
}

TEST(DeltaContract, AbsentStatesAreZeros) {
    std::mt19937_64 rng(45);
    const DeltaSizes s{.batch = 1, .tokens = 70};
    DeltaInputs<float> in = random_delta<float>(s, nullptr, beta_cases()[3], rng);
    in.initial_state = make_tensor<float>(in.initial_state.sizes, 0.0F);
    in.grad_final_state = make_tensor<float>(in.grad_final_state.sizes, 0.0F);
    const DeltaOutputs<float> wanted = run_chunked(in);
    in.initial_state = {};
    in.grad_final_state = {};
    expect_same_bits(run_chunked(in), wanted);
    DeltaOutputs<float> out;
    DeltaForward f = forward_params(in, out);
    f.final_state = {};
    delta_forward_cpu(f, serial_for);
    DeltaBackward b = backward_params(in, out);
    b.grad_initial_state = {};
    delta_backward_cpu(b, serial_for);
    EXPECT_THAT(out.o.values(), SameBits(wanted.o.values()));
    EXPECT_THAT(out.grad_k.values(), SameBits(wanted.grad_k.values()));
}

TEST(DeltaContract, NoTokensPassTheStateAndItsGradient) {
    std::mt19937_64 rng(46);
    const DeltaSizes s{.batch = 2, .tokens = 0};
    const DeltaInputs<float> in = random_delta<float>(s, nullptr, beta_cases()[3], rng);
    for (const DeltaOutputs<float>& out : {run_chunked(in), run_reference(in)}) {
        EXPECT_THAT(out.final_state.values(), SameBits(in.initial_state.values()));
        EXPECT_THAT(out.grad_initial_state.values(), SameBits(in.grad_final_state.values()));
    }
}

/// Runs one head in scratch memory full of NaN: nothing may be read before it is written.
TEST(DeltaContract, DirtyScratchChangesNothing) {
    std::mt19937_64 rng(47);
    const DeltaSizes s{
        .batch = 1, .tokens = 83, .qk_heads = 1, .heads = 1, .keys = 20, .values = 37};
    const DeltaInputs<float> in = random_delta<float>(s, &kWeak, beta_cases()[3], rng);
    const DeltaOutputs<double> wanted = run_reference(converted<double>(in));
    DeltaOutputs<float> found;
    forward_params(in, found);
    backward_params(in, found);
    DeltaHeadInputs head{.num_tokens = s.tokens,
                         .key_width = s.keys,
                         .value_width = s.values,
                         .scale = static_cast<float>(in.scale),
                         .q = in.q.storage.data(),
                         .k = in.k.storage.data(),
                         .v = in.v.storage.data(),
                         .beta = in.beta.storage.data(),
                         .log_decay = in.log_decay.storage.data(),
                         .initial_state = in.initial_state.storage.data(),
                         .q_stride = s.keys,
                         .k_stride = s.keys,
                         .v_stride = s.values,
                         .beta_stride = 1,
                         .log_decay_stride = 1,
                         .initial_state_stride = s.values};
    const DeltaHeadForward forward{.in = head,
                                   .o = found.o.storage.data(),
                                   .final_state = found.final_state.storage.data(),
                                   .o_stride = s.values,
                                   .final_state_stride = s.values};
    const DeltaHeadBackward backward{.in = head,
                                     .grad_o = in.grad_o.storage.data(),
                                     .grad_final_state = in.grad_final_state.storage.data(),
                                     .grad_q = found.grad_q.storage.data(),
                                     .grad_k = found.grad_k.storage.data(),
                                     .grad_v = found.grad_v.storage.data(),
                                     .grad_beta = found.grad_beta.storage.data(),
                                     .grad_log_decay = found.grad_log_decay.storage.data(),
                                     .grad_initial_state = found.grad_initial_state.storage.data(),
                                     .grad_o_stride = s.values,
                                     .grad_final_state_stride = s.values,
                                     .grad_q_stride = s.keys,
                                     .grad_k_stride = s.keys,
                                     .grad_v_stride = s.values,
                                     .grad_beta_stride = 1,
                                     .grad_log_decay_stride = 1,
                                     .grad_initial_state_stride = s.values};
    const auto dirty = [&](DeltaScratchFloats floats) {
        return std::vector<float>(static_cast<std::size_t>(floats(s.tokens, s.keys, s.values)),
                                  std::numeric_limits<float>::quiet_NaN());
    };
    std::vector<float> scratch = dirty(baseline::kDeltaForward.scratch_floats);
    baseline::kDeltaForward.run(forward, scratch.data());
    scratch = dirty(baseline::kDeltaBackward.scratch_floats);
    baseline::kDeltaBackward.run(backward, scratch.data());
    expect_forward_near(found, wanted);
    expect_backward_near(found, wanted);
}

class DeltaErrors : public ::testing::Test {
  protected:
    std::mt19937_64 rng_{48};
    DeltaInputs<float> in_ = random_delta<float>({.batch = 1, .tokens = 3, .keys = 4, .values = 4},
                                                 &kWeak, beta_cases()[3], rng_);
    DeltaOutputs<float> out_;

    /// Expects the message, and that nothing was written.
    void expect_error(const DeltaForward& p, const std::string& message) {
        EXPECT_THAT([&] { delta_forward_cpu(p, serial_for); },
                    ThrowsMessage<InvalidArgument>(HasSubstr(message)));
        EXPECT_TRUE(std::isnan(out_.o.storage.front()));
    }
};

TEST_F(DeltaErrors, RejectsPositiveAndNanGates) {
    const DeltaForward p = forward_params(in_, out_);
    in_.log_decay.storage[3] = 1e-6F;
    expect_error(p, "log_decay is 1e-06 at sequence 0, token 1, head 1, expected every value <= 0");
    in_.log_decay.storage[3] = std::nanf("");
    expect_error(p, "log_decay is nan at sequence 0, token 1, head 1");
    EXPECT_THROW(delta_forward_reference(p), InvalidArgument);
    DeltaBackward b = backward_params(in_, out_);
    EXPECT_THROW(delta_backward_cpu(b, serial_for), InvalidArgument);
    EXPECT_THROW(delta_backward_reference(b), InvalidArgument);
    EXPECT_TRUE(std::isnan(out_.grad_q.storage.front()));
}

TEST_F(DeltaErrors, NamesTheTensorThatDoesNotFit) {
    DeltaForward p = forward_params(in_, out_);
    p.beta.sizes[1] = 2;
    expect_error(p, "beta is float32 [1, 2, 2], expected sizes [1, 3, 2]");
    p = forward_params(in_, out_);
    p.k.strides[3] = 2;
    expect_error(p, "k has innermost stride 2, expected 1");
    p = forward_params(in_, out_);
    p.v.dtype = DType::kBFloat16;
    expect_error(p, "v is bfloat16 [1, 3, 2, 4], expected float32");
    p = forward_params(in_, out_);
    p.k.data = nullptr;
    expect_error(p, "k has no data");
    p = forward_params(in_, out_);
    p.v.sizes[2] = 3;
    expect_error(p, "v has 3 heads, expected a multiple of the 2 heads of q and k");
    p = forward_params(in_, out_);
    p.q.sizes[3] = 257;
    expect_error(p, "q has key width 257, expected 1 to 256");
}

TEST_F(DeltaErrors, WantsAGateGradientExactlyWhereThereIsAGate) {
    DeltaBackward b = backward_params(in_, out_);
    b.grad_log_decay = {};
    EXPECT_THAT([&] { delta_backward_cpu(b, serial_for); },
                ThrowsMessage<InvalidArgument>(HasSubstr("grad_log_decay")));
    b = backward_params(in_, out_);
    b.log_decay = {};
    EXPECT_THAT([&] { delta_backward_cpu(b, serial_for); },
                ThrowsMessage<InvalidArgument>(HasSubstr("expected none without log_decay")));
}

}  // namespace
}  // namespace fla::testing
