#include "flagen/models/softmax_mixer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <vector>

#include "models/gradient_check.h"

namespace flagen::models {
namespace {

constexpr std::int64_t kChannels = 6;

/// Rotates one vector by its position with plain sines and cosines.
std::vector<double> rotated(const std::vector<double>& x, double position, double base) {
    const std::size_t half = x.size() / 2;
    std::vector<double> y(x.size());
    for (std::size_t i = 0; i < half; ++i) {
        const double angle =
            position * std::pow(base, -static_cast<double>(i) / static_cast<double>(half));
        y[i] = x[i] * std::cos(angle) - x[i + half] * std::sin(angle);
        y[i + half] = x[i + half] * std::cos(angle) + x[i] * std::sin(angle);
    }
    return y;
}

TEST(RotatePositions, TurnsPairsByPosition) {
    const at::Tensor x = torch::randn({1, 1, 5, 6}, torch::kDouble);
    const at::Tensor y = rotate_positions(x, 100.0);
    for (std::int64_t t = 0; t < 5; ++t) {
        std::vector<double> in;
        for (std::int64_t i = 0; i < 6; ++i) {
            in.push_back(x[0][0][t][i].item<double>());
        }
        const std::vector<double> expected = rotated(in, static_cast<double>(t), 100.0);
        for (std::int64_t i = 0; i < 6; ++i) {
            EXPECT_NEAR(y[0][0][t][i].item<double>(), expected[static_cast<std::size_t>(i)], 1e-12);
        }
    }
}

TEST(RotatePositions, ScoresDependOnDistanceAlone) {
    const at::Tensor q = torch::randn({4}, torch::kDouble).expand({1, 1, 9, 4});
    const at::Tensor k = torch::randn({4}, torch::kDouble).expand({1, 1, 9, 4});
    const at::Tensor scores =
        rotate_positions(q, 50.0).matmul(rotate_positions(k, 50.0).transpose(2, 3))[0][0];
    EXPECT_NEAR(scores[2][1].item<double>(), scores[8][7].item<double>(), 1e-12);
    EXPECT_GT(std::abs(scores[2][1].item<double>() - scores[2][0].item<double>()), 1e-6);
}

/// softmax(q k^T / sqrt(K)) v written out.
at::Tensor explicit_attention(SoftmaxMixer& mixer, const SoftmaxMixerOptions& options,
                              const at::Tensor& x) {
    const auto weight = [&](const std::string& name) {
        return *mixer.named_parameters().find(name + ".weight");
    };
    const auto heads = [&](const std::string& name, std::int64_t width) {
        return at::linear(x, weight(name)).unflatten(-1, {options.heads, width}).transpose(1, 2);
    };
    at::Tensor q = heads("q_proj", options.key);
    at::Tensor k = heads("k_proj", options.key);
    if (options.rotary) {
        q = rotate_positions(q, options.rotary_base);
        k = rotate_positions(k, options.rotary_base);
    }
    const at::Tensor scores =
        q.matmul(k.transpose(2, 3)) / std::sqrt(static_cast<double>(options.key));
    const at::Tensor o = scores.softmax(-1).matmul(heads("v_proj", options.value));
    return at::linear(o.transpose(1, 2).flatten(2), weight("out_proj"));
}

TEST(SoftmaxMixer, EqualsExplicitAttention) {
    for (const bool rotary : {false, true}) {
        for (const std::int64_t value : {2, 4, 7}) {  // narrower, equal and wider than the key
            torch::manual_seed(12);
            SoftmaxMixerOptions options;
            options.heads = 3;
            options.key = 4;
            options.value = value;
            options.rotary = rotary;
            SoftmaxMixer mixer(options, kChannels);
            mixer.to(torch::kDouble);
            const at::Tensor x = torch::randn({2, 13, kChannels}, torch::kDouble);
            const torch::NoGradGuard no_grad;
            EXPECT_TRUE(torch::allclose(mixer.forward(x), explicit_attention(mixer, options, x),
                                        1e-9, 1e-11));
        }
    }
}

TEST(SoftmaxMixer, HasExactGradients) {
    torch::manual_seed(13);
    SoftmaxMixerOptions options;
    options.heads = 2;
    options.key = 4;
    options.value = 3;
    SoftmaxMixer mixer(options, kChannels);
    mixer.to(torch::kDouble);
    at::Tensor x = torch::randn({1, 7, kChannels}, torch::kDouble).requires_grad_(true);
    const auto loss = [&] {
        const at::Tensor y = mixer.forward(x);
        return (y * testing::probe_like(y)).sum();
    };
    auto leaves = testing::named_leaves(mixer);
    leaves.emplace_back("x", x);
    testing::expect_gradients(loss, leaves);
}

TEST(SoftmaxMixer, DropsAttentionInTrainingOnly) {
    torch::manual_seed(14);
    SoftmaxMixerOptions options;
    options.attention_dropout = 0.5;
    SoftmaxMixer mixer(options, kChannels);
    const at::Tensor x = torch::randn({1, 32, kChannels});
    const torch::NoGradGuard no_grad;
    EXPECT_FALSE(torch::equal(mixer.forward(x), mixer.forward(x)));
    mixer.eval();
    EXPECT_TRUE(torch::equal(mixer.forward(x), mixer.forward(x)));
}

}  // namespace
}  // namespace flagen::models
