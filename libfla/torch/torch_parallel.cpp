#include "torch_parallel.h"

#include <ATen/Parallel.h>

// at::parallel_for() is a template that runs serially, without a word, where OpenMP is off.
#if AT_PARALLEL_OPENMP && !defined(_OPENMP)
#error "LibTorch's threads are OpenMP threads: compile this file with -fopenmp"
#endif

namespace fla::ops {

void torch_parallel_for(std::int64_t num_tasks, const Task& task) {
    at::parallel_for(0, num_tasks, /*grain_size=*/1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            task(i);
        }
    });
}

}  // namespace fla::ops
