#include "flagen/models/to_device.h"

#include <ATen/ATen.h>

namespace flagen::models {

at::Tensor to_device(const at::Tensor& tensor, at::Device device) {
    if (!tensor.is_cpu() || !device.is_cuda() || tensor.numel() == 0) {
        return tensor.to(device);
    }
    const at::Tensor pinned = tensor.is_pinned() ? tensor : tensor.pin_memory();
    return pinned.to(device, /*non_blocking=*/true);
}

}  // namespace flagen::models
