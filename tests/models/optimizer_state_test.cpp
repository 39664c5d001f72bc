#include "flagen/models/optimizer_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "flagen/error.h"
#include "flagen/models/parameter_groups.h"

namespace flagen::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct NetImpl : torch::nn::Module {
    NetImpl() {
        first = register_module("first", torch::nn::Linear(4, 3));
        norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({3})));
        unused = register_module("unused", torch::nn::Linear(2, 2));
        table = register_parameter("norm_table", torch::ones({2, 2}));
        log_decay = register_parameter("log_decay", torch::zeros({3}));
        frozen = register_parameter("frozen", torch::ones({2, 2}), false);
        conv = register_module("conv", torch::nn::Conv1d(torch::nn::Conv1dOptions(1, 2, 3)));
    }
    at::Tensor forward(const at::Tensor& x) {
        const at::Tensor y = norm(first(x)) * log_decay.exp();
        return y.square().sum() + conv(y.unsqueeze(1)).square().sum() + table.sum();
    }
    torch::nn::Linear first{nullptr};
    torch::nn::LayerNorm norm{nullptr};
    torch::nn::Linear unused{nullptr};
    torch::nn::Conv1d conv{nullptr};
    at::Tensor table;
    at::Tensor log_decay;
    at::Tensor frozen;
};
TORCH_MODULE(Net);

void train(Net& net, torch::optim::AdamW& optimizer, int from, int to) {
    for (int step = from; step < to; ++step) {
        torch::manual_seed(static_cast<std::uint64_t>(step));
        set_learning_rate(optimizer, 0.01 / (1.0 + step));
        optimizer.zero_grad();
        net->forward(torch::randn({5, 4})).backward();
        optimizer.step();
    }
}

std::vector<std::string> names_of(const NamedTensors& tensors) {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors) {
        names.push_back(name);
    }
    return names;
}

NamedTensors clones(const NamedTensors& tensors) {
    NamedTensors copies;
    for (const auto& [name, tensor] : tensors) {
        copies.emplace_back(name, tensor.detach().clone());
    }
    return copies;
}

void expect_bit_equal(const NamedTensors& left, const NamedTensors& right) {
    ASSERT_EQ(names_of(left), names_of(right));
    for (std::size_t i = 0; i < left.size(); ++i) {
        EXPECT_TRUE(at::equal(left[i].second, right[i].second)) << left[i].first;
    }
}

std::string restore_error(const NamedTensors& state) {
    Net net;
    const ParameterGroups groups = split_parameters(*net);
    torch::optim::AdamW optimizer = make_adamw(groups, {});
    train(net, optimizer, 0, 1);
    const NamedTensors before = clones(adamw_state(optimizer, all_parameters(groups)));
    std::string message = "accepted";
    try {
        restore_adamw_state(optimizer, all_parameters(groups), state, "optim");
    } catch (const UserError& error) {
        message = error.what();
        expect_bit_equal(before, adamw_state(optimizer, all_parameters(groups)));
    }
    return message;
}

TEST(ParameterGroups, NormsBiasesAndVectorsAreNotDecayed) {
    Net net;
    const ParameterGroups groups = split_parameters(*net);
    EXPECT_THAT(names_of(groups.decay),
                ElementsAre("first.weight", "unused.weight", "conv.weight"));
    EXPECT_THAT(names_of(groups.no_decay),
                ElementsAre("norm_table", "log_decay", "first.bias", "norm.weight", "norm.bias",
                            "unused.bias", "conv.bias"));
}

TEST(ParameterGroups, OnlyTheFirstGroupShrinksWithoutGradient) {
    Net net;
    const ParameterGroups groups = split_parameters(*net);
    AdamWConfig config;
    config.learning_rate = 0.1;
    config.weight_decay = 0.5;
    torch::optim::AdamW optimizer = make_adamw(groups, config);
    const NamedTensors before = clones(all_parameters(groups));
    for (const auto& [name, parameter] : all_parameters(groups)) {
        at::Tensor shared = parameter;
        shared.mutable_grad() = at::zeros_like(parameter);
    }
    optimizer.step();
    for (std::size_t i = 0; i < before.size(); ++i) {
        const double factor = i < groups.decay.size() ? 1.0 - 0.1 * 0.5 : 1.0;
        EXPECT_TRUE(at::allclose(all_parameters(groups)[i].second, before[i].second * factor))
            << before[i].first;
    }
    for (const auto& group : optimizer.param_groups()) {
        const auto& options = static_cast<const torch::optim::AdamWOptions&>(group.options());
        EXPECT_EQ(std::get<1>(options.betas()), config.beta2);
        EXPECT_EQ(options.eps(), config.epsilon);
    }
}

