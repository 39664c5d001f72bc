#include "flagen/models/optimizer_state.h"

#include <torch/torch.h>

#include <map>
#include <set>
#include <sstream>

#include "flagen/error.h"
#include "flagen/problems.h"

namespace flagen::models {
namespace {

using torch::optim::AdamWParamState;

constexpr char kFirstMoment[] = ".exp_avg";
constexpr char kSecondMoment[] = ".exp_avg_sq";
constexpr char kStep[] = ".step";

/// The optimiser's parameters with their names, in the optimiser's order.
NamedTensors named_parameters(const torch::optim::AdamW& optimizer,
                              const NamedTensors& parameters) {
    std::map<const void*, std::string> names;
    for (const auto& [name, tensor] : parameters) {
        names[tensor.unsafeGetTensorImpl()] = name;
    }
    NamedTensors found;
    for (const auto& group : optimizer.param_groups()) {
        for (const at::Tensor& parameter : group.params()) {
            const auto name = names.find(parameter.unsafeGetTensorImpl());
            FLAGEN_CHECK(name != names.end(), "a parameter of the optimiser has no name, shape ",
                         parameter.sizes());
            found.emplace_back(name->second, parameter);
        }
    }
    return found;
}

std::string describe(const at::Tensor& tensor) {
    std::ostringstream text;
    text << at::toString(tensor.scalar_type()) << " " << tensor.sizes();
    return text.str();
}

void check_entry(const std::string& name, const at::Tensor& found, const at::Tensor& expected,
                 Problems& problems) {
    if (found.sizes() != expected.sizes() || found.scalar_type() != expected.scalar_type()) {
        problems.add(name, "expected " + describe(expected) + ", found " + describe(found));
    }
}

}  // namespace

NamedTensors adamw_state(const torch::optim::AdamW& optimizer, const NamedTensors& parameters) {
    NamedTensors tensors;
    const auto& states = optimizer.state();
    for (const auto& [name, parameter] : named_parameters(optimizer, parameters)) {
        const auto found = states.find(parameter.unsafeGetTensorImpl());
        if (found == states.end()) {
            continue;
        }
        const auto& state = static_cast<const AdamWParamState&>(*found->second);
        FLAGEN_CHECK(!state.max_exp_avg_sq().defined(), "AMSGrad state cannot be saved: ", name);
        tensors.emplace_back(name + kFirstMoment, state.exp_avg());
        tensors.emplace_back(name + kSecondMoment, state.exp_avg_sq());
        tensors.emplace_back(name + kStep, at::scalar_tensor(state.step(), at::kLong));
    }
    return tensors;
}

void restore_adamw_state(torch::optim::AdamW& optimizer, const NamedTensors& parameters,
                         const NamedTensors& state, const std::string& source_name) {
    const at::NoGradGuard no_grad;
    const std::map<std::string, at::Tensor> by_name(state.begin(), state.end());
    const NamedTensors own = named_parameters(optimizer, parameters);
    const at::Tensor scalar = at::zeros({}, at::kLong);
    Problems problems;
    std::set<std::string> used;
    for (const auto& [name, parameter] : own) {
        int num_present = 0;
        for (const char* suffix : {kFirstMoment, kSecondMoment, kStep}) {
            const auto entry = by_name.find(name + suffix);
            if (entry != by_name.end()) {
                ++num_present;
                used.insert(entry->first);
                check_entry(entry->first, entry->second, suffix == kStep ? scalar : parameter,
                            problems);
            }
        }
        if (num_present != 0 && num_present != 3) {
            problems.add(name, "the optimiser's state is incomplete");
        }
        const auto step = by_name.find(name + kStep);
        if (step != by_name.end() && step->second.dim() == 0 &&
            step->second.scalar_type() == at::kLong && step->second.item<std::int64_t>() < 0) {
            problems.add(step->first, "negative step");
        }
    }
    for (const auto& [name, tensor] : by_name) {
        if (!used.contains(name)) {
            problems.add(name, "no parameter of that name");
        }
    }
    problems.throw_if_any(source_name, UserFault::kInputFile);

    optimizer.state().clear();
    for (const auto& [name, parameter] : own) {
        const auto first = by_name.find(name + kFirstMoment);
        if (first == by_name.end()) {
            continue;
        }
        auto restored = std::make_unique<AdamWParamState>();
        // The memory format of the parameter, as the optimiser itself would have allocated it.
        const auto copy_like = [&](const at::Tensor& source) {
            at::Tensor copy = at::empty_like(parameter, at::MemoryFormat::Preserve);
            copy.copy_(source);
            return copy;
        };
        restored->exp_avg(copy_like(first->second));
        restored->exp_avg_sq(copy_like(by_name.at(name + kSecondMoment)));
        restored->step(by_name.at(name + kStep).item<std::int64_t>());
        optimizer.state()[parameter.unsafeGetTensorImpl()] = std::move(restored);
    }
}

}  // namespace flagen::models
