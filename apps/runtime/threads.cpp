#include "apps/runtime/threads.h"

#include <ATen/Parallel.h>
#include <malloc.h>

#include "flagen/error.h"

namespace flagen::apps {

void set_threads(std::int64_t threads, bool given) {
    if (given) {
        FLAGEN_USER_CHECK(UserFault::kConfig, threads >= 1 && threads <= 1024,
                          "--threads must lie in 1 .. 1024, found ", threads);
        at::set_num_threads(static_cast<int>(threads));
    }
#ifdef __GLIBC__
    // A freed activation goes back to the kernel otherwise, and its pages are zeroed again each step.
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, -1);
#endif
}

}  // namespace flagen::apps
