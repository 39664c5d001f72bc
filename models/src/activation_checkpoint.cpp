#include "activation_checkpoint.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include <mutex>

namespace flagen::models {
namespace {

using Run = std::function<at::Tensor(const at::Tensor&)>;

at::Tensor generator_state() {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    const std::lock_guard<std::mutex> lock(generator.mutex());
    return generator.get_state();
}

void set_generator_state(const at::Tensor& state) {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    const std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(state);
}

/// Autocast is a state of the thread, and the backward pass runs on another one.
struct AutocastState {
    at::DeviceType device;
    bool enabled;
    at::ScalarType dtype;

    static AutocastState current(at::DeviceType device) {
        return {device, at::autocast::is_autocast_enabled(device),
                at::autocast::get_autocast_dtype(device)};
    }
    void apply() const {
        at::autocast::set_autocast_enabled(device, enabled);
        at::autocast::set_autocast_dtype(device, dtype);
    }
};

/// Puts generator and autocast back, however the second run ends.
class StateGuard {
  public:
    explicit StateGuard(at::DeviceType device)
        : generator_(generator_state()), autocast_(AutocastState::current(device)) {}
    StateGuard(const StateGuard&) = delete;
    StateGuard& operator=(const StateGuard&) = delete;
    ~StateGuard() {
        set_generator_state(generator_);
        autocast_.apply();
    }

  private:
    at::Tensor generator_;
    AutocastState autocast_;
};

class Checkpoint : public torch::autograd::Function<Checkpoint> {
  public:
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                              const std::shared_ptr<Run>& run) {
        context->saved_data["generator"] = generator_state();
        const AutocastState autocast = AutocastState::current(x.device().type());
        context->saved_data["autocast"] = autocast.enabled;
        context->saved_data["autocast_dtype"] = static_cast<std::int64_t>(autocast.dtype);
        context->saved_data["run"] = c10::IValue::make_capsule(c10::make_intrusive<RunHolder>(run));
        context->save_for_backward({x});
        const torch::NoGradGuard no_grad;
        return (*run)(x);
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                   torch::autograd::variable_list grads) {
        const at::Tensor x = context->get_saved_variables()[0].detach().requires_grad_(true);
        const auto holder =
            c10::static_intrusive_pointer_cast<RunHolder>(context->saved_data["run"].toCapsule());
        at::Tensor y;
        {
            const StateGuard guard(x.device().type());
            set_generator_state(context->saved_data["generator"].toTensor());
            AutocastState{
                x.device().type(), context->saved_data["autocast"].toBool(),
                static_cast<at::ScalarType>(context->saved_data["autocast_dtype"].toInt())}
                .apply();
            const torch::AutoGradMode with_grad(true);
            y = (*holder->run)(x);
        }
        torch::autograd::backward({y}, {grads[0]});
        return {x.grad(), at::Tensor()};
    }

  private:
    struct RunHolder : torch::CustomClassHolder {
        explicit RunHolder(std::shared_ptr<Run> shared) : run(std::move(shared)) {}
        std::shared_ptr<Run> run;
    };
};

}  // namespace

at::Tensor run_checkpointed(const Run& run, const at::Tensor& x) {
    if (!x.requires_grad() || !at::GradMode::is_enabled()) {
        return run(x);
    }
    return Checkpoint::apply(x, std::make_shared<Run>(run));
}

}  // namespace flagen::models
