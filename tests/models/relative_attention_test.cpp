#include "flagen/models/relative_attention.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "flagen/models/residual_block.h"
#include "models/gradient_check.h"

namespace flagen::models {
namespace {

RelativeAttentionOptions small_options() {
    RelativeAttentionOptions options;
    options.heads = 2;
    options.key_size = 3;
    options.num_position_features = 4;
    options.attention_dropout = 0.0;
    options.position_dropout = 0.0;
    return options;
}

/// One feature of one distance, by the formula in the header.
double plain_feature(std::int64_t distance, std::int64_t index, std::int64_t num_tokens,
                     std::int64_t num_features) {
    const std::int64_t half = num_features / 2;
    const std::int64_t i = index % half + 1;
    const double width = std::pow(static_cast<double>(num_tokens + 1),
                                  static_cast<double>(i) / static_cast<double>(half)) -
                         1.0;
    const double inside = std::abs(static_cast<double>(distance)) < width ? 1.0 : 0.0;
    const double sign = distance > 0 ? 1.0 : (distance < 0 ? -1.0 : 0.0);
    return index < half ? inside : sign * inside;
}

using Rows = std::vector<std::vector<double>>;  // [T][width]

Rows rows_of(const at::Tensor& x) {
    Rows rows;
    for (std::int64_t t = 0; t < x.size(0); ++t) {
        rows.emplace_back();
        for (std::int64_t c = 0; c < x.size(1); ++c) {
            rows.back().push_back(x[t][c].item<double>());
        }
    }
    return rows;
}

/// x W^T + b for every row; weight [out, in].
Rows map_rows(const Rows& x, const Rows& weight, const std::vector<double>& bias = {}) {
    Rows y;
    for (const auto& row : x) {
        y.emplace_back();
        for (std::size_t o = 0; o < weight.size(); ++o) {
            double sum = bias.empty() ? 0.0 : bias[o];
            for (std::size_t c = 0; c < row.size(); ++c) {
                sum += weight[o][c] * row[c];
            }
            y.back().push_back(sum);
        }
    }
    return y;
}

/// The whole layer for one window, by loops over queries and keys.
class PlainAttention {
  public:
    PlainAttention(const torch::nn::Module& layer, const RelativeAttentionOptions& options,
                   std::int64_t num_channels)
        : layer_(layer),
          options_(options),
          value_(static_cast<std::size_t>(num_channels / options.heads)) {}

    [[nodiscard]] Rows run(const Rows& x) const {
        const Rows q = map_rows(x, weight("q_proj.weight"));
        const Rows k = map_rows(x, weight("k_proj.weight"));
        const Rows v = map_rows(x, weight("v_proj.weight"));
        Rows joined(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
            for (std::size_t head = 0; head < static_cast<std::size_t>(options_.heads); ++head) {
                std::vector<double> weights;
                double sum = 0;
                for (std::size_t j = 0; j < x.size(); ++j) {
                    weights.push_back(
                        std::exp(logit(q[i], k[j], head,
                                       static_cast<std::int64_t>(j) - static_cast<std::int64_t>(i),
                                       static_cast<std::int64_t>(x.size()))));
                    sum += weights.back();
                }
                for (std::size_t c = 0; c < value_; ++c) {
                    double mean = 0;
                    for (std::size_t j = 0; j < x.size(); ++j) {
                        mean += weights[j] / sum * v[j][head * value_ + c];
                    }
                    joined[i].push_back(mean);
                }
            }
        }
        const at::Tensor bias = *layer_.named_parameters().find("out_proj.bias");
        return map_rows(joined, weight("out_proj.weight"), rows_of(bias.unsqueeze(0))[0]);
    }

  private:
    [[nodiscard]] Rows weight(const std::string& name) const {
        return rows_of(layer_.named_parameters().find(name)->detach());
    }
    [[nodiscard]] double bias(const std::string& name, std::size_t head, std::size_t c) const {
        return (*layer_.named_parameters().find(
            name))[static_cast<std::int64_t>(head)][0][static_cast<std::int64_t>(c)]
            .item<double>();
    }
    [[nodiscard]] double logit(const std::vector<double>& q, const std::vector<double>& k,
                               std::size_t head, std::int64_t distance,
                               std::int64_t num_tokens) const {
        std::vector<double> features;
        for (std::int64_t f = 0; f < options_.num_position_features; ++f) {
            features.push_back(
                plain_feature(distance, f, num_tokens, options_.num_position_features));
        }
        const std::vector<double> r = map_rows({features}, weight("position_proj.weight"))[0];
        double sum = 0;
        const auto key_size = static_cast<std::size_t>(options_.key_size);
        for (std::size_t c = 0; c < key_size; ++c) {
            const std::size_t column = head * key_size + c;
            const double scaled = q[column] / std::sqrt(static_cast<double>(options_.key_size));
            sum += (scaled + bias("content_bias", head, c)) * k[column];
            sum += (scaled + bias("position_bias", head, c)) * r[column];
        }
        return sum;
    }

