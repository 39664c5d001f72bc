#pragma once

#include <cstdint>

#include "fla/parallel.h"

namespace fla::ops {

/// Lends LibTorch's threads to the core; at::set_num_threads() says how many. Usable as a
/// ParallelFor.
void torch_parallel_for(std::int64_t num_tasks, const Task& task);

}  // namespace fla::ops
