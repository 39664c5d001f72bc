// The GPU's side of layer_gpu_test.cpp.
#pragma once

#include <cuda_runtime.h>

#include <vector>

#include "fla/error.h"
#include "libfla/emulator/layer_runs.h"

namespace fla::device::testing {

/// Device memory lives as long as this object; a launch returns when the kernel has ended.
class Gpu {
  public:
    Gpu() = default;
    ~Gpu() {
        for (void* block : blocks_) {
            cudaFree(block);
        }
    }
    Gpu(const Gpu&) = delete;
    Gpu& operator=(const Gpu&) = delete;

    template <class T>
    T* upload(const std::vector<T>& values) {
        void* block = nullptr;
        FLA_CUDA_CHECK(cudaMalloc(&block, values.size() * sizeof(T)));
        blocks_.push_back(block);
        FLA_CUDA_CHECK(
            cudaMemcpy(block, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
        return static_cast<T*>(block);
    }

    template <class T>
    std::vector<T> download(const T* from, std::size_t count) {
        std::vector<T> values(count);
        FLA_CUDA_CHECK(cudaMemcpy(values.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost));
        return values;
    }

    template <class... Params, class... Args>
    void launch(void (*kernel)(Params...), const RunShape& shape, Args... args) {
        FLA_CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                            cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            static_cast<int>(shape.shared_bytes)));
        const dim3 grid(shape.grid_x, shape.grid_y);
        const dim3 block(shape.block_x, shape.block_y);
        kernel<<<grid, block, shape.shared_bytes>>>(args...);
        FLA_CUDA_CHECK(cudaGetLastError());
        FLA_CUDA_CHECK(cudaDeviceSynchronize());
    }

  private:
    std::vector<void*> blocks_;
};

}  // namespace fla::device::testing
