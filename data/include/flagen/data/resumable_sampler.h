#pragma once

#include <cstdint>
#include <vector>

namespace flagen::data {

/// Names one example: the `index`-th of the dataset, as epoch `epoch` sees it.
struct SampleId {
    std::int64_t epoch = 0;
    std::int64_t index = 0;

    friend bool operator==(const SampleId&, const SampleId&) = default;
};

/// Where a sampler stands. Holds for all ranks at once, so one rank may save it for all.
struct SamplerState {
    std::uint64_t seed = 0;
    std::int64_t num_examples = 0;
    std::int64_t num_consumed = 0;  ///< Samples handed out to all ranks together since the start.

    friend bool operator==(const SamplerState&, const SamplerState&) = default;
};

/// Size, order and share of a sampler.
struct SamplerOptions {
    std::int64_t num_examples = 0;  ///< At least 1.
    std::uint64_t seed = 0;
    bool shuffle = true;           ///< Otherwise every epoch is 0, 1, 2, ...
    std::int64_t num_epochs = -1;  ///< -1 means without end.
    std::int64_t rank = 0;
    std::int64_t world = 1;
};

/// Hands out sample ids in an order that is a pure function of (seed, number of examples).
///
/// All ranks walk one global stream: epoch 0 in its shuffled order, then epoch 1, and so on. Rank r
/// of a world of W takes the samples r, r + W, r + 2W, ... of it. So ranks never share a sample,
/// an endless sampler gives every rank the same number of steps, nothing is dropped or repeated at
/// the end of an epoch, and the first n * W samples are the same set for any W: a run may resume
/// with another world size and go on where it stood.
///
/// Copyable. Not thread-safe.
class ResumableSampler {
  public:
    /// @throws Error if num_examples < 1, world < 1, rank is outside [0, world) or num_epochs < -1.
    explicit ResumableSampler(const SamplerOptions& options);

    /// Whether this rank has no sample left. Never true for an endless sampler.
    [[nodiscard]] bool done() const;

    /// The next sample of this rank. @throws Error if done().
    SampleId next();

    /// State after the samples handed out so far. Restoring it in a sampler of any rank and world
    /// continues the global stream right after the last step that all ranks took.
    [[nodiscard]] SamplerState state() const;

    /// Continues from `state`.
    /// @throws UserError (kConfig) if its seed or number of examples is not this sampler's, which
    ///         means that the configuration or the data changed since it was saved; Error if
    ///         num_consumed is negative.
    void restore(const SamplerState& state);

    [[nodiscard]] const SamplerOptions& options() const { return options_; }

  private:
    SamplerOptions options_;
    std::int64_t num_consumed_ = 0;
    std::int64_t order_epoch_ = -1;  // epoch that order_ belongs to
    std::vector<std::int64_t> order_;
};

}  // namespace flagen::data
