#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <vector>

#include "flagen/error.h"
#include "flagen/models/conv_dna.h"
#include "flagen/models/conv_tower.h"
#include "models/gradient_check.h"
#include "strided_conv.h"

namespace flagen::models {
namespace {

at::Tensor some_codes(std::int64_t windows, std::int64_t length) {
    return torch::randint(0, 5, {windows, length}, torch::kByte);
}

TEST(OneHotBases, PutsZerosForN) {
    const at::Tensor codes = torch::tensor({{0, 1, 2, 3, 4, 255}}, torch::kByte);
    const at::Tensor hot = one_hot_bases(codes, at::kFloat);
    const at::Tensor expected = torch::eye(4).unsqueeze(0);
    EXPECT_TRUE(torch::equal(hot.narrow(1, 0, 4), expected));
    EXPECT_EQ(hot.narrow(1, 4, 2).abs().sum().item<float>(), 0.0F);
    EXPECT_EQ(hot.sizes(), (std::vector<std::int64_t>{1, 6, 4}));
}

TEST(OneHotBases, RejectsOtherDtypes) {
    EXPECT_THROW((void)one_hot_bases(torch::zeros({1, 4}), at::kFloat), Error);
}

/// Output token t of the stem, by the sum in the header.
double naive_stem(const at::Tensor& codes, const at::Tensor& weight, std::int64_t filter,
                  std::int64_t t, std::int64_t stride) {
    const std::int64_t kernel = weight.size(2);
    const std::int64_t first = t * stride - (kernel - stride + 1) / 2;
    double sum = 0;
    for (std::int64_t j = 0; j < kernel; ++j) {
        const std::int64_t base = first + j;
        if (base < 0 || base >= codes.size(1)) {
            continue;
        }
        const auto code = codes[0][base].item<std::uint8_t>();
        sum += code < 4 ? weight[filter][code][j].item<double>() : 0.0;
    }
    return sum;
}

TEST(ConvDna, EqualsASumOverBases) {
    for (const auto& [kernel, stride] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{15, 2}, {16, 2}, {5, 1}, {4, 4}}) {
        torch::manual_seed(1);
        ConvDnaOptions options;
        options.filters = 3;
        options.kernel_size = kernel;
        options.stride = stride;
        options.use_bias = false;
        ConvDna stem(options, input_shape(64));
        stem.to(torch::kDouble);
        const at::Tensor codes = some_codes(1, 64);
        const at::Tensor y = stem.forward(codes);
        ASSERT_EQ(y.sizes(), (std::vector<std::int64_t>{1, 64 / stride, 3}));
        EXPECT_EQ(stem.output(), (StreamShape{Layout::kTokens, 64 / stride, 3, stride}));
        const at::Tensor weight = stem.named_parameters()["conv.weight"];
        for (std::int64_t t = 0; t < 64 / stride; ++t) {
            EXPECT_NEAR(y[0][t][2].item<double>(), naive_stem(codes, weight, 2, t, stride), 1e-12)
                << "kernel " << kernel << " stride " << stride << " token " << t;
        }
    }
}

TEST(ConvDna, StartsFromTheTorchGeneratorAlone) {
    const auto weights = [](std::uint64_t seed) {
        torch::manual_seed(seed);
        return ConvDna({}, input_shape(64)).named_parameters()["conv.weight"].clone();
    };
    EXPECT_TRUE(torch::equal(weights(3), weights(3)));
    EXPECT_FALSE(torch::equal(weights(3), weights(4)));
}

TEST(ConvTower, HalvesTokensAStage) {
    ConvTowerOptions options;
    options.filters = {6, 8, 10};
    const StreamShape input{Layout::kTokens, 64, 4, 2};
    ConvTower tower(options, input);
    const at::Tensor y = tower.forward(torch::randn({2, 64, 4}));
    EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{2, 8, 10}));
    EXPECT_EQ(tower.output(), (StreamShape{Layout::kTokens, 8, 10, 16}));
    EXPECT_GE(y.min().item<float>(), 0.0F);  // relu comes last
}

TEST(ConvTower, KeepsBatchNormBuffersInTheState) {
    ConvTowerOptions options;
    options.filters = {6};
    ConvTower tower(options, {Layout::kTokens, 64, 4, 2});
    const at::Tensor x = torch::randn({1, 64, 4}) + 1.0;
    const at::Tensor before = tower.named_buffers()["norm_0.running_mean"].clone();
    const at::Tensor trained = tower.forward(x);
    const at::Tensor after = tower.named_buffers()["norm_0.running_mean"].clone();
    EXPECT_FALSE(torch::equal(before, after));
    tower.eval();
    const at::Tensor evaluated = tower.forward(x);
    EXPECT_FALSE(torch::allclose(trained, evaluated));
    EXPECT_TRUE(torch::equal(after, tower.named_buffers()["norm_0.running_mean"]));
    // Running statistics are 0.9 of the start (0, 1) and 0.1 of the batch's.
    const at::Tensor conv =
        at::conv1d(x.transpose(1, 2), tower.named_parameters()["conv_0.weight"], {}, 2, 2);
    EXPECT_TRUE(torch::allclose(after, 0.1 * conv.mean(at::IntArrayRef{0, 2}), 1e-5, 1e-6));
}

