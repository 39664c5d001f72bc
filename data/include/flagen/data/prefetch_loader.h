#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "flagen/data/batch.h"
#include "flagen/data/resumable_sampler.h"
#include "flagen/data/window_example.h"

namespace flagen::data {

/// Size and concurrency of a loader.
struct LoaderOptions {
    std::int64_t batch_size = 1;
    std::int64_t num_threads = 1;  ///< 0: everything happens in next().
    std::int64_t queue_depth = 4;  ///< Batches made ahead of their use, at least 1.
};

/// Makes batches ahead in worker threads and hands them out in the sampler's order.
///
/// The sequence of batches is a pure function of source, sampler and batch size; threads and queue
/// depth change its speed only. Memory is bounded by queue_depth batches. With a finite sampler the
/// last batch may be smaller.
class PrefetchLoader {
  public:
    /// Works on a copy of `sampler`, from where that stands. `targets` may be null.
    /// @throws Error if an option is out of range.
    PrefetchLoader(std::shared_ptr<const ExampleSource> source, const ResumableSampler& sampler,
                   std::shared_ptr<const TargetTable> targets, const LoaderOptions& options);

    /// Waits for the workers to finish the batch they are at.
    ~PrefetchLoader();
    PrefetchLoader(PrefetchLoader&&) noexcept;
    PrefetchLoader& operator=(PrefetchLoader&&) noexcept;

    /// The next batch, or nothing when a finite sampler is done. An exception of a worker comes out
    /// here, at its place in the sequence, and again at every later call.
    [[nodiscard]] std::optional<Batch> next();

    /// State to store after the batches that next() has delivered so far. Batches that wait in the
    /// queue are not in it: a loader restored from it makes them again.
    [[nodiscard]] SamplerState sampler_state() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace flagen::data
