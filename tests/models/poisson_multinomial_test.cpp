#include "flagen/models/poisson_multinomial.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "models/gradient_check.h"
#include "support/run_python.h"
#include "support/temp_dir.h"

namespace flagen::models {
namespace {

at::Tensor some_counts(at::IntArrayRef sizes) {
    return torch::rand(sizes, torch::kDouble).pow(3) * 40.0;
}

std::vector<double> numpy_values(const PoissonMultinomialLoss& loss, const at::Tensor& predicted,
                                 const at::Tensor& target) {
    const flagen::testing::TempDir dir;
    const at::Tensor both = at::stack({predicted.detach(), target}).contiguous();
    const std::string bytes(reinterpret_cast<const char*>(both.data_ptr<double>()),
                            static_cast<std::size_t>(both.numel()) * sizeof(double));
    const auto number = [](double value) {
        std::ostringstream text;
        text.precision(17);
        text << value;
        return text.str();
    };
    std::istringstream output(flagen::testing::run_python_file(
        (std::filesystem::path(__FILE__).parent_path() / "poisson_multinomial_reference.py")
            .string(),
        {dir.write("values", bytes), std::to_string(predicted.size(0)),
         std::to_string(predicted.size(1)), std::to_string(predicted.size(2)),
         number(loss.total_weight), number(loss.weight_range), number(loss.weight_exp)}));
    std::vector<double> values;
    for (double value = 0; output >> value;) {
        values.push_back(value);
    }
    return values;
}

TEST(PoissonMultinomial, EqualsNumpy) {
    torch::manual_seed(1);
    for (const PoissonMultinomialLoss& loss :
         {PoissonMultinomialLoss{}, PoissonMultinomialLoss{1.0, 1.0, 4.0},
          PoissonMultinomialLoss{0.2, 8.0, 6.0}, PoissonMultinomialLoss{0.0, 2.5, 2.0}}) {
        at::Tensor predicted = (some_counts({3, 16, 5}) + 0.1).requires_grad_(true);
        at::Tensor target = some_counts({3, 16, 5});
        target[1].select(1, 2).zero_();  // a track without any signal
        const std::vector<double> expected = numpy_values(loss, predicted, target);
        ASSERT_EQ(expected.size(), 2U + (240 + 6) / 7);
        const at::Tensor value = loss(predicted, target);
        EXPECT_EQ(value.scalar_type(), at::kDouble);
        EXPECT_NEAR(value.item<double>(), expected[0], 1e-12 * std::abs(expected[0]));
        EXPECT_NEAR(loss.position_weights(16).sum().item<double>(), expected[1], 1e-12);
        value.backward();
        const at::Tensor gradient = predicted.grad().flatten();
        for (std::size_t i = 0; i + 2 < expected.size(); ++i) {
            const double found = gradient[static_cast<std::int64_t>(7 * i)].item<double>();
            EXPECT_NEAR(found, expected[i + 2], 2e-6 * std::max(1.0, std::abs(found)));
        }
    }
}

TEST(PoissonMultinomial, HasExactGradients) {
    torch::manual_seed(2);
    const PoissonMultinomialLoss loss{0.2, 4.0, 4.0};
    at::Tensor predicted = (some_counts({2, 9, 3}) + 0.1).requires_grad_(true);
    const at::Tensor target = some_counts({2, 9, 3});
    testing::expect_gradients([&] { return loss(predicted, target); }, {{"predicted", predicted}},
                              20);
}

TEST(PoissonMultinomial, WeightsFallToOneOverTheRangeAtBothEnds) {
    const at::Tensor weights = PoissonMultinomialLoss{0.2, 8.0, 4.0}.position_weights(101);
    EXPECT_NEAR(weights[0].item<double>(), 1.0 / 8.0, 1e-12);
    EXPECT_NEAR(weights[100].item<double>(), 1.0 / 8.0, 1e-12);
    EXPECT_EQ(weights[50].item<double>(), 1.0);
    EXPECT_TRUE(torch::allclose(weights, weights.flip(0)));
    EXPECT_TRUE(torch::equal(PoissonMultinomialLoss{}.position_weights(5),
                             torch::ones({5}, torch::kDouble)));
}

TEST(PoissonMultinomial, IsSmallestAtTheTarget) {
    torch::manual_seed(3);
    const PoissonMultinomialLoss loss;
    const at::Tensor target = some_counts({1, 32, 4}) + 0.5;
    const double best = loss(target, target).item<double>();
    EXPECT_GT(loss(target * 1.3, target).item<double>(), best);
    EXPECT_GT(loss(target * 0.7, target).item<double>(), best);
    EXPECT_GT(loss(target.roll(1, 1), target).item<double>(), best);
}

TEST(PoissonMultinomial, InFp32StaysNearFp64AtFullLength) {
    torch::manual_seed(4);
    const PoissonMultinomialLoss loss;
    const at::Tensor predicted = some_counts({1, 6144, 8}) * 0.05 + 1e-4;
    const at::Tensor target = some_counts({1, 6144, 8}) * 0.05;
    const double exact = loss(predicted, target).item<double>();
    const at::Tensor narrow = loss(predicted.to(at::kFloat), target.to(at::kFloat));
    EXPECT_EQ(narrow.scalar_type(), at::kFloat);
    EXPECT_NEAR(narrow.item<double>(), exact, 2e-6 * std::abs(exact));
    const at::Tensor half = loss(predicted.to(at::kBFloat16), target.to(at::kBFloat16));
    EXPECT_EQ(half.scalar_type(), at::kFloat);
}

TEST(PoissonMultinomial, RefusesWhatItCannotDo) {
    const at::Tensor counts = torch::ones({1, 4, 2});
    EXPECT_THROW((void)PoissonMultinomialLoss{}(counts, torch::ones({1, 4, 3})), Error);
    EXPECT_THROW((void)PoissonMultinomialLoss{}(counts[0], counts[0]), Error);
    EXPECT_THROW((void)(PoissonMultinomialLoss{0.2, 2.0, 3.0}(counts, counts)), Error) << "odd";
    EXPECT_THROW((void)(PoissonMultinomialLoss{0.2, 0.5, 4.0}(counts, counts)), Error);
    EXPECT_THROW((void)(PoissonMultinomialLoss{-0.2, 1.0, 4.0}(counts, counts)), Error);
    EXPECT_STREQ(PoissonMultinomialLoss{}.fault(), "");
}

}  // namespace
}  // namespace flagen::models
