#include "host/device_properties.h"

#include "fla/error.h"

#ifdef FLA_HAVE_CUDA
#include <cuda_runtime_api.h>
#endif

namespace fla {

#ifdef FLA_HAVE_CUDA

int num_devices() {
    int count = 0;
    const cudaError_t code = cudaGetDeviceCount(&count);
    if (code == cudaErrorNoDevice || code == cudaErrorInsufficientDriver) {
        cudaGetLastError();  // Clears the sticky copy, or the next launch check would report it.
        return 0;
    }
    FLA_CUDA_CHECK(code);
    return count;
}

DeviceProperties device_properties(int device) {
    const int count = num_devices();
    FLA_CHECK(device >= 0 && device < count, "device is ", device, ", expected 0 to ", count - 1);
    cudaDeviceProp found{};
    FLA_CUDA_CHECK(cudaGetDeviceProperties(&found, device));
    DeviceProperties out;
    out.name = found.name;
    out.compute_major = found.major;
    out.compute_minor = found.minor;
    out.num_multiprocessors = found.multiProcessorCount;
    out.max_shared_bytes_per_block = static_cast<std::int64_t>(found.sharedMemPerBlockOptin);
    out.l2_cache_bytes = found.l2CacheSize;
    out.total_memory_bytes = static_cast<std::int64_t>(found.totalGlobalMem);
    return out;
}

#else

int num_devices() { return 0; }

DeviceProperties device_properties(int device) {
    throw InvalidArgument(join_text("device is ", device, ", but this build has no CUDA"));
}

#endif

}  // namespace fla
