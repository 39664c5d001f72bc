#pragma once

#include <cstdint>
#include <string>

namespace fla {

/// What kernels and their callers need to know of one GPU.
struct DeviceProperties {
    std::string name;
    int compute_major = 0;  ///< 9 of sm_90.
    int compute_minor = 0;
    int num_multiprocessors = 0;
    std::int64_t max_shared_bytes_per_block = 0;  ///< With the opt-in attribute.
    std::int64_t l2_cache_bytes = 0;
    std::int64_t total_memory_bytes = 0;
};

/// Returns how many GPUs this process sees: 0 without a driver, and in builds without CUDA.
///
/// @throws fla::CudaError if the driver answers with any other fault.
[[nodiscard]] int num_devices();

/// Asks the driver about one GPU. Does not change the current device.
///
/// @throws fla::InvalidArgument if `device` is not in [0, num_devices()).
/// @throws fla::CudaError if a query fails.
[[nodiscard]] DeviceProperties device_properties(int device);

}  // namespace fla
