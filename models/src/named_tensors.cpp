#include "flagen/models/named_tensors.h"

#include <torch/torch.h>

#include <array>
#include <sstream>

#include "flagen/atomic_file.h"
#include "flagen/error.h"
#include "flagen/problems.h"

namespace flagen::models {
namespace {

constexpr std::array<std::pair<TensorDtype, at::ScalarType>, 10> kScalarTypes = {{
    {TensorDtype::kBool, at::kBool},
    {TensorDtype::kUint8, at::kByte},
    {TensorDtype::kInt8, at::kChar},
    {TensorDtype::kInt16, at::kShort},
    {TensorDtype::kInt32, at::kInt},
    {TensorDtype::kInt64, at::kLong},
    {TensorDtype::kFloat16, at::kHalf},
    {TensorDtype::kBFloat16, at::kBFloat16},
    {TensorDtype::kFloat32, at::kFloat},
    {TensorDtype::kFloat64, at::kDouble},
}};

TensorDtype file_dtype(const std::string& name, const at::Tensor& tensor) {
    for (const auto& [dtype, scalar] : kScalarTypes) {
        if (scalar == tensor.scalar_type()) {
            return dtype;
        }
    }
    throw_error("element type cannot be written: ", at::toString(tensor.scalar_type()), " of ",
                name);
}

at::ScalarType memory_dtype(TensorDtype dtype) {
    for (const auto& [file, scalar] : kScalarTypes) {
        if (file == dtype) {
            return scalar;
        }
    }
    throw_error("unknown element type: ", static_cast<int>(dtype));
}

std::string describe(const at::Tensor& tensor) {
    std::ostringstream text;
    text << dtype_name(file_dtype("tensor", tensor)) << " " << tensor.sizes();
    return text.str();
}

}  // namespace

NamedTensors module_tensors(const torch::nn::Module& module) {
    NamedTensors tensors;
    for (const auto& item : module.named_parameters()) {
        tensors.emplace_back(item.key(), item.value());
    }
    for (const auto& item : module.named_buffers()) {
        tensors.emplace_back(item.key(), item.value());
    }
    return tensors;
}

void write_tensors(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata,
                   const ByteSink& sink) {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> storage;  // keeps CPU copies alive until they are written
    std::vector<TensorSource> sources;
    for (const auto& [name, tensor] : tensors) {
        storage.push_back(tensor.detach().to(at::kCPU).contiguous());
        sources.push_back({name, file_dtype(name, tensor), tensor.sizes().vec(),
                           storage.back().const_data_ptr()});
    }
    write_safetensors(std::move(sources), metadata, sink);
}

void save_tensors(const std::string& path, const NamedTensors& tensors,
                  const std::map<std::string, std::string>& metadata) {
    AtomicFile file(path);
    write_tensors(tensors, metadata,
                  [&](const void* data, std::size_t num_bytes) { file.write(data, num_bytes); });
    file.publish();
}

NamedTensors read_tensors(const SafetensorsReader& reader) {
    NamedTensors tensors;
    for (const TensorEntry& entry : reader.tensors()) {
        at::Tensor tensor = at::empty(entry.shape, at::TensorOptions(memory_dtype(entry.dtype)));
        reader.read(entry, tensor.data_ptr());
        if (entry.dtype == TensorDtype::kBool) {
            // Any byte but 0 and 1 in a bool is undefined behaviour.
            const at::Tensor bytes = tensor.view(at::kByte);
            FLAGEN_USER_CHECK(UserFault::kInputFile, bytes.le(1).all().item<bool>(),
                              "tensor holds bytes that are no booleans: ", entry.name, " (",
                              reader.path(), ")");
        }
        tensors.emplace_back(entry.name, std::move(tensor));
    }
    return tensors;
}

NamedTensors load_tensors(const std::string& path) { return read_tensors(SafetensorsReader(path)); }

void check_same_tensors(const NamedTensors& found, const NamedTensors& expected,
                        const std::string& source_name) {
    std::map<std::string, at::Tensor> by_name(found.begin(), found.end());
    Problems problems;
    for (const auto& [name, tensor] : expected) {
        const auto match = by_name.find(name);
        if (match == by_name.end()) {
            problems.add(name, "tensor is missing; expected " + describe(tensor));
            continue;
        }
        if (match->second.sizes() != tensor.sizes() ||
            match->second.scalar_type() != tensor.scalar_type()) {
            problems.add(name,
                         "expected " + describe(tensor) + ", found " + describe(match->second));
        }
        by_name.erase(match);
    }
    for (const auto& [name, tensor] : by_name) {
        problems.add(name, "unexpected tensor " + describe(tensor));
    }
    problems.throw_if_any(source_name, UserFault::kInputFile);
}

void copy_tensors(const NamedTensors& found, const NamedTensors& targets,
                  const std::string& source_name) {
    check_same_tensors(found, targets, source_name);
    const at::NoGradGuard no_grad;
    const std::map<std::string, at::Tensor> by_name(found.begin(), found.end());
    for (const auto& [name, target] : targets) {
        at::Tensor destination = target;
        destination.copy_(by_name.at(name));
    }
}

std::vector<std::string> non_finite_tensors(const NamedTensors& tensors) {
    const at::NoGradGuard no_grad;
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors) {
        if (tensor.is_floating_point() && !at::isfinite(tensor).all().item<bool>()) {
            names.push_back(name);
        }
    }
    return names;
}

}  // namespace flagen::models
