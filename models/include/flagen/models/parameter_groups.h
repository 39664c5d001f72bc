#pragma once

#include <string>
#include <vector>

#include "flagen/models/named_tensors.h"

namespace torch::optim {
class AdamW;
}

namespace flagen::models {

/// Trainable parameters of a module, in the module's order.
struct ParameterGroups {
    NamedTensors decay;     ///< matrices and convolution kernels
    NamedTensors no_decay;  ///< norms, biases, scalars and vectors such as decay rates
};

/// A parameter is decayed if it has two or more dimensions, is not called "bias", and no part of
/// its dotted name contains "norm". Pulling a norm's gain or a decay rate to zero would fight what
/// it is for. Parameters with requires_grad off are in neither group.
[[nodiscard]] ParameterGroups split_parameters(const torch::nn::Module& module);

struct AdamWConfig {
    double learning_rate = 1e-3;
    double beta1 = 0.9;
    double beta2 = 0.98;
    double epsilon = 1e-8;
    double weight_decay = 0.05;  ///< on the first group; the second has 0
};

/// AdamW over both groups. I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR
/// 2019, algorithm 2, as LibTorch has it (the decay is multiplied by the learning rate).
[[nodiscard]] torch::optim::AdamW make_adamw(const ParameterGroups& groups,
                                             const AdamWConfig& config);

/// Sets the learning rate of every group.
void set_learning_rate(torch::optim::AdamW& optimizer, double learning_rate);

/// The parameters of both groups, for names: decay first.
[[nodiscard]] NamedTensors all_parameters(const ParameterGroups& groups);

}  // namespace flagen::models
