#include "fla/error.h"

#ifdef FLA_HAVE_CUDA
#include <cuda_runtime_api.h>
#endif

namespace fla {

void throw_cuda_error(int code, const char* expression, const char* file, int line) {
#ifdef FLA_HAVE_CUDA
    const auto error = static_cast<cudaError_t>(code);
    const std::string reason = join_text(cudaGetErrorName(error), ": ", cudaGetErrorString(error));
#else
    const std::string reason = join_text("CUDA error ", code);
#endif
    throw CudaError(join_text(expression, " failed: ", reason, " (", file, ":", line, ")"), code);
}

}  // namespace fla
