#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "flagen/data/batch.h"
#include "flagen/data/batch_sampler.h"
#include "flagen/data/window_example.h"

namespace flagen::data {

/// Concurrency of a loader.
struct LoaderOptions {
    std::int64_t num_threads = 1;  ///< 0: everything happens in next().
    std::int64_t queue_depth = 4;  ///< Batches made ahead of their use, at least 1.
    /// Puts tokens and targets into page-locked memory, from where a GPU fetches them without
    /// waiting. Needs a GPU.
    bool pin_memory = false;
};

/// Where the examples of one section come from.
struct LoaderSection {
    std::shared_ptr<const ExampleSource> source;
    std::shared_ptr<const TargetTable> targets;  ///< Null without genes.
};

/// Makes batches ahead in worker threads and hands them out in the sampler's order.
///
/// The sequence of batches is a pure function of sources and sampler; threads and queue depth
/// change its speed only. Memory is bounded by queue_depth batches.
class PrefetchLoader {
  public:
    /// Works on a copy of `sampler`, from where that stands; `sections` are those of the sampler.
    /// @throws Error if an option is out of range or sections and sampler differ.
    PrefetchLoader(std::vector<LoaderSection> sections, const BatchSampler& sampler,
                   const LoaderOptions& options);

    /// Waits for the workers to finish the batch they are at.
    ~PrefetchLoader();
    PrefetchLoader(PrefetchLoader&&) noexcept;
    PrefetchLoader& operator=(PrefetchLoader&&) noexcept;

    /// The next batch, or nothing when a finite sampler is done. An exception of a worker comes out
    /// here, at its place in the sequence, and again at every later call.
    [[nodiscard]] std::optional<Batch> next();

    /// State to store after the batches that next() has delivered so far. Batches that wait in the
    /// queue are not in it: a loader restored from it makes them again.
    [[nodiscard]] BatchSamplerState sampler_state() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace flagen::data
