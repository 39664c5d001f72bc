// Compiled for sm_90a alone.
#include "libfla/emulator/gpu_side.cuh"
#include "libfla/emulator/hopper_runs.cuh"

namespace fla::device::testing {

std::vector<LayerRun> run_hopper_on_gpu() {
    Gpu side;
    return run_hopper(side);
}

}  // namespace fla::device::testing
