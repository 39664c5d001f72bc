#include "flagen/models/residual_block.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>
#include <vector>

#include "models/gradient_check.h"

namespace flagen::models {
namespace {

const StreamShape kTokensShape{Layout::kTokens, 24, 8, 32};

LinearAttnBlockOptions small_options() {
    LinearAttnBlockOptions options;
    options.mixer.heads = 2;
    options.mixer.key = 4;
    options.mixer.value = 4;
    return options;
}

at::Tensor parameter(const torch::nn::Module& module, const std::string& name) {
    return *module.named_parameters().find(name);
}

TEST(FeedForward, MatchesItsFormulas) {
    torch::manual_seed(15);
    FeedForwardOptions options;
    options.expansion = 1.5;
    const at::Tensor x = torch::randn({2, 3, 8}, torch::kDouble);
    for (const auto activation : {FeedForwardActivation::kGelu, FeedForwardActivation::kRelu,
                                  FeedForwardActivation::kSwiglu}) {
        options.activation = activation;
        FeedForward layer(options, 8);
        layer.to(torch::kDouble);
        at::Tensor h =
            at::linear(x, parameter(layer, "up_proj.weight"), parameter(layer, "up_proj.bias"));
        if (activation == FeedForwardActivation::kSwiglu) {
            ASSERT_EQ(h.size(-1), 24);
            const at::Tensor a = h.narrow(-1, 0, 12);
            h = a * at::sigmoid(a) * h.narrow(-1, 12, 12);
        } else if (activation == FeedForwardActivation::kGelu) {
            h = h * 0.5 * (1.0 + at::erf(h / std::sqrt(2.0)));
        } else {
            h = h.clamp_min(0.0);
        }
        const at::Tensor expected =
            at::linear(h, parameter(layer, "down_proj.weight"), parameter(layer, "down_proj.bias"));
        EXPECT_TRUE(torch::allclose(layer.forward(x), expected, 1e-10, 1e-12));
    }
}

TEST(ResidualBlock, IsTheIdentityWhenItsBranchesAreZero) {
    torch::manual_seed(16);
    ResidualBlock block(small_options(), kTokensShape);
    const torch::NoGradGuard no_grad;
    for (const char* name : {"mixer.out_proj.weight", "feed_forward.down_proj.weight",
                             "feed_forward.down_proj.bias"}) {
        parameter(block, name).zero_();
    }
    const at::Tensor x = torch::randn({1, 24, 8});
    EXPECT_TRUE(torch::equal(block.forward(x), x));
}

TEST(ResidualBlock, LeavesTheFeedForwardOut) {
    LinearAttnBlockOptions options = small_options();
    options.feed_forward.expansion = 0.0;
    ResidualBlock block(options, kTokensShape);
    for (const auto& item : block.named_parameters()) {
        EXPECT_EQ(item.key().find("feed_forward"), std::string::npos) << item.key();
    }
}

TEST(ResidualBlock, HasExactGradients) {
    torch::manual_seed(17);
    LinearAttnBlockOptions options = small_options();
    options.residual.norm = NormType::kRms;
    options.feed_forward.activation = FeedForwardActivation::kSwiglu;
    ResidualBlock block(options, kTokensShape);
    block.to(torch::kDouble);
    at::Tensor x = torch::randn({1, 9, 8}, torch::kDouble).requires_grad_(true);
    const auto loss = [&] {
        const at::Tensor y = block.forward(x);
        return (y * testing::probe_like(y)).sum();
    };
    auto leaves = testing::named_leaves(block);
    leaves.emplace_back("x", x);
    testing::expect_gradients(loss, leaves, 3);
}

struct Step {
    at::Tensor output;
    std::vector<at::Tensor> gradients;
    at::Tensor next_random;
};

/// One training step of a block with dropout from a fixed seed.
Step run_step(bool checkpoint_activations) {
    torch::manual_seed(18);
    LinearAttnBlockOptions options = small_options();
    options.residual.dropout = 0.3;
    options.feed_forward.dropout = 0.3;
    options.residual.checkpoint_activations = checkpoint_activations;
    ResidualBlock block(options, kTokensShape);
    at::Tensor x = torch::randn({2, 24, 8}).requires_grad_(true);
    Step step;
    const at::Tensor y = block.forward(x * 1.0);
    step.output = y.detach();
    (y * testing::probe_like(y)).sum().backward();
    step.gradients.push_back(x.grad());
    for (const at::Tensor& parameter : block.parameters()) {
        step.gradients.push_back(parameter.grad());
    }
    step.next_random = torch::randn({4});
    return step;
}

TEST(ResidualBlock, CheckpointingChangesNoBit) {
    const Step plain = run_step(false);
    const Step checkpointed = run_step(true);
    EXPECT_TRUE(torch::equal(plain.output, checkpointed.output));
    ASSERT_EQ(plain.gradients.size(), checkpointed.gradients.size());
    for (std::size_t i = 0; i < plain.gradients.size(); ++i) {
        ASSERT_TRUE(checkpointed.gradients[i].defined()) << i;
        EXPECT_TRUE(torch::equal(plain.gradients[i], checkpointed.gradients[i])) << i;
    }
    // The second run must not move the generator either, or a resumed run would differ.
    EXPECT_TRUE(torch::equal(plain.next_random, checkpointed.next_random));
}

TEST(ResidualBlock, DropoutFollowsTheTorchGenerator) {
    EXPECT_TRUE(torch::equal(run_step(false).output, run_step(false).output));
}

}  // namespace
}  // namespace flagen::models
