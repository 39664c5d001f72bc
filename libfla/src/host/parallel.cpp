#include "fla/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "fla/error.h"

namespace fla {
namespace {

/// Hands out task numbers to the threads of one call and keeps the first exception.
class TaskCounter {
  public:
    TaskCounter(std::int64_t num_tasks, const Task& task) : num_tasks_(num_tasks), task_(task) {}

    void work() {
        try {
            for (std::int64_t i = next_++; i < num_tasks_; i = next_++) {
                task_(i);
            }
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!failure_) {
                failure_ = std::current_exception();
            }
            next_ = num_tasks_;  // The others stop at their next task.
        }
    }

    void rethrow() const {
        if (failure_) {
            std::rethrow_exception(failure_);
        }
    }

  private:
    std::int64_t num_tasks_;
    const Task& task_;
    std::atomic<std::int64_t> next_{0};
    std::mutex mutex_;
    std::exception_ptr failure_;
};

}  // namespace

void serial_for(std::int64_t num_tasks, const Task& task) {
    for (std::int64_t i = 0; i < num_tasks; ++i) {
        task(i);
    }
}

ParallelFor thread_for(int num_threads) {
    FLA_CHECK(num_threads >= 1, "num_threads is ", num_threads, ", expected at least 1");
    return [num_threads](std::int64_t num_tasks, const Task& task) {
        TaskCounter counter(num_tasks, task);
        std::vector<std::thread> threads;
        const std::int64_t extra = std::min<std::int64_t>(num_threads, num_tasks) - 1;
        for (std::int64_t i = 0; i < extra; ++i) {
            threads.emplace_back([&counter] { counter.work(); });
        }
        counter.work();
        for (std::thread& thread : threads) {
            thread.join();
        }
        counter.rethrow();
    };
}

}  // namespace fla
