#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace fla::device::testing {

/// What one kernel has written, as 32-bit words, and how far two sides may differ.
struct LayerRun {
    std::string name;
    std::vector<std::uint32_t> words;
    double relative = 0;  ///< 0: the same bits. Else the words are floats.
};

/// A launch. Kernels run on a side, the emulator (emulator_runs.cpp) or a GPU (gpu_side.cuh), with
/// three members: upload(values) and download(pointer, count) move memory, and
/// launch(kernel, shape, arguments...) returns when the kernel has ended.
struct RunShape {
    unsigned block_x = 32, block_y = 1, grid_x = 1, grid_y = 1;
    std::size_t shared_bytes = 4096;
};

template <class T>
std::vector<std::uint32_t> to_words(const std::vector<T>& values) {
    std::vector<std::uint32_t> words(values.size() * sizeof(T) / 4);
    std::memcpy(words.data(), values.data(), words.size() * 4);
    return words;
}

/// Run the kernels of layer_kernels.cuh.
///
/// @throws fla::CudaError, fla::emu::Error
[[nodiscard]] std::vector<LayerRun> run_layer_on_emulator();
[[nodiscard]] std::vector<LayerRun> run_layer_on_gpu();

/// Run the kernels of hopper_kernels.cuh and hopper_av.cuh; the GPU must be an sm_90.
///
/// @throws fla::CudaError, fla::Unsupported, fla::emu::Error
[[nodiscard]] std::vector<LayerRun> run_hopper_on_emulator();
[[nodiscard]] std::vector<LayerRun> run_hopper_on_gpu();

}  // namespace fla::device::testing
