#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <limits>

#include "fla/error.h"

namespace fla {

/// Starts kernels on one stream. The same call starts them on the CTA emulator in tests.
struct CudaLaunch {
    cudaStream_t stream;

    template <class Params>
    void operator()(void (*kernel)(Params), std::int64_t grid, int threads,
                    std::size_t shared_bytes, const Params& params) {
        if (grid == 0) {
            return;
        }
        FLA_CHECK(grid <= std::numeric_limits<int>::max(), "the problem has ", grid,
                  " pieces of work, which is too large for one launch");
        constexpr std::size_t kFreeSharedBytes = 48 * 1024;  // more must be asked for
        if (shared_bytes > kFreeSharedBytes) {
            FLA_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                static_cast<int>(shared_bytes)));
        }
        kernel<<<static_cast<unsigned>(grid), static_cast<unsigned>(threads), shared_bytes,
                 stream>>>(params);
        FLA_CUDA_CHECK(cudaGetLastError());
    }
};

}  // namespace fla
