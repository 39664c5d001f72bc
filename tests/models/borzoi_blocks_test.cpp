#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>
#include <vector>

#include "flagen/error.h"
#include "flagen/models/conv_dna.h"
#include "flagen/models/conv_nac.h"
#include "flagen/models/res_tower.h"
#include "flagen/models/unet_conv.h"
#include "max_pool.h"
#include "models/gradient_check.h"
#include "models/plain_layers.h"

namespace flagen::models {
namespace {

using testing::plain_batch_norm;
using testing::plain_conv;
using testing::plain_depthwise;
using testing::plain_gelu_tanh;
using testing::plain_map;
using testing::plain_max_pool;
using testing::plain_scale;

constexpr double kEpsilon = 1e-3;  // of Keras' norms

at::Tensor parameter(const torch::nn::Module& module, const std::string& name) {
    const at::Tensor* found = module.named_parameters().find(name);
    EXPECT_NE(found, nullptr) << name;
    return found == nullptr ? at::Tensor() : found->detach();
}

/// Norm weights start at 1 and 0, scales at 0, where a fault could hide.
void randomise(torch::nn::Module& module) {
    const torch::NoGradGuard no_grad;
    for (const auto& item : module.named_parameters()) {
        item.value().copy_(torch::randn(item.value().sizes()) * 0.5 + 0.2);
    }
}

/// norm -> gelu -> convolution, of the parameters under `name`.
at::Tensor plain_nac(const torch::nn::Module& module, const std::string& name,
                     const at::Tensor& x) {
    const at::Tensor normed =
        plain_batch_norm(x, parameter(module, name + ".before.norm.weight"),
                         parameter(module, name + ".before.norm.bias"), kEpsilon);
    return plain_conv(plain_map(normed, plain_gelu_tanh), parameter(module, name + ".conv.weight"),
                      parameter(module, name + ".conv.bias"));
}

void expect_exact_gradients(torch::nn::Module& module, const std::function<at::Tensor()>& run,
                            std::vector<std::pair<std::string, at::Tensor>> inputs) {
    auto leaves = testing::named_leaves(module);
    leaves.insert(leaves.end(), inputs.begin(), inputs.end());
    const auto loss = [&run] {
        const at::Tensor y = run();
        return (y * testing::probe_like(y)).sum();
    };
    testing::expect_gradients(loss, leaves);
}

TEST(MaxPool, EqualsALoopAndSendsGradientsToTheFirstMaximum) {
    torch::manual_seed(1);
    for (const std::int64_t size : {1, 2, 3, 4}) {
        const at::Tensor x = torch::randn({2, 12, 5}, torch::kDouble);
        EXPECT_TRUE(torch::equal(max_pool_tokens(x, size), plain_max_pool(x, size))) << size;
    }
    at::Tensor x =
        torch::tensor({1.0, 3.0, 3.0, 2.0, 2.0, 2.0}).view({1, 6, 1}).requires_grad_(true);
    max_pool_tokens(x, 3).mul(torch::tensor({10.0, 20.0}).view({1, 2, 1})).sum().backward();
    EXPECT_TRUE(torch::equal(x.grad().flatten(), torch::tensor({0.0, 10.0, 0.0, 20.0, 0.0, 0.0})));
    EXPECT_THROW((void)max_pool_tokens(torch::zeros({1, 5, 2}), 2), Error);
}

TEST(MaxPool, PassesNanOn) {
    at::Tensor x = torch::zeros({1, 4, 1});
    x[0][2][0] = std::nan("");
    const at::Tensor y = max_pool_tokens(x, 2).flatten();
    EXPECT_FALSE(std::isnan(y[0].item<float>()));
    EXPECT_TRUE(std::isnan(y[1].item<float>()));
}

TEST(ConvDna, PoolsWhatItConvolvesAtEveryBase) {
    torch::manual_seed(2);
    ConvDnaOptions options;
    options.filters = 3;
    options.kernel_size = 5;
    options.stride = 1;
    options.pool_size = 4;
    ConvDna stem(options, input_shape(32));
    stem.to(torch::kDouble);
    EXPECT_EQ(stem.output(), (StreamShape{Layout::kTokens, 8, 3, 4}));
    const at::Tensor codes = torch::randint(0, 5, {2, 32}, torch::kByte);
    const at::Tensor expected =
        plain_max_pool(plain_conv(one_hot_bases(codes, at::kDouble), parameter(stem, "conv.weight"),
                                  parameter(stem, "conv.bias")),
                       4);
    EXPECT_TRUE(torch::allclose(stem.forward(codes), expected, 1e-12, 1e-12));
    expect_exact_gradients(stem, [&] { return stem.forward(codes); }, {});
}

TEST(ConvNac, EqualsPlainLoops) {
    torch::manual_seed(3);
    ConvNacOptions options;
    options.filters = 4;
    options.kernel_size = 3;
    options.pool_size = 2;
    ConvNac block(options, {Layout::kTokens, 8, 3, 32});
    block.to(torch::kDouble);
    randomise(block);
    EXPECT_EQ(block.output(), (StreamShape{Layout::kTokens, 4, 4, 64}));
    at::Tensor x = torch::randn({2, 8, 3}, torch::kDouble).requires_grad_(true);
    const at::Tensor expected = plain_max_pool(plain_nac(block, "nac", x), 2);
    EXPECT_TRUE(torch::allclose(block.forward(x), expected, 1e-10, 1e-12));
    expect_exact_gradients(block, [&] { return block.forward(x); }, {{"x", x}});
}

TEST(ConvNac, KeepsChannelsByDefaultAndMovesRunningStatisticsByItsMomentum) {
    torch::manual_seed(4);
    ConvNacOptions options;
    options.nac.bn_momentum = 0.75;
    ConvNac block(options, {Layout::kTokens, 6, 3, 1});
    block.to(torch::kDouble);
    EXPECT_EQ(block.output().num_channels, 3);
    const at::Tensor x = torch::randn({4, 6, 3}, torch::kDouble) + 2.0;
    (void)block.forward(x);
    const at::Tensor rows = x.flatten(0, 1);
    const at::Tensor mean = *block.named_buffers().find("nac.before.norm.running_mean");
    const at::Tensor variance = *block.named_buffers().find("nac.before.norm.running_var");
    EXPECT_TRUE(torch::allclose(mean, 0.25 * rows.mean(0)));
    block.eval();
    const at::Tensor normed =
        plain_scale(x, mean, variance, parameter(block, "nac.before.norm.weight"),
                    parameter(block, "nac.before.norm.bias"), kEpsilon);
    const at::Tensor expected =
        plain_conv(plain_map(normed, plain_gelu_tanh), parameter(block, "nac.conv.weight"),
                   parameter(block, "nac.conv.bias"));
    EXPECT_TRUE(torch::allclose(block.forward(x), expected, 1e-10, 1e-12));
}

TEST(Cropping1D, CutsBothEndsAndMovesTheOffset) {
    StreamShape input{Layout::kTokens, 10, 2, 32};
    input.offset_bp = 64;
    input.skips = {{20, 2}};
    CroppingOptions options;
    options.cropping = 3;
    Cropping block(options, input);
    EXPECT_EQ(block.output().num_tokens, 4);
    EXPECT_EQ(block.output().offset_bp, 64 + 3 * 32);
    EXPECT_EQ(block.output().end_bp(), 64 + 7 * 32);
    EXPECT_TRUE(block.output().skips.empty());
    const at::Tensor x = torch::randn({2, 10, 2});
    EXPECT_TRUE(torch::equal(block.forward(x), x.slice(1, 3, 7)));
}

ResTowerOptions small_tower(std::int64_t num_convs) {
    ResTowerOptions options;
    options.filters_init = 3;
    options.filters_end = 5;
    options.kernel_size = 3;
    options.num_convs = num_convs;
    options.repeat = 3;
    return options;
}

TEST(ResTower, RoundsItsFiltersAsBorzoi) {
    ResTowerOptions options;
    options.filters_init = 608;
    options.filters_end = 1536;
    options.divisible_by = 32;
    options.repeat = 6;
    EXPECT_EQ(options.filters(), (std::vector<std::int64_t>{608, 736, 896, 1056, 1280, 1536}));
    EXPECT_EQ(small_tower(1).filters(), (std::vector<std::int64_t>{3, 4, 5}));
    options.repeat = 1;
    EXPECT_EQ(options.filters(), (std::vector<std::int64_t>{608}));
    options.repeat = 2;
    options.filters_end = 0;
    EXPECT_EQ(options.filters(), (std::vector<std::int64_t>{608, 608}));
}

TEST(ResTower, EqualsPlainLoopsAndOffersWhatItPools) {
    for (const std::int64_t num_convs : {1, 3}) {
        torch::manual_seed(5);
        const StreamShape input{Layout::kTokens, 16, 2, 2};
        ResTower tower(small_tower(num_convs), input);
        tower.to(torch::kDouble);
        randomise(tower);
        EXPECT_EQ(tower.output().num_tokens, 2);
        EXPECT_EQ(tower.output().bp_per_token, 16);
        EXPECT_EQ(tower.output().skips, (std::vector<SkipShape>{{16, 3}, {8, 4}, {4, 5}}));

        at::Tensor x = torch::randn({2, 16, 2}, torch::kDouble).requires_grad_(true);
        at::Tensor y = x;
        std::vector<at::Tensor> offered;
        for (int stage = 0; stage < 3; ++stage) {
            const std::string number = std::to_string(stage);
            const at::Tensor first = plain_nac(tower, "conv_" + number + "_0", y);
            at::Tensor branch = first;
            for (std::int64_t i = 1; i < num_convs; ++i) {
                branch = plain_nac(tower, detail::concatenate("conv_", stage, "_", i), branch);
            }
            offered.push_back(
                num_convs == 1 ? first : first + parameter(tower, "scale_" + number) * branch);
            y = plain_max_pool(offered.back(), 2);
        }
        TrunkSkips skips({true, false, true});
        EXPECT_TRUE(torch::allclose(tower.forward_with_skips(x, skips), y, 1e-9, 1e-11));
        EXPECT_TRUE(torch::allclose(skips.take(4), offered[2], 1e-9, 1e-11));
        EXPECT_TRUE(torch::allclose(skips.take(16), offered[0], 1e-9, 1e-11));
        EXPECT_THROW((void)skips.take(8), Error);
        EXPECT_THROW((void)skips.take(16), Error) << "a skip is taken once";
        expect_exact_gradients(tower, [&] { return tower.forward(x); }, {{"x", x}});
    }
}

TEST(UnetConv, EqualsPlainLoops) {
    for (const bool upsample_conv : {false, true}) {
        torch::manual_seed(6);
        StreamShape input{Layout::kTokens, 4, 3, 64};
        input.skips = {{16, 9}, {8, 2}, {8, 5}};
        UnetConvOptions options;
        options.upsample_conv = upsample_conv;
        UnetConv block(options, input);
        block.to(torch::kDouble);
        randomise(block);
        EXPECT_EQ(block.taken_skip(), std::optional<std::size_t>(2));  // the newest of two
        StreamShape expected_shape{Layout::kTokens, 8, 3, 32};
        expected_shape.skips = {{16, 9}, {8, 2}};
        EXPECT_EQ(block.output(), expected_shape);

        at::Tensor x = torch::randn({2, 4, 3}, torch::kDouble).requires_grad_(true);
        at::Tensor z = torch::randn({2, 8, 5}, torch::kDouble).requires_grad_(true);
        const auto run = [&] {
            TrunkSkips skips({true});
            skips.offer(z);
            return block.forward_with_skips(x, skips);
        };
        at::Tensor coarse =
            upsample_conv
                ? plain_nac(block, "coarse", x)
                : plain_map(plain_batch_norm(x, parameter(block, "coarse.norm.weight"),
                                             parameter(block, "coarse.norm.bias"), kEpsilon),
                            plain_gelu_tanh);
        at::Tensor sum = plain_nac(block, "skip", z);
        for (std::int64_t t = 0; t < 8; ++t) {
            sum.select(1, t).add_(coarse.select(1, t / 2));
        }
        const at::Tensor expected = plain_conv(
            plain_depthwise(sum, parameter(block, "depthwise.weight")),
            parameter(block, "pointwise.weight").unsqueeze(2), parameter(block, "pointwise.bias"));
        EXPECT_TRUE(torch::allclose(run(), expected, 1e-9, 1e-11)) << upsample_conv;
        expect_exact_gradients(block, run, {{"x", x}, {"z", z}});
        EXPECT_THROW((void)block.forward(x), Error);
    }
}

}  // namespace
}  // namespace flagen::models
