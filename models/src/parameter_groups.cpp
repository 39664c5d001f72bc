#include "flagen/models/parameter_groups.h"

#include <torch/torch.h>

#include "flagen/error.h"

namespace flagen::models {
namespace {

bool is_decayed(const std::string& name, const at::Tensor& parameter) {
    const auto dot = name.rfind('.');
    const std::string last = dot == std::string::npos ? name : name.substr(dot + 1);
    return parameter.dim() >= 2 && last != "bias" && name.find("norm") == std::string::npos;
}

std::vector<at::Tensor> tensors_of(const NamedTensors& named) {
    std::vector<at::Tensor> tensors;
    for (const auto& [name, tensor] : named) {
        tensors.push_back(tensor);
    }
    return tensors;
}

}  // namespace

ParameterGroups split_parameters(const torch::nn::Module& module) {
    ParameterGroups groups;
    for (const auto& item : module.named_parameters()) {
        if (item.value().requires_grad()) {
            (is_decayed(item.key(), item.value()) ? groups.decay : groups.no_decay)
                .emplace_back(item.key(), item.value());
        }
    }
    return groups;
}

torch::optim::AdamW make_adamw(const ParameterGroups& groups, const AdamWConfig& config) {
    std::vector<torch::optim::OptimizerParamGroup> param_groups;
    for (const NamedTensors* named : {&groups.decay, &groups.no_decay}) {
        auto options = std::make_unique<torch::optim::AdamWOptions>(config.learning_rate);
        options->betas({config.beta1, config.beta2});
        options->eps(config.epsilon);
        options->weight_decay(named == &groups.decay ? config.weight_decay : 0.0);
        if (!named->empty()) {
            param_groups.emplace_back(tensors_of(*named), std::move(options));
        }
    }
    FLAGEN_CHECK(!param_groups.empty(), "the model has no trainable parameter");
    return torch::optim::AdamW(param_groups, torch::optim::AdamWOptions(config.learning_rate));
}

void set_learning_rate(torch::optim::AdamW& optimizer, double learning_rate) {
    for (auto& group : optimizer.param_groups()) {
        group.options().set_lr(learning_rate);
    }
}

NamedTensors all_parameters(const ParameterGroups& groups) {
    NamedTensors all = groups.decay;
    all.insert(all.end(), groups.no_decay.begin(), groups.no_decay.end());
    return all;
}

}  // namespace flagen::models
