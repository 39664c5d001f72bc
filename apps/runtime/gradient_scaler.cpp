#include "apps/runtime/gradient_scaler.h"

#include <torch/torch.h>

#include <algorithm>

#include "flagen/error.h"

namespace flagen::apps {

void GradientScaler::unscale(const std::vector<at::Tensor>& parameters) const {
    const torch::NoGradGuard no_gradients;
    for (const at::Tensor& parameter : parameters) {
        if (parameter.grad().defined()) {
            at::Tensor gradient = parameter.grad();
            gradient.mul_(1.0 / factor);
        }
    }
}

void GradientScaler::update(bool finite) {
    if (!finite) {
        if (factor <= kSmallest) {
            throw_error("gradients are not finite, whatever the loss is scaled by (the last checkpoint is unharmed; try "
                        "precision bf16, or a lower learning rate)");
        }
        factor /= 2.0;
        finite_steps = 0;
    } else if (++finite_steps >= kGrowthInterval) {
        factor = std::min(factor * 2.0, kLargest);
        finite_steps = 0;
    }
}

}  // namespace flagen::apps
