#include "libfla/emulator/gpu_side.cuh"
#include "libfla/emulator/layer_runs.cuh"

namespace fla::device::testing {

std::vector<LayerRun> run_layer_on_gpu() {
    Gpu side;
    return run_layer(side);
}

}  // namespace fla::device::testing
