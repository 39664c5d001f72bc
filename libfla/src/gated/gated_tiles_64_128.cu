// Kernels for keys up to 64 and values up to 128.
#include "device/cuda_launch.h"
#include "gated/kernel/gated_tile_launch.cuh"

namespace fla::gated {

template struct TileLaunch<CudaLaunch, 64, 128>;

}  // namespace fla::gated
