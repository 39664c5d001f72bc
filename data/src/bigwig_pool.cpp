#include "bigwig_pool.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

namespace flagen::data {
namespace {

std::size_t half_of_descriptors() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 128;
    }
    return static_cast<std::size_t>(std::clamp<rlim_t>(limit.rlim_cur / 2, 16, 65536));
}

}  // namespace

BigWigPool::BigWigPool(std::vector<std::string> files, std::int64_t max_idle)
    : files_(std::move(files)),
      max_idle_(max_idle > 0 ? static_cast<std::size_t>(max_idle) : half_of_descriptors()),
      idle_(files_.size()) {}

BigWigPool::Loan BigWigPool::borrow(std::size_t file) {
    std::unique_ptr<genomics::BigWigReader> reader;
    {
        const std::lock_guard lock(mutex_);
        if (!idle_[file].empty()) {
            reader = std::move(idle_[file].back());
            idle_[file].pop_back();
            --num_idle_;
        }
    }
    if (!reader) {
        reader =
            std::make_unique<genomics::BigWigReader>(genomics::BigWigReader::open(files_[file]));
    }
    return Loan(*this, file, std::move(reader));
}

// Files come round in the order of the table: keeping the first ones serves them every time, while
// keeping the last used ones would serve none.
void BigWigPool::give_back(std::size_t file,
                           std::unique_ptr<genomics::BigWigReader> reader) noexcept {
    const std::lock_guard lock(mutex_);
    if (num_idle_ >= max_idle_) {
        return;
    }
    try {
        idle_[file].push_back(std::move(reader));
        ++num_idle_;
    } catch (...) {  // no memory for the list: the reader just closes
    }
}

}  // namespace flagen::data
