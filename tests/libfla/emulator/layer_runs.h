#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fla::device::testing {

/// What one kernel has written, as 32-bit words, and how far two sides may differ.
struct LayerRun {
    std::string name;
    std::vector<std::uint32_t> words;
    double relative = 0;  ///< 0: the same bits. Else the words are floats.
};

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
