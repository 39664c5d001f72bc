#include "flagen/models/linear_mixer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <string>
#include <vector>

#include "models/gradient_check.h"

namespace flagen::models {
namespace {

constexpr std::int64_t kChannels = 6;

const std::vector<MixerKind> kAllKinds = {MixerKind::kLinear,   MixerKind::kScalar,
                                          MixerKind::kSsd,      MixerKind::kGla,
                                          MixerKind::kDeltanet, MixerKind::kGatedDeltanet};

LinearMixerOptions small_options(MixerKind kind) {
    LinearMixerOptions options;
    options.kind = kind;
    options.heads = 4;
    options.key = 3;
    options.value = 5;
    options.short_conv = 3;
    options.decay_rank = 2;
    return options;
}

at::Tensor parameter(const torch::nn::Module& module, const std::string& name) {
    return *module.named_parameters().find(name);
}

/// What a scan computes, token by token, from the parameters by name.
at::Tensor naive_scan(DirectionalScan& scan, const LinearMixerOptions& options, const at::Tensor& x,
                      bool reverse) {
    const auto weight = [&](const std::string& name) { return parameter(scan, name + ".weight"); };
    const at::Tensor input = reverse ? x.flip(1) : x;
    const std::int64_t tokens = x.size(1);
    const std::int64_t heads = options.heads_per_direction();
    const std::int64_t key_heads = options.key_heads_per_direction();
    at::Tensor qkv = at::linear(input, weight("qkv_proj"));
    at::Tensor taps = weight("short_conv").squeeze(1);  // [channels, width]
    if (reverse) {
        taps = taps.flip(1);  // tap j reads token t + j; after the flip, token t - width + 1 + j
    }
    at::Tensor convolved = at::zeros_like(qkv) + parameter(scan, "short_conv.bias");
    for (std::int64_t t = 0; t < tokens; ++t) {
        for (std::int64_t j = 0; j < taps.size(1); ++j) {
            const std::int64_t source = t - taps.size(1) + 1 + j;
            if (source >= 0) {
                convolved.select(1, t) += qkv.select(1, source) * taps.select(1, j);
            }
        }
    }
    qkv = at::silu(convolved);
    const auto split = qkv.split_with_sizes(
        {key_heads * options.key, key_heads * options.key, heads * options.value}, -1);
    const auto spread = [&](const at::Tensor& y) {  // one q, k for each value head
        return y.unflatten(-1, {key_heads, options.key}).repeat_interleave(heads / key_heads, 2);
    };
    at::Tensor q = spread(split[0]);
    at::Tensor k = spread(split[1]);
    const at::Tensor v = split[2].unflatten(-1, {heads, options.value});
    at::Tensor g = at::zeros({x.size(0), tokens, heads, options.key}, x.options());
    at::Tensor beta = at::ones({x.size(0), tokens, heads}, x.options());
    double scale = 1.0 / std::sqrt(static_cast<double>(options.key));
    bool delta = false;
    bool normalise = false;
    at::Tensor skip = at::zeros({heads}, x.options());
    switch (options.kind) {
        case MixerKind::kLinear:
            q = at::elu(q) + 1.0;
            k = at::elu(k) + 1.0;
            scale = 1.0;
            normalise = true;
            break;
        case MixerKind::kScalar:
            g = at::log_sigmoid(
                    at::linear(input, weight("decay_proj"), parameter(scan, "decay_proj.bias")))
                    .unsqueeze(-1)
                    .expand_as(g);
            break;
        case MixerKind::kSsd: {
            const at::Tensor dt =
                at::softplus(at::linear(input, weight("dt_proj")) + parameter(scan, "dt_bias"));
            g = (-dt * parameter(scan, "a_log").exp()).unsqueeze(-1).expand_as(g);
            beta = dt;
            skip = parameter(scan, "d");
            scale = 1.0;
            break;
        }
        case MixerKind::kGla:
            g = (at::log_sigmoid(at::linear(at::linear(input, weight("decay_down")),
                                            weight("decay_up"), parameter(scan, "decay_up.bias"))) /
                 16.0)
                    .view_as(g);
            break;
        case MixerKind::kGatedDeltanet:
            g = (-parameter(scan, "a_log").exp() *
                 at::softplus(at::linear(input, weight("decay_proj")) + parameter(scan, "dt_bias")))
                    .unsqueeze(-1)
                    .expand_as(g);
            [[fallthrough]];
        case MixerKind::kDeltanet:
            beta = at::sigmoid(at::linear(input, weight("beta_proj")));
            q = q / (q.square().sum(-1, true) + 1e-6).sqrt();
            k = k / (k.square().sum(-1, true) + 1e-6).sqrt();
            delta = true;
            break;
    }
    at::Tensor state = at::zeros({x.size(0), heads, options.key, options.value}, x.options());
    at::Tensor weights = at::zeros({x.size(0), heads, options.key}, x.options());
    std::vector<at::Tensor> outputs;
    for (std::int64_t t = 0; t < tokens; ++t) {
        const at::Tensor kt = k.select(1, t);
        const at::Tensor qt = q.select(1, t);
        state = state * g.select(1, t).exp().unsqueeze(-1);
        at::Tensor vt = v.select(1, t);
        if (delta) {
            vt = vt - (state * kt.unsqueeze(-1)).sum(2);
        }
        state = state +
                beta.select(1, t).unsqueeze(-1).unsqueeze(-1) * kt.unsqueeze(-1) * vt.unsqueeze(2);
        weights = weights + kt;
        at::Tensor o = scale * (state * qt.unsqueeze(-1)).sum(2);
        if (normalise) {
            o = o / ((weights * qt).sum(-1, true) + 1e-6);
        }
        outputs.push_back(o + skip.unsqueeze(-1) * v.select(1, t));
    }
    const at::Tensor o = at::stack(outputs, 1);
    return reverse ? o.flip(1) : o;
}

TEST(DirectionalScan, EqualsItsRecurrenceForEveryKindAndDirection) {
    for (const MixerKind kind : kAllKinds) {
        for (const ScanDirection direction : {ScanDirection::kForward, ScanDirection::kReverse}) {
            torch::manual_seed(4);
            const LinearMixerOptions options = small_options(kind);
            DirectionalScan scan(options, kChannels, direction);
            scan.to(torch::kDouble);
            const at::Tensor x = torch::randn({2, 11, kChannels}, torch::kDouble);
            const torch::NoGradGuard no_grad;
            const at::Tensor expected =
                naive_scan(scan, options, x, direction == ScanDirection::kReverse);
            EXPECT_TRUE(torch::allclose(scan.forward(x), expected, 1e-9, 1e-10))
                << "kind " << static_cast<int>(kind) << " direction "
                << static_cast<int>(direction);
        }
    }
}

TEST(DirectionalScan, Fp32KernelsAgreeWithTheFp64Reference) {
    for (const MixerKind kind : kAllKinds) {
        torch::manual_seed(5);
        LinearMixerOptions options = small_options(kind);
        options.key = 16;
        options.value = 16;
        DirectionalScan scan(options, kChannels, ScanDirection::kReverse);
        const at::Tensor x = torch::randn({1, 130, kChannels});  // two chunks and a bit
        const torch::NoGradGuard no_grad;
        const at::Tensor narrow = scan.forward(x);
        scan.to(torch::kDouble);
        const at::Tensor wide = scan.forward(x.to(torch::kDouble));
        const double error =
            ((narrow - wide).square().mean().sqrt() / wide.square().mean().sqrt()).item<double>();
        EXPECT_LT(error, 1e-5) << "kind " << static_cast<int>(kind);
    }
}

/// Whether y at `token` changes when x changes at `changed`.
bool depends(LinearMixer& mixer, const at::Tensor& x, std::int64_t token, std::int64_t changed) {
    const torch::NoGradGuard no_grad;
    const at::Tensor y = mixer.forward(x);
    at::Tensor moved = x.clone();
    moved.select(1, changed) += 1.0;
    return !torch::equal(y.select(1, token), mixer.forward(moved).select(1, token));
}

TEST(LinearMixer, ForwardHeadsIgnoreTheFuture) {
    for (const MixerKind kind : kAllKinds) {
        torch::manual_seed(6);
        LinearMixerOptions options = small_options(kind);
        options.bidirectional = false;
        LinearMixer mixer(options, kChannels);
        const at::Tensor x = torch::randn({1, 70, kChannels});
        EXPECT_FALSE(depends(mixer, x, 30, 31));
        EXPECT_FALSE(depends(mixer, x, 30, 69));
        EXPECT_TRUE(depends(mixer, x, 30, 29));
        EXPECT_TRUE(depends(mixer, x, 69, 60));
    }
}

TEST(LinearMixer, ReverseHeadsIgnoreThePast) {
    for (const MixerKind kind : kAllKinds) {
        torch::manual_seed(7);
        LinearMixerOptions options = small_options(kind);
        LinearMixer mixer(options, kChannels);
        {
            // Cut the forward heads off: they are the first half of the joined heads.
            const torch::NoGradGuard no_grad;
            at::Tensor weight = parameter(mixer, "out_proj.weight");
            weight.narrow(1, 0, weight.size(1) / 2).zero_();
        }
        const at::Tensor x = torch::randn({1, 70, kChannels});
        EXPECT_FALSE(depends(mixer, x, 30, 29));
        EXPECT_FALSE(depends(mixer, x, 30, 0));
        EXPECT_TRUE(depends(mixer, x, 30, 31));
        EXPECT_TRUE(depends(mixer, x, 0, 9));
    }
}

TEST(LinearMixer, BothDirectionsAddUp) {
    torch::manual_seed(8);
    LinearMixer mixer(small_options(MixerKind::kScalar), kChannels);
    const at::Tensor x = torch::randn({2, 20, kChannels});
    const torch::NoGradGuard no_grad;
    const at::Tensor both = mixer.forward(x);
    at::Tensor weight = parameter(mixer, "out_proj.weight");
    const at::Tensor kept = weight.clone();
    const std::int64_t half = weight.size(1) / 2;
    weight.narrow(1, half, half).zero_();
    const at::Tensor forward = mixer.forward(x);
    weight.copy_(kept);
    weight.narrow(1, 0, half).zero_();
    const at::Tensor reverse = mixer.forward(x);
    EXPECT_TRUE(torch::allclose(both, forward + reverse, 1e-4, 1e-5));
    EXPECT_TRUE(depends(mixer, x, 5, 6));
}

TEST(LinearMixer, EachDirectionMayHaveAllHeads) {
    LinearMixerOptions options = small_options(MixerKind::kGla);
    LinearMixer split(options, kChannels);
    options.direction_heads = DirectionHeads::kEach;
    LinearMixer each(options, kChannels);
    EXPECT_EQ(parameter(split, "out_proj.weight").size(1), 4 * 5);
    EXPECT_EQ(parameter(each, "out_proj.weight").size(1), 8 * 5);
    EXPECT_EQ(parameter(each, "forward_scan.qkv_proj.weight").size(0), 4 * (3 + 3 + 5));
    EXPECT_EQ(each.forward(torch::randn({1, 9, kChannels})).sizes(),
              (std::vector<std::int64_t>{1, 9, kChannels}));
}

TEST(LinearMixer, EveryKindHasExactGradients) {
    for (const MixerKind kind : kAllKinds) {
        torch::manual_seed(9);
        LinearMixerOptions options = small_options(kind);
        options.local_conv = 3;
        if (kind == MixerKind::kGla) {
            options.key_heads = 2;  // grouped heads
        }
        LinearMixer mixer(options, kChannels);
        mixer.to(torch::kDouble);
        at::Tensor x = torch::randn({1, 9, kChannels}, torch::kDouble).requires_grad_(true);
        const auto loss = [&] {
            const at::Tensor y = mixer.forward(x);
            return (y * testing::probe_like(y)).sum();
        };
        auto leaves = testing::named_leaves(mixer);
        leaves.emplace_back("x", x);
        testing::expect_gradients(loss, leaves, 4, 5e-6);
    }
}

TEST(LinearMixer, StartsAsTheLiteratureHasIt) {
    torch::manual_seed(10);
    LinearMixerOptions options = small_options(MixerKind::kScalar);
    options.heads = 16;
    LinearMixer scalar(options, kChannels);
    EXPECT_TRUE(
        torch::equal(parameter(scalar, "forward_scan.decay_proj.bias"), torch::full({8}, 3.0)));

    options.decay = DecaySource::kFixed;
    DirectionalScan fixed(options, kChannels, ScanDirection::kForward);
    const at::Tensor log_decay = fixed.named_buffers()["log_decay"];
    EXPECT_NEAR(log_decay[0].item<float>(), std::log(31.0 / 32.0), 1e-7);
    EXPECT_NEAR(log_decay[7].item<float>(), std::log(1.0 - 1.0 / 4096.0), 1e-8);

    for (const MixerKind kind : {MixerKind::kSsd, MixerKind::kGatedDeltanet}) {
        options.kind = kind;
        LinearMixer mixer(options, kChannels);
        const at::Tensor dt = at::softplus(parameter(mixer, "reverse_scan.dt_bias"));
        EXPECT_GT(dt.min().item<float>(), 0.99e-3F);
        EXPECT_LT(dt.max().item<float>(), 0.1001F);
        const at::Tensor a = parameter(mixer, "reverse_scan.a_log").exp();
        EXPECT_GT(a.min().item<float>(), 0.0F);
        EXPECT_LT(a.max().item<float>(), 16.0F);
    }
}

TEST(LinearMixer, GivesTheSameBitsForAnyNumberOfThreads) {
    const int threads = at::get_num_threads();
    for (const MixerKind kind : kAllKinds) {
        torch::manual_seed(11);
        LinearMixer mixer(small_options(kind), kChannels);
        const at::Tensor x = torch::randn({1, 300, kChannels});
        std::vector<at::Tensor> results;
        for (const int count : {2, 2}) {
            at::set_num_threads(count);
            mixer.zero_grad();
            at::Tensor leaf = x.clone().requires_grad_(true);
            mixer.forward(leaf).square().sum().backward();
            results.push_back(
                at::cat({leaf.grad().flatten(),
                         parameter(mixer, "forward_scan.qkv_proj.weight").grad().flatten()}));
        }
        EXPECT_TRUE(torch::equal(results[0], results[1])) << static_cast<int>(kind);
    }
    at::set_num_threads(threads);
}

}  // namespace
}  // namespace flagen::models
