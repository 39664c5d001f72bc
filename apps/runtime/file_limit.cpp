#include "apps/runtime/file_limit.h"

#include <sys/resource.h>

#include <limits>

namespace flagen::apps {

std::size_t raise_file_limit() {
    constexpr std::size_t kUsual = 1024;
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return kUsual;
    }
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    const rlim_t now = setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : before;
    return now == RLIM_INFINITY ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(now);
}

}  // namespace flagen::apps
