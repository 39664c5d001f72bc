#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "flagen/models/safetensors.h"

namespace torch::nn {
class Module;
}

namespace flagen::models {

/// Tensors with their names, in a fixed order.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Parameters, then buffers, by their dotted names. The tensors share the module's memory.
[[nodiscard]] NamedTensors module_tensors(const torch::nn::Module& module);

/// Writes the tensors (any device, any strides) in the safetensors format to `sink`.
/// @throws Error if a dtype cannot be written or two names are equal.
void write_tensors(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata,
                   const ByteSink& sink);

/// The same into a file that appears when it is complete (atomic_file.h).
void save_tensors(const std::string& path, const NamedTensors& tensors,
                  const std::map<std::string, std::string>& metadata = {});

/// All tensors of a file, on the CPU. @throws UserError as SafetensorsReader does.
[[nodiscard]] NamedTensors read_tensors(const SafetensorsReader& reader);
[[nodiscard]] NamedTensors load_tensors(const std::string& path);

/// Compares names, shapes and dtypes of two sets.
/// @throws UserError (kInputFile) that lists every missing, unexpected and differing tensor of
///         `source_name`.
void check_same_tensors(const NamedTensors& found, const NamedTensors& expected,
                        const std::string& source_name);

/// Copies `found` into the memory of `targets`, after check_same_tensors(): all or nothing.
void copy_tensors(const NamedTensors& found, const NamedTensors& targets,
                  const std::string& source_name);

/// Names of the floating-point tensors that hold a NaN or an infinity.
[[nodiscard]] std::vector<std::string> non_finite_tensors(const NamedTensors& tensors);

}  // namespace flagen::models
