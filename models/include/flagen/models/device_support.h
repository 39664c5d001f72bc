#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "flagen/models/model_config.h"
#include "flagen/models/precision.h"

namespace flagen::models {

/// What a device lacks to run a model: empty, or the first mixer without a kernel and the reason,
/// as "deltanet: no CUDA kernel ...". Found by running each kind of mixer of the configuration on a
/// few tokens.
///
/// Draws from the CPU generator. The CPU lacks nothing.
[[nodiscard]] std::string missing_kernel(const ModelConfig& config, at::Device device,
                                         Precision precision);

}  // namespace flagen::models