TEST(OptimizerState, TheNextStepsAreBitEqual) {
    torch::manual_seed(1);
    Net straight;
    const ParameterGroups groups = split_parameters(*straight);
    torch::optim::AdamW optimizer = make_adamw(groups, {});
    train(straight, optimizer, 0, 5);
    const NamedTensors weights = clones(module_tensors(*straight));
    const NamedTensors state = clones(adamw_state(optimizer, all_parameters(groups)));
    // Parameters without gradient ("unused") have no state: 3 entries for each of the other 8.
    EXPECT_EQ(state.size(), 24U);
    train(straight, optimizer, 5, 12);

    Net resumed;
    const ParameterGroups resumed_groups = split_parameters(*resumed);
    torch::optim::AdamW resumed_optimizer = make_adamw(resumed_groups, {});
    copy_tensors(weights, module_tensors(*resumed), "model");
    restore_adamw_state(resumed_optimizer, all_parameters(resumed_groups), state, "optim");
    expect_bit_equal(state, adamw_state(resumed_optimizer, all_parameters(resumed_groups)));
    train(resumed, resumed_optimizer, 5, 12);
    expect_bit_equal(module_tensors(*straight), module_tensors(*resumed));
    expect_bit_equal(adamw_state(optimizer, all_parameters(groups)),
                     adamw_state(resumed_optimizer, all_parameters(resumed_groups)));
    // The state must matter: without it the same steps end elsewhere.
    Net fresh;
    const ParameterGroups fresh_groups = split_parameters(*fresh);
    torch::optim::AdamW fresh_optimizer = make_adamw(fresh_groups, {});
    copy_tensors(weights, module_tensors(*fresh), "model");
    train(fresh, fresh_optimizer, 5, 12);
    EXPECT_FALSE(at::equal(fresh->first->weight, straight->first->weight));
}

TEST(OptimizerState, RestoringCopiesAndClears) {
    Net net;
    const ParameterGroups groups = split_parameters(*net);
    torch::optim::AdamW optimizer = make_adamw(groups, {});
    train(net, optimizer, 0, 2);
    const NamedTensors saved = clones(adamw_state(optimizer, all_parameters(groups)));
    restore_adamw_state(optimizer, all_parameters(groups), saved, "optim");
    const at::Tensor kept = saved[0].second.clone();
    train(net, optimizer, 2, 4);
    EXPECT_TRUE(at::equal(saved[0].second, kept))
        << "the optimiser must not write into the checkpoint";
    restore_adamw_state(optimizer, all_parameters(groups), {}, "optim");
    EXPECT_TRUE(adamw_state(optimizer, all_parameters(groups)).empty());
}

TEST(OptimizerState, RefusesStatesThatDoNotFitAndNamesAll) {
    Net net;
    const ParameterGroups groups = split_parameters(*net);
    torch::optim::AdamW optimizer = make_adamw(groups, {});
    train(net, optimizer, 0, 1);
    const NamedTensors good = clones(adamw_state(optimizer, all_parameters(groups)));
    EXPECT_EQ(restore_error(good), "accepted");
    const auto changed = [&](std::size_t entry, const std::string& name, const at::Tensor& tensor) {
        NamedTensors state = good;
        state[entry] = {name, tensor};
        return restore_error(state);
    };
    ASSERT_EQ(good[0].first, "first.weight.exp_avg");
    ASSERT_EQ(good[2].first, "first.weight.step");
    EXPECT_THAT(changed(0, "first.weight.exp_avg", at::zeros({4, 3})),
                HasSubstr("expected Float [3, 4], found Float [4, 3]"));
    EXPECT_THAT(changed(0, "first.weight.exp_avg", at::zeros({3, 4}, at::kDouble)),
                HasSubstr("found Double"));
    EXPECT_THAT(changed(2, "first.weight.step", at::zeros({1}, at::kLong)),
                HasSubstr("expected Long []"));
    EXPECT_THAT(changed(2, "first.weight.step", at::zeros({})), HasSubstr("expected Long []"));
    EXPECT_THAT(changed(2, "first.weight.step", at::scalar_tensor(-1, at::kLong)),
                HasSubstr("negative step"));
    const std::string renamed = changed(0, "frist.weight.exp_avg", good[0].second);
    EXPECT_THAT(renamed, HasSubstr("first.weight: the optimiser's state is incomplete"));
    EXPECT_THAT(renamed, HasSubstr("frist.weight.exp_avg: no parameter of that name"));
    EXPECT_THAT(changed(0, "first.weight.exp_avg", at::zeros({4, 3})),
                HasSubstr("optim: 1 problem"));
}

TEST(OptimizerState, RefusesAMSGradAndUnnamedParameters) {
    const at::Tensor parameter = torch::ones({2}).requires_grad_(true);
    torch::optim::AdamW optimizer({parameter}, torch::optim::AdamWOptions(0.1).amsgrad(true));
    parameter.sum().backward();
    optimizer.step();
    EXPECT_THROW((void)adamw_state(optimizer, {{"p", parameter}}), Error);
    EXPECT_THROW((void)adamw_state(optimizer, {{"p", parameter.detach()}}), Error);
}

}  // namespace
}  // namespace flagen::models
