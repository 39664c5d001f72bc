#include "flagen/models/expression_loss.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

namespace flagen::models {
namespace {

struct Case {
    at::Tensor predicted, target, mask;
};

Case make_case() {
    torch::manual_seed(3);
    Case c{torch::randn({5, 4}), torch::randn({5, 4}), torch::rand({5, 4}) > 0.3};
    c.mask[2].fill_(false);  // a gene without any measurement
    c.mask[0].fill_(true);
    return c;
}

double loop_loss(const Case& c, const ExpressionLoss& loss) {
    double mean_sum = 0, deviation_sum = 0;
    int genes = 0, entries = 0;
    for (std::int64_t g = 0; g < 5; ++g) {
        double sum = 0;
        int count = 0;
        for (std::int64_t s = 0; s < 4; ++s) {
            if (c.mask[g][s].item<bool>()) {
                sum += c.predicted[g][s].item<double>() - c.target[g][s].item<double>();
                ++count;
            }
        }
        if (count == 0) {
            continue;
        }
        ++genes;
        mean_sum += std::pow(sum / count / loss.mean_scale, 2);
        for (std::int64_t s = 0; s < 4; ++s) {
            if (c.mask[g][s].item<bool>()) {
                const double e = c.predicted[g][s].item<double>() - c.target[g][s].item<double>();
                deviation_sum += std::pow((e - sum / count) / loss.deviation_scale, 2);
                ++entries;
            }
        }
    }
    return mean_sum / genes + loss.deviation_weight * deviation_sum / entries;
}

TEST(ExpressionLoss, EqualsTheLoopOverGenesAndSamples) {
    const Case c = make_case();
    ExpressionLoss loss;
    loss.mean_scale = 2.4;
    loss.deviation_scale = 0.7;
    loss.deviation_weight = 0.3;
    EXPECT_NEAR(loss(c.predicted, c.target, c.mask).item<double>(), loop_loss(c, loss), 1e-6);
}

TEST(ExpressionLoss, MissingTargetsHaveNoEffectOnValueOrGradient) {
    Case c = make_case();
    const ExpressionLoss loss;
    const double before = loss(c.predicted, c.target, c.mask).item<double>();
    c.target.masked_fill_(~c.mask, std::nan(""));
    at::Tensor leaf = c.predicted.clone().requires_grad_();
    const at::Tensor value = loss(leaf, c.target, c.mask);
    value.backward();
    EXPECT_EQ(value.item<double>(), before);
    EXPECT_TRUE(leaf.grad().isfinite().all().item<bool>());
    EXPECT_EQ(leaf.grad().masked_select(~c.mask).abs().max().item<double>(), 0.0);
}

TEST(ExpressionLoss, HuberIsHalfTheSquareForSmallErrors) {
    const Case c = make_case();
    ExpressionLoss mse;
    ExpressionLoss huber;
    huber.kind = ExpressionLoss::Kind::kHuber;
    huber.huber_delta = 1e3;
    EXPECT_NEAR(2.0 * huber(c.predicted, c.target, c.mask).item<double>(),
                mse(c.predicted, c.target, c.mask).item<double>(), 1e-5);
}

TEST(TargetScale, StandardisedTargetsHaveUnitSpread) {
    torch::manual_seed(4);
    const at::Tensor values = torch::randn({200, 6}) * 0.5 + torch::randn({200, 1}) * 3 + torch::randn({6});
    const at::Tensor mask = torch::ones({200, 6}, torch::kBool);
    const auto scale = TargetScale::fit(values, mask);
    const at::Tensor centred = values.to(at::kDouble) - values.to(at::kDouble).mean(0);
    const at::Tensor gene_mean = centred.mean(1, true);
    EXPECT_LT((scale.sample_mean.to(at::kDouble) - values.to(at::kDouble).mean(0)).abs().max().item<double>(), 1e-6);
    EXPECT_NEAR(scale.mean_scale, gene_mean.std(false).item<double>(), 1e-9);
    EXPECT_NEAR(scale.deviation_scale, (centred - gene_mean).square().mean().sqrt().item<double>(), 1e-9);
}

TEST(TargetScale, ConstantTargetsKeepTheScaleOne) {
    const auto scale = TargetScale::fit(torch::full({4, 3}, 2.0F), torch::ones({4, 3}, torch::kBool));
    EXPECT_EQ(scale.mean_scale, 1.0);
    EXPECT_EQ(scale.deviation_scale, 1.0);
}

}  // namespace
}  // namespace flagen::models
