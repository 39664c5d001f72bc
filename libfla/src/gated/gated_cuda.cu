#include "fla/gated_cuda.h"

#include "device/cuda_launch.h"
#include "gated/kernel/gated_passes.h"

namespace fla {

void gated_forward_cuda(const GatedForward& params, void* workspace, cudaStream_t stream) {
    CudaLaunch launch{stream};
    gated::run_forward(launch, params, workspace);
}

void gated_backward_cuda(const GatedBackward& params, void* workspace, cudaStream_t stream) {
    CudaLaunch launch{stream};
    gated::run_backward(launch, params, workspace);
}

std::int64_t gated_forward_cuda_workspace(const GatedForward& params) {
    return gated::forward_workspace_bytes(params);
}

std::int64_t gated_backward_cuda_workspace(const GatedBackward& params) {
    return gated::backward_workspace_bytes(params);
}

}  // namespace fla
