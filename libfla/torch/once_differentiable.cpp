#include "once_differentiable.h"

#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <memory>
#include <string>

namespace fla::ops {

void forbid_double_backward(const char* op, torch::autograd::variable_list& results,
                            const torch::autograd::variable_list& inputs) {
    const auto requires_grad = [](const at::Tensor& t) { return t.defined() && t.requires_grad(); };
    if (!at::GradMode::is_enabled() || std::none_of(inputs.begin(), inputs.end(), requires_grad)) {
        return;
    }
    // DelayedError hangs an error node behind its results only if an input requires gradients, and
    // fresh results of a kernel do not.
    for (at::Tensor& result : results) {
        result.set_requires_grad(true);
    }
    auto delayed = std::make_shared<torch::autograd::DelayedError>(
        std::string(op) +
            ": second derivatives are not available; the operator is differentiable "
            "once",
        static_cast<std::int64_t>(results.size()));
    results = (*delayed)(std::move(results));
}

}  // namespace fla::ops
