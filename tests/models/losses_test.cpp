#include "flagen/models/losses.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>

#include "flagen/error.h"

namespace flagen::models {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Case {
    at::Tensor predicted;  // [G, S]
    at::Tensor target;     // [G, S], NaN where the mask is false
    at::Tensor mask;
};

Case make_case(at::ScalarType dtype = at::kFloat) {
    torch::manual_seed(5);
    Case result;
    result.predicted = torch::randn({7, 5}, dtype).mul(2).requires_grad_(true);
    result.mask = torch::rand({7, 5}) > 0.3;
    result.target = torch::randn({7, 5}, dtype).masked_fill(~result.mask, kNan);
    return result;
}

/// The mean of LibTorch's own loss over the present entries alone.
at::Tensor reference(const Case& c, bool huber, double delta) {
    const at::Tensor p = c.predicted.masked_select(c.mask);
    const at::Tensor t = c.target.masked_select(c.mask);
    return huber ? torch::huber_loss(p, t, at::Reduction::Mean, delta) : torch::mse_loss(p, t);
}

at::Tensor gradient(const at::Tensor& loss, const at::Tensor& input) {
    return torch::autograd::grad({loss}, {input})[0];
}

TEST(Losses, ValueAndGradientEqualLibTorchsOnThePresentEntries) {
    const Case c = make_case(at::kDouble);
    for (const double delta : {0.3, 1.0, 5.0}) {
        const at::Tensor loss = masked_huber(c.predicted, c.target, c.mask, delta);
        const at::Tensor expected = reference(c, true, delta);
        EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-14);
        EXPECT_TRUE(at::allclose(gradient(loss, c.predicted), gradient(expected, c.predicted),
                                 1e-13, 1e-15));
    }
    const at::Tensor loss = masked_mse(c.predicted, c.target, c.mask);
    EXPECT_NEAR(loss.item<double>(), reference(c, false, 0).item<double>(), 1e-14);
    const at::Tensor grad = gradient(loss, c.predicted);
    EXPECT_TRUE(at::allclose(grad, gradient(reference(c, false, 0), c.predicted), 1e-13, 1e-15));
    EXPECT_TRUE(grad.masked_select(~c.mask).eq(0).all().item<bool>());
}

TEST(Losses, GradientsPassFiniteDifferences) {
    Case c = make_case(at::kDouble);
    const auto numeric = [&](const auto& loss_of, std::int64_t g, std::int64_t s) {
        const double step = 1e-6;
        const at::NoGradGuard no_grad;
        at::Tensor up = c.predicted.clone();
        at::Tensor down = c.predicted.clone();
        up[g][s] += step;
        down[g][s] -= step;
        return (loss_of(up) - loss_of(down)).template item<double>() / (2 * step);
    };
    const auto mse = [&](const at::Tensor& p) { return masked_mse(p, c.target, c.mask); };
    const auto huber = [&](const at::Tensor& p) { return masked_huber(p, c.target, c.mask, 0.8); };
    const at::Tensor mse_grad = gradient(mse(c.predicted), c.predicted);
    const at::Tensor huber_grad = gradient(huber(c.predicted), c.predicted);
    for (std::int64_t g = 0; g < 7; ++g) {
        for (std::int64_t s = 0; s < 5; ++s) {
            EXPECT_NEAR(mse_grad[g][s].item<double>(), numeric(mse, g, s), 1e-8);
            EXPECT_NEAR(huber_grad[g][s].item<double>(), numeric(huber, g, s), 1e-8);
        }
    }
}

TEST(Losses, HuberIsSmoothWhereItTurnsIntoALine) {
    const at::Tensor target = at::zeros({1, 3});
    const at::Tensor mask = at::ones({1, 3}, at::kBool);
    const at::Tensor predicted = torch::tensor({{0.0F, 2.0F, -2.0F}}).requires_grad_(true);
    const at::Tensor loss = masked_huber(predicted, target, mask, 2.0);
    EXPECT_FLOAT_EQ(loss.item<float>(), 4.0F / 3.0F);
    EXPECT_TRUE(
        at::allclose(gradient(loss, predicted), torch::tensor({{0.0F, 2.0F / 3, -2.0F / 3}})));
}

TEST(Losses, NothingPresentGivesZeroAndZeroGradients) {
    const at::Tensor target = at::full({2, 3}, kNan);
    const at::Tensor mask = at::zeros({2, 3}, at::kBool);
    const at::Tensor predicted = torch::randn({2, 3}).requires_grad_(true);
    for (const at::Tensor& loss :
         {masked_mse(predicted, target, mask), masked_huber(predicted, target, mask, 1.0)}) {
        EXPECT_EQ(loss.item<float>(), 0.0F);
        EXPECT_TRUE(gradient(loss, predicted).eq(0).all().item<bool>());
    }
    const at::Tensor none = torch::randn({0, 3}).requires_grad_(true);
    EXPECT_EQ(masked_mse(none, at::zeros({0, 3}), at::zeros({0, 3}, at::kBool)).item<float>(),
              0.0F);
}

TEST(Losses, HalfPrecisionIsSummedInFp32) {
    // 70,000 unit errors overflow fp16 and stall in bf16.
    const at::Tensor target = at::zeros({70'000, 1});
    const at::Tensor mask = at::ones({70'000, 1}, at::kBool);
    for (const auto dtype : {at::kBFloat16, at::kHalf}) {
        const at::Tensor predicted = at::ones({70'000, 1}, dtype).requires_grad_(true);
        const at::Tensor loss = masked_mse(predicted, target, mask);
        EXPECT_EQ(loss.scalar_type(), at::kFloat);
        EXPECT_FLOAT_EQ(loss.item<float>(), 1.0F);
        EXPECT_EQ(gradient(loss, predicted).scalar_type(), dtype);
    }
}

TEST(Losses, RefusesMismatchedArguments) {
    const Case c = make_case();
    EXPECT_THROW(masked_mse(c.predicted, c.target.slice(0, 0, 3), c.mask), Error);
    EXPECT_THROW(masked_mse(c.predicted, c.target, c.mask.slice(1, 0, 1)),
                 Error);  // no broadcasting
    EXPECT_THROW(masked_mse(c.predicted, c.target, c.mask.to(at::kFloat)), Error);
    EXPECT_THROW(masked_huber(c.predicted, c.target, c.mask, 0.0), Error);
}

}  // namespace
}  // namespace flagen::models
