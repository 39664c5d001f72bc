// Scan operators with autograd, against the token-by-token oracle of torch_scan_case.h.
#include "torch_scan_case.h"

#include <ATen/Parallel.h>

#include <filesystem>

namespace fla::testing {
namespace {

struct Case {
    Scan scan;
    bool reverse;
};

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    for (const Scan scan : all_scans()) {
        cases.push_back({scan, false});
        cases.push_back({scan, true});
    }
    return cases;
}

class ScanTest : public ::testing::TestWithParam<Case> {
  protected:
    [[nodiscard]] static Scan scan() { return GetParam().scan; }
    [[nodiscard]] static bool reverse() { return GetParam().reverse; }

    static void expect_close(const std::string& what, const at::Tensor& got, const at::Tensor& want,
                             double limit) {
        EXPECT_LE(rms_ratio(got, want), limit) << what << " of " << name_of(scan());
    }

    /// Compares outputs and every gradient of two computations.
    static void expect_same(const ops::ScanOutput& got, const ScanTensors& got_x,
                            const ops::ScanOutput& want, const ScanTensors& want_x, double limit,
                            double gate_limit) {
        expect_close("o", got.o, want.o, limit);
        expect_close("final_state", got.final_state, want.final_state, limit);
        torch::manual_seed(99);
        const at::Tensor weight_o = at::randn(want.o.sizes(), at::kDouble);
        const at::Tensor weight_state = at::randn(want.final_state.sizes(), at::kDouble);
        const auto got_grads = gradients(got, got_x, weight_o, weight_state);
        const auto want_grads = gradients(want, want_x, weight_o, weight_state);
        const auto names = got_x.named();
        ASSERT_EQ(got_grads.size(), want_grads.size());
        for (std::size_t i = 0; i < got_grads.size(); ++i) {
            EXPECT_EQ(got_grads[i].scalar_type(), got_x.list()[i].scalar_type());
            expect_close("gradient of " + names[i].first, got_grads[i], want_grads[i],
                         names[i].first == "g" ? gate_limit : limit);
        }
    }
};

TEST_P(ScanTest, Float64EqualsOracleWithAllGradients) {
    for (const std::int64_t num_tokens : {1, 2, 37}) {
        const ScanTensors x = random_tensors(scan(), {.t = num_tokens});
        const ScanTensors ours = x.leaves(at::kDouble);
        const ScanTensors theirs = x.leaves(at::kDouble);
        expect_same(run_operator(scan(), ours, reverse()), ours,
                    run_oracle(scan(), theirs, reverse()), theirs, 1e-12, 1e-12);
    }
}

TEST_P(ScanTest, WithoutInitialStateAndWithScale) {
    ScanTensors x = random_tensors(scan(), {.t = 21, .hq = 3, .h = 3, .k = 5, .v = 7});
    x.state = at::Tensor();
    const ScanTensors ours = x.leaves(at::kDouble);
    const ScanTensors theirs = x.leaves(at::kDouble);
    expect_same(run_operator(scan(), ours, reverse(), 0.7), ours,
                run_oracle(scan(), theirs, reverse(), 0.7), theirs, 1e-12, 1e-12);
    const ScanTensors fast = x.leaves(at::kFloat);
    expect_same(run_operator(scan(), fast, reverse(), 0.7), fast,
                run_oracle(scan(), theirs, reverse(), 0.7), theirs, 1e-5, 1e-4);
}

TEST_P(ScanTest, Float32EqualsFloat64AtEveryLength) {
    for (const std::int64_t num_tokens : {1, 2, 15, 16, 17, 63, 64, 65, 127, 1000}) {
        SCOPED_TRACE("T = " + std::to_string(num_tokens));
        const ScanTensors x =
            random_tensors(scan(), {.b = 1, .t = num_tokens, .hq = 1, .h = 2, .k = 32, .v = 24})
                .leaves(at::kFloat);
        const ScanTensors exact = x.leaves(at::kDouble);
        expect_same(run_operator(scan(), x, reverse()), x, run_operator(scan(), exact, reverse()),
                    exact, 1e-5, 1e-4);
    }
}

TEST_P(ScanTest, ReverseEqualsFlip) {
    const ScanTensors x = random_tensors(scan(), {.t = 70}).leaves(at::kFloat);
    const ScanTensors y = x.leaves(at::kFloat);
    const auto flipped = run_operator(scan(), y.flipped(), !reverse());
    expect_same(run_operator(scan(), x, reverse()), x, {flipped.o.flip({1}), flipped.final_state},
                y, 1e-6, 1e-5);
}

TEST_P(ScanTest, StatePassesFromPartToPart) {
    const std::int64_t num_tokens = 150;
    const std::int64_t cut = 67;
    const ScanTensors whole = random_tensors(scan(), {.t = num_tokens}).leaves(at::kFloat);
    const ScanTensors parts = whole.leaves(at::kFloat);
    const std::int64_t first = reverse() ? cut : 0;
    const std::int64_t first_end = reverse() ? num_tokens : cut;
    const auto head = run_operator(scan(), parts.tokens(first, first_end, parts.state), reverse());
    const auto tail = run_operator(
        scan(), parts.tokens(reverse() ? 0 : cut, reverse() ? cut : num_tokens, head.final_state),
        reverse());
    const at::Tensor o = reverse() ? at::cat({tail.o, head.o}, 1) : at::cat({head.o, tail.o}, 1);
    expect_same({o, tail.final_state}, parts, run_operator(scan(), whole, reverse()), whole, 1e-5,
                1e-4);
}

/// Lays tensors out as [B, H, T, D] memory, then makes every other element of the last axis theirs.
TEST_P(ScanTest, ReadsStridedTensors) {
    const ScanTensors x = random_tensors(scan(), {.t = 70}).leaves(at::kFloat);
    const ScanTensors y = x.leaves(at::kFloat);
    const auto heads_first = [](const at::Tensor& t) {
        return t.transpose(1, 2).contiguous().transpose(1, 2);
    };
    const auto every_other = [](const at::Tensor& t) {
        return at::stack({t, at::full_like(t, NAN)}, -1).select(-1, 0);
    };
    const auto expected = run_operator(scan(), x, reverse());
    expect_same(run_operator(scan(), y.map(heads_first), reverse()), y, expected, x, 0, 0);
    const ScanTensors z = x.leaves(at::kFloat);
    ASSERT_FALSE(every_other(z.q).is_contiguous());
    expect_same(run_operator(scan(), z.map(every_other), reverse()), z,
                run_operator(scan(), x, reverse()), x, 0, 0);
}

TEST_P(ScanTest, GradientsOfStridedAndExpandedResults) {
    const ScanTensors x = random_tensors(scan(), {.t = 20}).leaves(at::kFloat);
    const auto out = run_operator(scan(), x, reverse());
    const auto expanded = torch::autograd::grad({out.o.sum(), out.final_state.sum()}, x.list(), {},
                                                /*retain_graph=*/true);
    const auto dense = gradients(out, x, at::ones_like(out.o), at::ones_like(out.final_state));
    for (std::size_t i = 0; i < dense.size(); ++i) {
        EXPECT_TRUE(at::equal(expanded[i], dense[i])) << x.named()[i].first;
    }
}

TEST_P(ScanTest, OneResultAloneHasGradients) {
    const ScanTensors x = random_tensors(scan(), {.t = 20});
    const ScanTensors ours = x.leaves(at::kDouble);
    const ScanTensors theirs = x.leaves(at::kDouble);
    for (const bool state_only : {false, true}) {
        const auto pick = [&](const ops::ScanOutput& out) {
            return state_only ? out.final_state.pow(2).sum() : out.o.pow(2).sum();
        };
        const auto grad = [&](const ops::ScanOutput& out, const ScanTensors& t) {
            return torch::autograd::grad({pick(out)}, t.list(), {}, std::nullopt, false,
                                         /*allow_unused=*/true);
        };
        const auto got = grad(run_operator(scan(), ours, reverse()), ours);
        const auto want = grad(run_oracle(scan(), theirs, reverse()), theirs);
        for (std::size_t i = 0; i < got.size(); ++i) {
            const at::Tensor reference =
                want[i].defined() ? want[i] : at::zeros_like(theirs.list()[i]);
            expect_close("gradient of " + x.named()[i].first, got[i], reference, 1e-12);
        }
    }
}

TEST_P(ScanTest, HalfTypesAreComputedInFloat32) {
    for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
        ScanTensors x = random_tensors(scan(), {.t = 70}).leaves(dtype);
        x.state = x.state.detach().to(at::kFloat).requires_grad_();
        const ScanTensors same = x.leaves(at::kFloat);
        const auto got = run_operator(scan(), x, reverse());
        EXPECT_EQ(got.o.scalar_type(), dtype);
        EXPECT_EQ(got.final_state.scalar_type(), at::kFloat);
        const auto want = run_operator(scan(), same, reverse());
        EXPECT_TRUE(at::equal(got.o, want.o.to(dtype)));
        EXPECT_TRUE(at::equal(got.final_state, want.final_state));
        const double rounding = dtype == at::kHalf ? 1e-3 : 8e-3;
        expect_same(got, x, want, same, rounding, rounding);
    }
}

