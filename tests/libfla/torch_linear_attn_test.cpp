// Linear attention with feature map and normaliser, against the explicit T x T formula in float64.
#include "torch_scan_case.h"

namespace fla::testing {
namespace {

struct Inputs {
    at::Tensor q, k, v, state, z;

    [[nodiscard]] std::vector<at::Tensor> list() const { return {q, k, v, state, z}; }

    [[nodiscard]] Inputs leaves(at::ScalarType dtype) const {
        const auto leaf = [&](const at::Tensor& t) {
            return t.detach().to(dtype, false, /*copy=*/true).requires_grad_();
        };
        return {leaf(q), leaf(k), leaf(v), leaf(state), leaf(z)};
    }
};

Inputs random_inputs(std::int64_t num_tokens) {
    torch::manual_seed(5);
    const auto f64 = at::dtype(at::kDouble);
    return {at::randn({2, num_tokens, 2, 8}, f64), at::randn({2, num_tokens, 2, 8}, f64),
            at::randn({2, num_tokens, 4, 6}, f64), at::randn({2, 4, 8, 6}, f64),
            at::rand({2, 4, 8}, f64) + 0.5};
}

at::Tensor phi(const at::Tensor& x) { return at::where(x > 0, x + 1, at::exp(x)); }

/// o_i = (phi(q_i) S0 + sum_j A_ij v_j) / (phi(q_i) z0 + sum_j A_ij + 1e-6), A = phi(q) phi(k)^T
/// over the tokens that i has seen.
ops::LinearAttnOutput quadratic(const Inputs& x, bool normalize, double scale, bool reverse) {
    const at::Tensor q = phi(x.q).repeat_interleave(2, 2).transpose(1, 2);  // [B, H, T, K]
    const at::Tensor k = phi(x.k).repeat_interleave(2, 2).transpose(1, 2);
    const at::Tensor v = x.v.transpose(1, 2);
    const at::Tensor all = at::matmul(q, k.transpose(-1, -2));
    const at::Tensor scores = (reverse ? all.triu() : all.tril()) * scale;  // [B, H, T, T]
    at::Tensor o = at::matmul(scores, v) + at::matmul(q, x.state) * scale;
    if (normalize) {
        const at::Tensor den = scores.sum(-1, true) + at::matmul(q, x.z.unsqueeze(-1)) * scale;
        o = o / (den + 1e-6);
    }
    return {o.transpose(1, 2), x.state + at::matmul(k.transpose(-1, -2), v), x.z + k.sum(2)};
}

ops::LinearAttnOutput run(const Inputs& x, bool normalize, bool reverse) {
    ops::LinearAttnOptions options;
    options.initial_state = x.state;
    if (normalize) {
        options.initial_z = x.z;
    }
    options.normalize = normalize;
    options.direction = reverse ? ops::Direction::kReverse : ops::Direction::kForward;
    return ops::chunk_linear_attn(x.q, x.k, x.v, options);
}

std::vector<at::Tensor> gradients(const ops::LinearAttnOutput& out, const Inputs& x, bool with_z) {
    std::vector<at::Tensor> results{out.o, out.final_state};
    if (with_z) {
        results.push_back(out.final_z);
    }
    std::vector<at::Tensor> weights;
    torch::manual_seed(6);
    for (const at::Tensor& result : results) {
        weights.push_back(at::randn(result.sizes(), at::kDouble).to(result.scalar_type()));
    }
    auto inputs = x.list();
    inputs.resize(with_z ? 5 : 4);
    return torch::autograd::grad(results, inputs, weights);
}

class LinearAttnTest : public ::testing::TestWithParam<std::tuple<bool, bool>> {};

TEST_P(LinearAttnTest, EqualsTheQuadraticFormula) {
    const auto [normalize, reverse] = GetParam();
    for (const std::int64_t num_tokens : {1, 2, 17, 64, 130}) {
        SCOPED_TRACE("T = " + std::to_string(num_tokens));
        const Inputs inputs = random_inputs(num_tokens);
        const Inputs reference = inputs.leaves(at::kDouble);
        const double scale = normalize ? 1.0 : 1.0 / std::sqrt(8.0);
        const auto want = quadratic(reference, normalize, scale, reverse);
        const auto want_grads = gradients(want, reference, normalize);
        for (const auto& [dtype, limit] : {std::pair{at::kDouble, 1e-12}, {at::kFloat, 1e-5}}) {
            const Inputs x = inputs.leaves(dtype);
            const auto got = run(x, normalize, reverse);
            EXPECT_EQ(got.o.scalar_type(), dtype);
            EXPECT_LE(rms_ratio(got.o, want.o), limit);
            EXPECT_LE(rms_ratio(got.final_state, want.final_state), limit);
            if (normalize) {
                EXPECT_LE(rms_ratio(got.final_z, want.final_z), limit);
            } else {
                EXPECT_EQ(got.final_z.sizes(), at::IntArrayRef({2, 4, 0}));
            }
            const auto got_grads = gradients(got, x, normalize);
            for (std::size_t i = 0; i < got_grads.size(); ++i) {
                EXPECT_LE(rms_ratio(got_grads[i], want_grads[i]), limit) << "input " << i;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(LinearAttn, LinearAttnTest,
                         ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         [](const auto& test) {
                             return std::string(std::get<0>(test.param) ? "normalised" : "plain") +
                                    (std::get<1>(test.param) ? "_reverse" : "_forward");
                         });

TEST(LinearAttnStateTest, StateAndNormaliserPassFromPartToPart) {
    const Inputs x = random_inputs(90);
    const auto whole = run(x, true, false);
    const auto part = [&](std::int64_t begin, std::int64_t end, const at::Tensor& state,
                          const at::Tensor& z) {
        return run({x.q.slice(1, begin, end), x.k.slice(1, begin, end), x.v.slice(1, begin, end),
                    state, z},
                   true, false);
    };
    const auto head = part(0, 41, x.state, x.z);
    const auto tail = part(41, 90, head.final_state, head.final_z);
    EXPECT_LE(rms_ratio(at::cat({head.o, tail.o}, 1), whole.o), 1e-13);
    EXPECT_LE(rms_ratio(tail.final_z, whole.final_z), 1e-13);
}

TEST(LinearAttnStateTest, OneHalfOfTheInitialStateMayBeAbsent) {
    const Inputs x = random_inputs(20);
    const at::Tensor no_state = at::zeros_like(x.state);
    const at::Tensor no_z = at::zeros_like(x.z);
    ops::LinearAttnOptions options{.normalize = true};
    options.initial_z = x.z;
    EXPECT_LE(rms_ratio(ops::chunk_linear_attn(x.q, x.k, x.v, options).o,
                        quadratic({x.q, x.k, x.v, no_state, x.z}, true, 1, false).o),
              1e-12);
    options.initial_z.reset();
    options.initial_state = x.state;
    EXPECT_LE(rms_ratio(ops::chunk_linear_attn(x.q, x.k, x.v, options).o,
                        quadratic({x.q, x.k, x.v, x.state, no_z}, true, 1, false).o),
              1e-12);
}

TEST(LinearAttnStateTest, HalfTypesKeepTheirDtype) {
    const Inputs x = random_inputs(50).leaves(at::kBFloat16);
    const auto got = run(x, true, false);
    EXPECT_EQ(got.o.scalar_type(), at::kBFloat16);
    EXPECT_EQ(got.final_state.scalar_type(), at::kFloat);
    const auto want = quadratic(x.leaves(at::kDouble), true, 1, false);
    EXPECT_LE(rms_ratio(got.o, want.o), 5e-3);
    EXPECT_LE(rms_ratio(got.final_z, want.final_z), 1e-5);
}

}  // namespace
}  // namespace fla::testing
