// Stands in for scan_cuda.cpp in builds without CUDA.
#include "scan_kernels.h"

namespace fla::ops {

std::tuple<at::Tensor, at::Tensor> scan_forward_cuda(const ScanOp& op,
                                                     const ScanArguments& /*args*/) {
    refuse_cuda(op);
}

ScanGradients scan_backward_cuda(const ScanOp& op, const ScanArguments& /*args*/) {
    refuse_cuda(op);
}

}  // namespace fla::ops
