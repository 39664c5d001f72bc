// Kernels for keys up to 128 and values up to 64.
#include "device/cuda_launch.h"
#include "gated/kernel/gated_tile_launch.cuh"

namespace fla::gated {

template struct TileLaunch<CudaLaunch, 128, 64>;

}  // namespace fla::gated