TEST(ConvTower, AllNormsAndResidualsHaveExactGradients) {
    for (const NormType norm :
         {NormType::kBatch, NormType::kLayer, NormType::kRms, NormType::kNone}) {
        torch::manual_seed(2);
        ConvTowerOptions options;
        options.filters = {3, 4};
        options.norm = norm;
        options.activation = Activation::kGelu;  // smooth, unlike relu
        options.residual = true;
        ConvTower tower(options, {Layout::kTokens, 16, 2, 1});
        tower.to(torch::kDouble);
        at::Tensor x = torch::randn({2, 16, 2}, torch::kDouble).requires_grad_(true);
        const auto loss = [&] {
            const at::Tensor y = tower.forward(x);
            return (y * testing::probe_like(y)).sum();
        };
        auto leaves = testing::named_leaves(tower);
        leaves.emplace_back("x", x);
        testing::expect_gradients(loss, leaves);
    }
}

TEST(NormLayer, MatchesItsFormulas) {
    torch::manual_seed(3);
    const at::Tensor x = torch::randn({2, 5, 8}, torch::kDouble) * 3.0 + 1.0;
    NormLayer layer(NormType::kLayer, 8);
    NormLayer rms(NormType::kRms, 8);
    layer.to(torch::kDouble);
    rms.to(torch::kDouble);
    const at::Tensor mean = x.mean(-1, true);
    const at::Tensor variance = (x - mean).square().mean(-1, true);
    EXPECT_TRUE(torch::allclose(layer.forward(x), (x - mean) / (variance + 1e-5).sqrt(), 1e-10));
    EXPECT_TRUE(
        torch::allclose(rms.forward(x), x / (x.square().mean(-1, true) + 1e-5).sqrt(), 1e-10));
    NormLayer batch(NormType::kBatch, 8);
    batch.to(torch::kDouble);
    const at::Tensor rows = x.flatten(0, 1);
    const at::Tensor centred = rows - rows.mean(0);
    EXPECT_TRUE(torch::allclose(batch.forward(x).flatten(0, 1),
                                centred / (centred.square().mean(0) + 1e-5).sqrt(), 1e-10));
}

TEST(StridedConv, EqualsConv1d) {
    for (const auto& [kernel, stride] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {1, 1}, {3, 1}, {5, 1}, {2, 2}, {4, 2}, {5, 2}, {15, 2}, {7, 3}, {8, 4}}) {
        torch::manual_seed(19);
        at::Tensor x = torch::randn({2, 24, 3}, torch::kDouble).requires_grad_(true);
        at::Tensor weight = torch::randn({4, 3, kernel}, torch::kDouble).requires_grad_(true);
        at::Tensor bias = torch::randn({4}, torch::kDouble).requires_grad_(true);
        const at::Tensor y = strided_conv(x, weight, bias, stride);
        // conv1d with the same padding on both sides; what it makes beyond T / stride is cut off.
        const at::Tensor z =
            at::conv1d(x.transpose(1, 2), weight, bias, stride, (kernel - stride + 1) / 2)
                .narrow(2, 0, 24 / stride)
                .transpose(1, 2);
        ASSERT_EQ(y.sizes(), z.sizes());
        EXPECT_TRUE(torch::allclose(y, z, 1e-10, 1e-12)) << kernel << " " << stride;
        const at::Tensor probe = testing::probe_like(y);
        const auto found = torch::autograd::grad({(y * probe).sum()}, {x, weight, bias});
        const auto expected = torch::autograd::grad({(z * probe).sum()}, {x, weight, bias});
        for (std::size_t i = 0; i < 3; ++i) {
            EXPECT_TRUE(torch::allclose(found[i], expected[i], 1e-10, 1e-12))
                << kernel << " " << stride << " gradient " << i;
        }
    }
    EXPECT_THROW((void)strided_conv(torch::zeros({1, 5, 2}), torch::zeros({2, 2, 2}), {}, 2),
                 Error);
}

TEST(StridedConv, FollowsAutocast) {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::Tensor x = torch::randn({1, 8, 4}).requires_grad_(true);
    at::Tensor weight = torch::randn({6, 4, 5}).requires_grad_(true);
    const at::Tensor y = strided_conv(x, weight, {}, 2);
    EXPECT_TRUE(at::autocast::is_autocast_enabled(at::kCPU));
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
    EXPECT_EQ(y.scalar_type(), at::kBFloat16);
    EXPECT_TRUE(torch::allclose(y.to(at::kFloat), strided_conv(x, weight, {}, 2), 0.05, 0.1));
    y.sum().backward();
    EXPECT_EQ(x.grad().scalar_type(), at::kFloat);
    EXPECT_EQ(weight.grad().scalar_type(), at::kFloat);
}

TEST(NormLayer, KeepsTheDtypeAndComputesInFp32) {
    NormLayer rms(NormType::kRms, 64);
    const at::Tensor x = torch::randn({1, 3, 64});
    const at::Tensor y = rms.forward(x.to(at::kBFloat16));
    EXPECT_EQ(y.scalar_type(), at::kBFloat16);
    const at::Tensor exact = rms.forward(x.to(at::kBFloat16).to(at::kFloat));
    EXPECT_TRUE(torch::equal(y, exact.to(at::kBFloat16)));
}

}  // namespace
}  // namespace flagen::models