TEST_P(ScanTest, SameBitsForAnyNumberOfThreads) {
    const ScanTensors x = random_tensors(scan(), {.t = 200}).leaves(at::kFloat);
    const int before = at::get_num_threads();
    std::vector<std::vector<at::Tensor>> runs;
    for (const int num_threads : {1, 2, 2}) {
        at::set_num_threads(num_threads);
        const auto out = run_operator(scan(), x, reverse());
        runs.push_back(gradients(out, x, at::ones_like(out.o), at::ones_like(out.final_state)));
        runs.back().push_back(out.o.detach());
        runs.back().push_back(out.final_state.detach());
    }
    at::set_num_threads(before);
    for (std::size_t i = 0; i < runs[0].size(); ++i) {
        EXPECT_TRUE(at::equal(runs[0][i], runs[1][i])) << "tensor " << i;
        EXPECT_TRUE(at::equal(runs[1][i], runs[2][i])) << "tensor " << i;
    }
}

TEST_P(ScanTest, NoTokensPassTheStateThrough) {
    const ScanTensors x = random_tensors(scan(), {.t = 0}).leaves(at::kFloat);
    const auto out = run_operator(scan(), x, reverse());
    EXPECT_EQ(out.o.size(1), 0);
    EXPECT_TRUE(at::equal(out.final_state, x.state));
    const at::Tensor weight = at::randn(out.final_state.sizes());
    const auto grads = gradients(out, x, at::ones_like(out.o), weight);
    EXPECT_TRUE(at::equal(grads.back(), weight));
}

