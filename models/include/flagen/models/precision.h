#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace flagen::models {

/// Number format of a model's matrix products, convolutions and scans.
///
/// Parameters, optimiser, norms, softmax, decays, states, heads and losses are fp32 in each of
/// them. fp16 holds gradients below 6e-8 as zero, so that training scales the loss.
enum class Precision { kFp32, kBf16, kFp16 };

/// "fp32", "bf16", "fp16".
[[nodiscard]] const std::vector<std::pair<Precision, std::string>>& precision_names();
[[nodiscard]] const std::string& precision_name(Precision precision);
/// fp32, bfloat16 or float16 of LibTorch.
[[nodiscard]] at::ScalarType scalar_type_of(Precision precision);
/// @throws Error unless it is one of precision_names().
[[nodiscard]] Precision precision_of_name(const std::string& name);

}  // namespace flagen::models
