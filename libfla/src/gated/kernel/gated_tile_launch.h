#pragma once

#include "gated/kernel/gated_params.h"

namespace fla::gated {

/// Starts the tensor-core kernels of one pair of tile widths. `Launch` starts a kernel on the GPU
/// or on the CTA emulator: launch(kernel, grid, threads, shared_bytes, params). Defined in
/// gated_tile_launch.cuh, which nvcc compiles once for each pair (gated_tiles_*.cu).
template <class Launch, int kK, int kV>
struct TileLaunch {
    static void state(Launch& launch, const StateParams& params);
    static void sweep(Launch& launch, ReadSide side, const SweepParams& params);
};

}  // namespace fla::gated
