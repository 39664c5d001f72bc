#include "once_differentiable.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

namespace fla::ops {

namespace {

/// Stands in the graph where the second derivative would be.
class MissingDerivative : public torch::autograd::Node {
  public:
    MissingDerivative(const char* op, torch::autograd::edge_list&& next_edges)
        : Node(std::move(next_edges)), op_(op) {}

    torch::autograd::variable_list apply(torch::autograd::variable_list&& /*grads*/) override {
        TORCH_CHECK_NOT_IMPLEMENTED(false, op_,
                                    ": second derivatives are not available; the operator is "
                                    "differentiable once");
    }

    [[nodiscard]] std::string name() const override { return std::string(op_) + " (second)"; }

  private:
    const char* op_;
};

}  // namespace

void forbid_double_backward(const char* op, torch::autograd::variable_list& results,
                            const torch::autograd::variable_list& inputs) {
    const auto requires_grad = [](const at::Tensor& t) { return t.defined() && t.requires_grad(); };
    if (!at::GradMode::is_enabled() || std::none_of(inputs.begin(), inputs.end(), requires_grad)) {
        return;
    }
    // The edges lead to the inputs, so that asking for a gradient of one of them reaches this node.
    const auto node =
        std::make_shared<MissingDerivative>(op, torch::autograd::collect_next_edges(inputs));
    torch::autograd::set_history(results, node);
}

}  // namespace fla::ops
