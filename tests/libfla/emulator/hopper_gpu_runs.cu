// Compiled for sm_90a alone.
#include "libfla/emulator/gpu_side.cuh"
#include "libfla/emulator/hopper_runs.cuh"

namespace fla::device::testing {

LayerRun run_hopper_on_gpu(const std::string& name) {
    Gpu side;
    Runs runs(name);
    run_hopper(side, runs);
    return runs.run();
}

}  // namespace fla::device::testing
