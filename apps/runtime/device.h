#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "flagen/models/model_config.h"
#include "flagen/models/precision.h"

namespace flagen::apps {

/// The device that was asked for is absent or cannot run the model.
class DeviceError : public Error {
  public:
    using Error::Error;
};

/// Option --device.
struct DeviceRequest {
    enum class Kind { kAuto, kCpu, kCuda };
    Kind kind = Kind::kAuto;
    int index = 0;  ///< Of the GPU.

    /// "auto", "cpu", "cuda" or "cuda:1". @throws UserError (kConfig).
    [[nodiscard]] static DeviceRequest parse(const std::string& text);
};

/// A model that has to run, and in which precision.
struct DeviceLoad {
    const models::ModelConfig* model = nullptr;
    models::Precision precision = models::Precision::kFp32;
};

/// Where models run.
struct RunDevice {
    at::Device device = at::kCPU;
    std::string name;    ///< Of the GPU, as the driver gives it.
    std::string reason;  ///< Why auto took the CPU; else empty.

    /// "cuda:0 (NVIDIA H100 80GB HBM3)", "cpu (no NVIDIA driver was found)".
    [[nodiscard]] std::string text() const;
    /// Largest memory that tensors took on the GPU, in bytes; 0 on the CPU or where LibTorch cannot say.
    [[nodiscard]] std::int64_t peak_bytes() const;
};

/// Why no GPU can be used, or an empty string. Loads the driver and LibTorch's CUDA library at the first call,
/// which must come before anything asks LibTorch for a GPU.
[[nodiscard]] const std::string& cuda_fault();

/// Takes the device asked for. auto: the first GPU, or the CPU with a reason where there is none or a model has a
/// mixer without a kernel. Draws from the CPU generator.
/// @throws DeviceError where a GPU was asked for and cannot be had.
[[nodiscard]] RunDevice choose_device(const DeviceRequest& request, const std::vector<DeviceLoad>& loads);

/// Sets LibTorch up for runs on it: on a GPU deterministic algorithms, products of fp32 without TF32, sums of
/// bf16 and fp16 products in fp32. Nothing on the CPU.
void prepare_device(const RunDevice& device);

}  // namespace flagen::apps
