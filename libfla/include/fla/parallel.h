#pragma once

#include <cstdint>
#include <functional>

namespace fla {

/// One piece of work, called with its number.
using Task = std::function<void(std::int64_t task)>;

/// Runs task 0 .. num_tasks-1, in any order and on any threads, and returns when all are done.
///
/// The CPU back ends get their threads through this callable and make none themselves, so that a
/// caller can lend its own pool. Their results have the same bits whatever the callable does.
/// An exception of a task must be rethrown to the caller.
using ParallelFor = std::function<void(std::int64_t num_tasks, const Task& task)>;

/// Runs every task on the calling thread, in order. Usable as a ParallelFor.
void serial_for(std::int64_t num_tasks, const Task& task);

/// Returns a ParallelFor that starts up to `num_threads` std::threads for each call (the caller's
/// thread is one of them) and hands out tasks one by one.
///
/// @throws fla::InvalidArgument if num_threads < 1.
[[nodiscard]] ParallelFor thread_for(int num_threads);

}  // namespace fla