INSTANTIATE_TEST_SUITE_P(Scans, ScanTest, ::testing::ValuesIn(all_cases()), [](const auto& test) {
    return name_of(test.param.scan) + (test.param.reverse ? "_reverse" : "_forward");
});

/// The tensors are too small for LibTorch's own kernels to start threads.
TEST(ScanThreadTest, RunsOnTheThreadsOfLibTorch) {
    const ScanTensors x = random_tensors(Scan::kGla, {.b = 2, .t = 5}).leaves(at::kFloat);
    const auto num_threads = [] {
        return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                             std::filesystem::directory_iterator());
    };
    const int before = at::get_num_threads();
    const auto threads_before = num_threads();
    const int wanted = static_cast<int>(threads_before) + 3;
    at::set_num_threads(wanted);
    (void)run_operator(Scan::kGla, x);
    EXPECT_GE(num_threads(), wanted);
    at::set_num_threads(before);
}

TEST(ScanGateTest, ConstantDecayIsReadWithoutACopyAndSummed) {
    const ScanTensors x = random_tensors(Scan::kSimpleGla, {.t = 40}).leaves(at::kDouble);
    const at::Tensor gamma =
        at::log(1 - at::exp2(-5 - at::arange(4, at::kDouble))).requires_grad_();
    ScanTensors expanded = x;
    expanded.g = gamma.expand({2, 40, 4});
    ScanTensors dense = x;
    dense.g = expanded.g.detach().contiguous().requires_grad_();
    const auto got = run_operator(Scan::kSimpleGla, expanded);
    const auto want = run_operator(Scan::kSimpleGla, dense);
    EXPECT_LE(rms_ratio(got.o, want.o), 1e-14);
    const auto got_grad = torch::autograd::grad({got.o.pow(2).sum()}, {gamma});
    const auto want_grad = torch::autograd::grad({want.o.pow(2).sum()}, {dense.g});
    EXPECT_LE(rms_ratio(got_grad[0], want_grad[0].sum(at::IntArrayRef{0, 1})), 1e-12);
}

}  // namespace
}  // namespace fla::testing
