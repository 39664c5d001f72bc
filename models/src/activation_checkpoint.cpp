#include "activation_checkpoint.h"

#include <torch/torch.h>

#include "autocast_scope.h"
#include "flagen/models/generator_state.h"

namespace flagen::models {
namespace {

using Run = std::function<at::Tensor(const at::Tensor&)>;

/// States of the generators that a pass on `device` draws from.
struct GeneratorStates {
    at::Tensor cpu;
    at::Tensor device;  // undefined on the CPU

    static GeneratorStates current(at::Device device) {
        return {generator_state(at::kCPU),
                device.is_cuda() ? generator_state(device) : at::Tensor()};
    }
    void apply(at::Device device_) const {
        set_generator_state(at::kCPU, cpu);
        if (device.defined()) {
            set_generator_state(device_, device);
        }
    }
};

/// Puts generators and autocast back, however the second run ends. Both are states of the thread,
/// and the backward pass may run on another one.
class StateGuard {
  public:
    explicit StateGuard(at::Device device)
        : device_(device),
          generators_(GeneratorStates::current(device)),
          autocast_(AutocastState::current(device.type())) {}
    StateGuard(const StateGuard&) = delete;
    StateGuard& operator=(const StateGuard&) = delete;
    ~StateGuard() {
        generators_.apply(device_);
        autocast_.apply();
    }

  private:
    at::Device device_;
    GeneratorStates generators_;
    AutocastState autocast_;
};

class Checkpoint : public torch::autograd::Function<Checkpoint> {
  public:
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                              const std::shared_ptr<Run>& run) {
        const GeneratorStates generators = GeneratorStates::current(x.device());
        context->saved_data["generator"] = generators.cpu;
        if (generators.device.defined()) {
            context->saved_data["device_generator"] = generators.device;
        }
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
            const StateGuard guard(x.device());
            GeneratorStates{
                context->saved_data["generator"].toTensor(),
                x.is_cuda() ? context->saved_data["device_generator"].toTensor() : at::Tensor()}
                .apply(x.device());
            AutocastState{
                x.device().type(), context->saved_data["autocast"].toBool(),
                static_cast<at::ScalarType>(context->saved_data["autocast_dtype"].toInt()),
                /*caches=*/false}
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
