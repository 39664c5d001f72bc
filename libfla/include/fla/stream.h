#pragma once

/// Names CUDA's stream handle without a CUDA header, so that public headers compile everywhere.
struct CUstream_st;

namespace fla {

/// Same type as the runtime's ::cudaStream_t. Null is the legacy default stream.
using cudaStream_t = ::CUstream_st*;

}  // namespace fla