    const torch::nn::Module& layer_;
    RelativeAttentionOptions options_;
    std::size_t value_;
};

TEST(CentralMaskFeatures, EqualTheirFormula) {
    const at::Tensor features = central_mask_features(9, 6);
    ASSERT_EQ(features.sizes(), (std::vector<std::int64_t>{17, 6}));
    for (std::int64_t distance = -8; distance <= 8; ++distance) {
        for (std::int64_t f = 0; f < 6; ++f) {
            EXPECT_EQ(features[distance + 8][f].item<double>(), plain_feature(distance, f, 9, 6))
                << distance << " " << f;
        }
    }
    EXPECT_THROW((void)central_mask_features(9, 5), Error);
}

TEST(CentralMaskFeatures, CountsOfBorzoisDistances) {
    // 4,096 tokens, 32 features: numpy's (abs(arange(-4095, 4096)) < 4097 ** (i / 16) - 1).sum()
    // for i = 1 .. 16.
    const std::vector<double> expected = {1,   3,   7,   15,   25,   43,   75,   127,
                                          213, 361, 607, 1023, 1721, 2895, 4871, 8191};
    const at::Tensor counts = central_mask_features(4096, 32).narrow(1, 0, 16).sum(0);
    EXPECT_TRUE(torch::equal(counts.to(at::kDouble), torch::tensor(expected, torch::kDouble)))
        << counts;
}

TEST(RelativeAttention, EqualsADoubleLoop) {
    torch::manual_seed(7);
    const RelativeAttentionOptions options = small_options();
    RelativeAttention layer(options, 4);
    layer.to(torch::kDouble);
    {
        const torch::NoGradGuard no_grad;  // biases start near 0
        for (const auto& item : layer.named_parameters()) {
            item.value().copy_(torch::randn(item.value().sizes()));
        }
    }
    for (const std::int64_t num_tokens : {1, 2, 7}) {
        const at::Tensor x = torch::randn({2, num_tokens, 4}, torch::kDouble);
        const at::Tensor y = layer.forward(x);
        for (std::int64_t b = 0; b < 2; ++b) {
            const Rows expected = PlainAttention(layer, options, 4).run(rows_of(x[b]));
            for (std::int64_t t = 0; t < num_tokens; ++t) {
                for (std::int64_t c = 0; c < 4; ++c) {
                    EXPECT_NEAR(y[b][t][c].item<double>(),
                                expected[static_cast<std::size_t>(t)][static_cast<std::size_t>(c)],
                                1e-11)
                        << num_tokens << " tokens, window " << b << ", token " << t;
                }
            }
        }
    }
}

/// The same with the logits of all pairs at once, by index instead of by shifting.
at::Tensor whole_matrix(RelativeAttention& layer, const RelativeAttentionOptions& options,
                        const at::Tensor& x) {
    const auto weight = [&](const std::string& name) {
        return *layer.named_parameters().find(name);
    };
    const auto split = [&](const at::Tensor& y) {
        return y.unflatten(-1, {options.heads, -1}).transpose(1, 2);
    };
    const std::int64_t num_tokens = x.size(1);
    const at::Tensor q = split(at::linear(x, weight("q_proj.weight"))) /
                         std::sqrt(static_cast<double>(options.key_size));
    const at::Tensor k = split(at::linear(x, weight("k_proj.weight")));
    const at::Tensor v = split(at::linear(x, weight("v_proj.weight")));
    const at::Tensor r =
        at::linear(central_mask_features(num_tokens, options.num_position_features).to(x.dtype()),
                   weight("position_proj.weight"))
            .unflatten(-1, {options.heads, options.key_size})
            .permute({1, 2, 0});
    const at::Tensor all = (q + weight("position_bias")).matmul(r);  // [B, H, T, 2 T - 1]
    const at::Tensor position = at::arange(num_tokens);
    const at::Tensor index = (position.unsqueeze(0) - position.unsqueeze(1) + num_tokens - 1)
                                 .expand({x.size(0), options.heads, -1, -1});
    const at::Tensor logits =
        (q + weight("content_bias")).matmul(k.transpose(2, 3)) + all.gather(3, index);
    const at::Tensor o = logits.softmax(-1).matmul(v).transpose(1, 2).flatten(2);
    return at::linear(o, weight("out_proj.weight"), weight("out_proj.bias"));
}

TEST(RelativeAttention, BlocksOfQueriesJoinWithoutASeam) {
    torch::manual_seed(8);
    const RelativeAttentionOptions options = small_options();
    RelativeAttention layer(options, 4);
    layer.to(torch::kDouble);
    at::Tensor x = torch::randn({1, 1100, 4}, torch::kDouble).requires_grad_(true);  // 512, 512, 76
    const at::Tensor y = layer.forward(x);
    const at::Tensor z = whole_matrix(layer, options, x);
    EXPECT_TRUE(torch::allclose(y, z, 1e-10, 1e-12));
    std::vector<at::Tensor> inputs = layer.parameters();
    inputs.push_back(x);
    const at::Tensor probe = testing::probe_like(y);
    const auto found = torch::autograd::grad({(y * probe).sum()}, inputs);
    const auto expected = torch::autograd::grad({(z * probe).sum()}, inputs);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        EXPECT_TRUE(torch::allclose(found[i], expected[i], 1e-8, 1e-10)) << "gradient " << i;
    }
}

TEST(RelativeAttention, HasExactGradients) {
    torch::manual_seed(9);
    RelativeAttention layer(small_options(), 4);
    layer.to(torch::kDouble);
    at::Tensor x = torch::randn({2, 6, 4}, torch::kDouble).requires_grad_(true);
    const auto loss = [&] {
        const at::Tensor y = layer.forward(x);
        return (y * testing::probe_like(y)).sum();
    };
    auto leaves = testing::named_leaves(layer);
    leaves.emplace_back("x", x);
    testing::expect_gradients(loss, leaves);
}

TEST(RelativeAttention, DropsInTrainingOnly) {
    torch::manual_seed(10);
    const at::Tensor x = torch::randn({1, 32, 4});
    const torch::NoGradGuard no_grad;
    for (const bool of_position : {false, true}) {
        RelativeAttentionOptions options = small_options();
        (of_position ? options.position_dropout : options.attention_dropout) = 0.5;
        RelativeAttention layer(options, 4);
        EXPECT_FALSE(torch::equal(layer.forward(x), layer.forward(x))) << of_position;
        layer.eval();
        EXPECT_TRUE(torch::equal(layer.forward(x), layer.forward(x))) << of_position;
    }
}

TransformerTowerOptions small_tower() {
    TransformerTowerOptions options;
    options.attention = small_options();
    options.dropout = 0.0;
    return options;
}

TEST(TransformerTower, IsPreNormAttentionThenAReluLayer) {
    torch::manual_seed(11);
    ResidualBlock block(small_tower(), {Layout::kTokens, 7, 4, 128});
    block.to(torch::kDouble);
    RelativeAttention attention(small_options(), 4);
    attention.to(torch::kDouble);
    const torch::NoGradGuard no_grad;
    for (const auto& item : attention.named_parameters()) {
        item.value().copy_(*block.named_parameters().find("mixer." + item.key()));
    }
    const auto weight = [&](const std::string& name) {
        return *block.named_parameters().find("feed_forward." + name);
    };
    const auto normed = [](const at::Tensor& x) {
        const at::Tensor centred = x - x.mean(-1, true);
        return centred / (centred.square().mean(-1, true) + 1e-3).sqrt();
    };
    at::Tensor x = torch::randn({2, 7, 4}, torch::kDouble);
    const at::Tensor y = block.forward(x);
    x = x + attention.forward(normed(x));
    const at::Tensor h =
        at::linear(normed(x), weight("up_proj.weight"), weight("up_proj.bias")).clamp_min(0.0);
    ASSERT_EQ(h.size(-1), 8);
    x = x + at::linear(h, weight("down_proj.weight"), weight("down_proj.bias"));
    EXPECT_TRUE(torch::allclose(y, x, 1e-10, 1e-12));
}

TEST(TransformerTower, ComputedTwiceGivesTheSameGradients) {
    TransformerTowerOptions options = small_tower();
    options.dropout = 0.3;
    options.attention.attention_dropout = 0.2;
    const at::Tensor x = torch::randn({2, 7, 4});
    std::vector<std::vector<at::Tensor>> gradients;
    for (const bool twice : {false, true}) {
        options.checkpoint_activations = twice;
        torch::manual_seed(12);
        ResidualBlock block(options, {Layout::kTokens, 7, 4, 128});
        at::Tensor leaf = x.clone().requires_grad_(true);
        block.forward(leaf).square().sum().backward();
        gradients.push_back({leaf.grad()});
        for (const at::Tensor& parameter : block.parameters()) {
            gradients.back().push_back(parameter.grad());
        }
    }
    for (std::size_t i = 0; i < gradients[0].size(); ++i) {
        EXPECT_TRUE(torch::allclose(gradients[0][i], gradients[1][i], 1e-5, 1e-7)) << i;
    }
}

}  // namespace
}  // namespace flagen::models
