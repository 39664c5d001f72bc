#include "apps/runtime/device.h"

#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <array>
#include <charconv>
#include <cstdlib>

#include "flagen/models/device_support.h"

// Statistics that all devices have in common are younger than the oldest LibTorch that we build with.
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 9)
#include <c10/core/CachingDeviceAllocator.h>
#define FLAGEN_DEVICE_STATISTICS
#endif

namespace flagen::apps {
namespace {

/// The few functions of the NVIDIA driver that are needed before LibTorch is asked. The build needs no CUDA for them.
class Driver {
  public:
    static const Driver& get() {
        static const Driver driver;
        return driver;
    }

    [[nodiscard]] std::string fault() const {
        if (!complete()) {
            return "no NVIDIA driver was found";
        }
        int count = 0;
        if (init_(0) != 0 || count_(&count) != 0 || count == 0) {
            return "the NVIDIA driver offers no GPU";
        }
        return "";
    }

    [[nodiscard]] std::string device_name(int index) const {
        int device = 0;
        std::array<char, 256> name{};
        if (!complete() || device_(&device, index) != 0 ||
            name_(name.data(), static_cast<int>(name.size()) - 1, device) != 0) {
            return "unknown GPU";
        }
        return name.data();
    }

  private:
    Driver() : library_(dlopen("libcuda.so.1", RTLD_NOW)) {
        load("cuInit", init_);
        load("cuDeviceGetCount", count_);
        load("cuDeviceGet", device_);
        load("cuDeviceGetName", name_);
    }

    template <typename Function>
    void load(const char* name, Function*& function) const {
        function = library_ == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(library_, name));
    }

    [[nodiscard]] bool complete() const { return init_ && count_ && device_ && name_; }

    void* library_;  // stays loaded
    int (*init_)(unsigned) = nullptr;
    int (*count_)(int*) = nullptr;
    int (*device_)(int*, int) = nullptr;
    int (*name_)(char*, int, int) = nullptr;
};

std::string load_cuda() {
    if (std::string fault = Driver::get().fault(); !fault.empty()) {
        return fault;
    }
    // cuBLAS reads it when it starts; without it its products are not reproducible.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    // The program is linked to LibTorch's CPU part alone, so that it starts fast and where there is no CUDA.
    if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
        const char* error = dlerror();
        return std::string("LibTorch was built without CUDA, or its CUDA part does not load: ") +
               (error == nullptr ? "libtorch_cuda.so" : error);
    }
    if (!at::hasCUDA() || torch::cuda::device_count() == 0) {
        return "LibTorch sees no GPU that it can use";
    }
    return "";
}

// Why these models cannot run there.
std::string fault_of(at::Device device, const std::vector<DeviceLoad>& loads) {
    if (!cuda_fault().empty()) {
        return cuda_fault();
    }
    const auto count = static_cast<int>(torch::cuda::device_count());
    if (device.index() >= count) {
        return detail::concatenate("found ", count, count == 1 ? " GPU" : " GPUs");
    }
    for (const DeviceLoad& load : loads) {
        const std::string missing = models::missing_kernel(*load.model, device, load.precision);
        if (!missing.empty()) {
            return "the model has a mixer that cannot run there, " + missing;
        }
    }
    return "";
}

}  // namespace

DeviceRequest DeviceRequest::parse(const std::string& text) {
    DeviceRequest request;
    if (text == "auto") {
        return request;
    }
    if (text == "cpu") {
        request.kind = Kind::kCpu;
        return request;
    }
    const std::string prefix = "cuda";
    request.kind = Kind::kCuda;
    bool valid = text == prefix;
    if (text.rfind(prefix + ":", 0) == 0) {
        const char* first = text.data() + prefix.size() + 1;
        const char* last = text.data() + text.size();
        const auto [end, error] = std::from_chars(first, last, request.index);
        valid = error == std::errc{} && end == last && first != last && request.index >= 0 && request.index < 128;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, valid, "--device must be auto, cpu, cuda or cuda:N, found ", text);
    return request;
}

std::string RunDevice::text() const {
    const std::string& remark = device.is_cuda() ? name : reason;
    return device.str() + (remark.empty() ? "" : " (" + remark + ")");
}

std::int64_t RunDevice::peak_bytes() const {
#ifdef FLAGEN_DEVICE_STATISTICS
    if (device.is_cuda()) {
        const auto statistics = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
        return statistics.allocated_bytes[0].peak;  // over all pools
    }
#endif
    return 0;
}

const std::string& cuda_fault() {
    static const std::string fault = load_cuda();
    return fault;
}

RunDevice choose_device(const DeviceRequest& request, const std::vector<DeviceLoad>& loads) {
    RunDevice chosen;
    if (request.kind == DeviceRequest::Kind::kCpu) {
        return chosen;
    }
    const at::Device device(at::kCUDA, static_cast<at::DeviceIndex>(request.index));
    const std::string fault = fault_of(device, loads);
    if (fault.empty()) {
        chosen.device = device;
        chosen.name = Driver::get().device_name(request.index);
    } else if (request.kind == DeviceRequest::Kind::kCuda) {
        throw DeviceError(detail::concatenate("cannot use ", device, ": ", fault));
    } else {
        chosen.reason = fault;
    }
    return chosen;
}

void prepare_device(const RunDevice& device) {
    if (!device.device.is_cuda()) {
        return;
    }
    c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(device.device);
    at::Context& context = at::globalContext();
    // A warning and no fault where LibTorch has no deterministic algorithm: the run is right, only not repeatable.
    context.setDeterministicAlgorithms(true, /*warn_only=*/true);
    context.setDeterministicFillUninitializedMemory(false);
    context.setDeterministicCuDNN(true);
    context.setBenchmarkCuDNN(false);
    context.setAllowTF32CuBLAS(false);
    context.setAllowTF32CuDNN(false);
    context.setAllowFP16ReductionCuBLAS(false);
    context.setAllowBF16ReductionCuBLAS(false);
}

}  // namespace flagen::apps
