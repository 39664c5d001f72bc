#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "flagen/data/resumable_sampler.h"

namespace flagen::data {

/// The examples of one batch, all of one section.
struct SampledBatch {
    std::size_t section = 0;
    std::vector<SampleId> ids;
};

/// Where a batch sampler stands. Holds for all ranks at once, as SamplerState does.
struct BatchSamplerState {
    std::int64_t num_batches = 0;        ///< Handed out to each rank since the start.
    std::vector<SamplerState> sections;  ///< In the sampler's order.

    friend bool operator==(const BatchSamplerState&, const BatchSamplerState&) = default;
};

/// Draws batches out of one or more sections (data sets of their own, as of several species).
///
/// A batch holds examples of one section, the next ones of that section's own endless stream
/// (ResumableSampler). An epoch of all sections together has ceil(N_i / batch_size) batches of
/// section i with its N_i examples, in a shuffled order: sections are drawn in proportion to their
/// sizes, as baskerville does. Which section batch k has is a pure function of (seed of the first
/// section, sizes, batch size, k), so that it is the same on every rank. One section gives its own
/// stream cut into batches.
///
/// Copyable. Not thread-safe.
class BatchSampler {
  public:
    /// @throws Error if there is no section, batch_size < 1, or several sections of which one ends
    ///         (num_epochs of -1 has no end).
    BatchSampler(std::vector<ResumableSampler> sections, std::int64_t batch_size);

    /// The next batch of this rank; nothing when an ending section is done, whose last batch may be
    /// smaller.
    [[nodiscard]] std::optional<SampledBatch> next();

    [[nodiscard]] BatchSamplerState state() const;
    /// Continues from `state`.
    /// @throws UserError (kConfig) for another number of sections, and as ResumableSampler.
    void restore(const BatchSamplerState& state);

    [[nodiscard]] const std::vector<ResumableSampler>& sections() const { return sections_; }

  private:
    [[nodiscard]] std::size_t section_of(std::int64_t batch);

    std::vector<ResumableSampler> sections_;
    std::int64_t batch_size_;
    std::vector<std::size_t> unshuffled_;  // sections of a joint epoch's batches, ascending
    std::int64_t num_batches_ = 0;
    std::int64_t order_epoch_ = -1;  // joint epoch that order_ belongs to
    std::vector<std::int64_t> order_;
};

/// One line of JSON. Seeds are text because JSON numbers above 2^53 do not survive every reader.
[[nodiscard]] std::string to_json_text(const BatchSamplerState& state);

/// Inverse of to_json_text(). @throws UserError (kInputFile) naming `source_name` if it is
/// malformed.
[[nodiscard]] BatchSamplerState batch_sampler_state_from_json(const std::string& text,
                                                              const std::string& source_name);

}  // namespace flagen::data
