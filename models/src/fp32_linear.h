#pragma once

#include <torch/nn/modules/linear.h>

#include "no_autocast.h"

namespace flagen::models {

/// linear(x), in fp32 even under autocast: for decays and heads.
inline at::Tensor fp32_linear(torch::nn::Linear linear, const at::Tensor& x) {
    const at::DeviceType device = x.device().type();
    if (!at::autocast::is_autocast_enabled(device)) {
        return linear->forward(x);
    }
    const NoAutocast guard(device);
    return linear->forward(x.to(at::kFloat));
}

}  // namespace flagen::models
