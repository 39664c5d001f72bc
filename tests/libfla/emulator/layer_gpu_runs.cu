#include "libfla/emulator/gpu_side.cuh"
#include "libfla/emulator/layer_runs.cuh"

namespace fla::device::testing {

LayerRun run_layer_on_gpu(const std::string& name) {
    Gpu side;
    Runs runs(name);
    run_layer(side, runs);
    return runs.run();
}

}  // namespace fla::device::testing
