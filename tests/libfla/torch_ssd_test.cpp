// The state-space dual form against its own recurrence, written in its own arguments.
#include "torch_scan_case.h"

namespace fla::testing {
namespace {

using Tensors = std::vector<std::pair<std::string, at::Tensor>>;

ops::SsdInputs random_inputs(std::int64_t num_tokens, std::int64_t h = 4, std::int64_t groups = 2) {
    torch::manual_seed(8);
    const auto f64 = at::dtype(at::kDouble);
    ops::SsdInputs in;
    in.x = at::randn({2, num_tokens, h, 6}, f64);
    in.dt = at::randn({2, num_tokens, h}, f64);
    in.a_log = at::log(at::rand({h}, f64) * 4 + 0.2);
    in.b = at::randn({2, num_tokens, groups, 8}, f64);
    in.c = at::randn({2, num_tokens, groups, 8}, f64);
    in.d = at::randn({h}, f64);
    in.dt_bias = at::randn({h}, f64);
    in.initial_state = at::randn({2, h, 6, 8}, f64);
    return in;
}

Tensors named(const ops::SsdInputs& in) {
    Tensors all{{"x", in.x}, {"dt", in.dt}, {"A_log", in.a_log}, {"B", in.b}, {"C", in.c}};
    if (in.d) {
        all.emplace_back("D", *in.d);
    }
    if (in.dt_bias) {
        all.emplace_back("dt_bias", *in.dt_bias);
    }
    if (in.initial_state) {
        all.emplace_back("initial_state", *in.initial_state);
    }
    return all;
}

ops::SsdInputs leaves(const ops::SsdInputs& in, at::ScalarType dtype) {
    const auto leaf = [&](const at::Tensor& t) {
        return t.detach().to(dtype, false, /*copy=*/true).requires_grad_();
    };
    const auto maybe = [&](const std::optional<at::Tensor>& t) {
        return t ? std::optional(leaf(*t)) : std::nullopt;
    };
    return {leaf(in.x), leaf(in.dt), leaf(in.a_log),    leaf(in.b),
            leaf(in.c), maybe(in.d), maybe(in.dt_bias), maybe(in.initial_state)};
}

/// h_t = exp(dt A) h_{t-1} + dt x_t B_t^T, y_t = h_t C_t + D x_t; the state is [B, H, P, N].
ops::SsdOutput recurrence(const ops::SsdInputs& in, const ops::SsdOptions& options) {
    const std::int64_t num_tokens = in.x.size(1);
    const std::int64_t group = in.x.size(2) / in.b.size(2);
    const at::Tensor a = -in.a_log.exp();
    at::Tensor h = in.initial_state.value_or(
        at::zeros({in.x.size(0), in.x.size(2), in.x.size(3), in.b.size(3)}, in.x.options()));
    std::vector<at::Tensor> y(static_cast<std::size_t>(num_tokens));
    for (std::int64_t step = 0; step < num_tokens; ++step) {
        const bool reverse = options.direction == ops::Direction::kReverse;
        const std::int64_t t = reverse ? num_tokens - 1 - step : step;
        at::Tensor dt = in.dt.select(1, t);
        if (in.dt_bias) {
            dt = dt + *in.dt_bias;
        }
        if (options.dt_softplus) {
            dt = at::log1p(at::exp(dt));
        }
        dt = at::clamp(dt, options.dt_min, options.dt_max.value_or(INFINITY));
        const at::Tensor x_t = in.x.select(1, t);                              // [B, H, P]
        const at::Tensor b_t = in.b.select(1, t).repeat_interleave(group, 1);  // [B, H, N]
        const at::Tensor c_t = in.c.select(1, t).repeat_interleave(group, 1);
        h = h * (dt * a).exp().unsqueeze(-1).unsqueeze(-1) +
            (dt.unsqueeze(-1) * x_t).unsqueeze(-1) * b_t.unsqueeze(-2);
        at::Tensor y_t = (h * c_t.unsqueeze(-2)).sum(-1);
        if (in.d) {
            y_t = y_t + in.d->unsqueeze(-1) * x_t;
        }
        y[static_cast<std::size_t>(t)] = y_t;
    }
    return {at::stack(y, 1), h};
}

std::vector<at::Tensor> gradients(const ops::SsdOutput& out, const ops::SsdInputs& in) {
    torch::manual_seed(9);
    const at::Tensor weight_y = at::randn(out.y.sizes(), at::kDouble).to(out.y.scalar_type());
    const at::Tensor weight_h =
        at::randn(out.final_state.sizes(), at::kDouble).to(out.final_state.scalar_type());
    std::vector<at::Tensor> inputs;
    for (const auto& [name, tensor] : named(in)) {
        inputs.push_back(tensor);
    }
    return torch::autograd::grad({out.y, out.final_state}, inputs, {weight_y, weight_h});
}

void expect_recurrence(const ops::SsdInputs& in, const ops::SsdOptions& options) {
    const ops::SsdInputs reference = leaves(in, at::kDouble);
    const auto want = recurrence(reference, options);
    const auto want_grads = gradients(want, reference);
    for (const auto& [dtype, limit] : {std::pair{at::kDouble, 1e-11}, {at::kFloat, 1e-5}}) {
        const ops::SsdInputs ours = leaves(in, dtype);
        const auto got = ops::chunk_ssd(ours, options);
        EXPECT_EQ(got.y.scalar_type(), dtype);
        EXPECT_LE(rms_ratio(got.y, want.y), limit);
        EXPECT_LE(rms_ratio(got.final_state, want.final_state), limit);
        const auto got_grads = gradients(got, ours);
        for (std::size_t i = 0; i < got_grads.size(); ++i) {
            // Gradients of dt and A_log pass through the gate.
            EXPECT_LE(rms_ratio(got_grads[i], want_grads[i]), limit * 10) << named(in)[i].first;
        }
    }
}

TEST(SsdTest, EqualsItsRecurrence) {
    for (const std::int64_t num_tokens : {1, 2, 17, 64, 130}) {
        SCOPED_TRACE("T = " + std::to_string(num_tokens));
        expect_recurrence(random_inputs(num_tokens), {});
        expect_recurrence(random_inputs(num_tokens), {.direction = ops::Direction::kReverse});
    }
}

TEST(SsdTest, OneGroupAndAGroupForEveryHead) {
    expect_recurrence(random_inputs(40, 4, 1), {});
    expect_recurrence(random_inputs(40, 3, 3), {});
}

TEST(SsdTest, OptionalInputsMayBeAbsent) {
    ops::SsdInputs in = random_inputs(40);
    in.d.reset();
    in.dt_bias.reset();
    in.initial_state.reset();
    expect_recurrence(in, {});
}

TEST(SsdTest, StepSizesAreClamped) {
    expect_recurrence(random_inputs(40), {.dt_min = 0.3, .dt_max = 0.9});
    ops::SsdInputs in = random_inputs(40);
    in.dt = in.dt.abs();
    in.dt_bias.reset();
    expect_recurrence(in, {.dt_softplus = false});
}

TEST(SsdTest, StatePassesFromPartToPart) {
    const ops::SsdInputs in = random_inputs(90);
    const auto whole = ops::chunk_ssd(in);
    const auto part = [&](std::int64_t begin, std::int64_t end, const at::Tensor& state) {
        ops::SsdInputs piece = in;
        piece.x = in.x.slice(1, begin, end);
        piece.dt = in.dt.slice(1, begin, end);
        piece.b = in.b.slice(1, begin, end);
        piece.c = in.c.slice(1, begin, end);
        piece.initial_state = state;
        return ops::chunk_ssd(piece);
    };
    const auto head = part(0, 41, *in.initial_state);
    const auto tail = part(41, 90, head.final_state);
    EXPECT_LE(rms_ratio(at::cat({head.y, tail.y}, 1), whole.y), 1e-13);
    EXPECT_LE(rms_ratio(tail.final_state, whole.final_state), 1e-13);
}

TEST(SsdTest, HalfInputsWithFloat32Parameters) {
    ops::SsdInputs in = leaves(random_inputs(60), at::kFloat);
    const auto to_half = [](const at::Tensor& t) { return t.detach().to(at::kBFloat16); };
    in.x = to_half(in.x);
    in.b = to_half(in.b);
    in.c = to_half(in.c);
    const auto got = ops::chunk_ssd(in);
    EXPECT_EQ(got.y.scalar_type(), at::kBFloat16);
    EXPECT_EQ(got.final_state.scalar_type(), at::kFloat);
    const auto want = recurrence(leaves(in, at::kDouble), {});
    EXPECT_LE(rms_ratio(got.y, want.y), 5e-3);
    EXPECT_LE(rms_ratio(got.final_state, want.final_state), 1e-5);
}

TEST(SsdTest, NamesTheWrongTensor) {
    ops::SsdInputs in = random_inputs(5);
    in.dt_bias = at::zeros({3}, at::kDouble);
    try {
        (void)ops::chunk_ssd(in);
        FAIL() << "expected an error";
    } catch (const c10::Error& error) {
        EXPECT_STREQ(error.what_without_backtrace(),
                     "fla::chunk_ssd: dt_bias has sizes [3], expected [H] = [4]");
    }
    in = random_inputs(5, 4, 3);
    EXPECT_THROW((void)ops::chunk_ssd(in), c10::Error);
}

}  // namespace
}  // namespace fla::testing
