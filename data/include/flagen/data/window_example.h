#pragma once

#include <cstdint>
#include <vector>

#include "flagen/data/resumable_sampler.h"
#include "flagen/genomics/range.h"
#include "flagen/genomics/window.h"

namespace flagen::data {

/// One gene in the coordinates of a window as the model reads it: 0 is the first base read, so for
/// a reverse-complemented window of L bases a gene at [a, b) of the window stands at [L - b, L -
/// a).
struct PlacedGene {
    std::int64_t gene_index = 0;  ///< Row of the gene in the targets.
    std::int64_t start_bp = 0;
    std::int64_t end_bp = 0;
    std::int64_t strand = 1;              ///< +1: sense as the window is read, -1: antisense.
    std::vector<genomics::Range> pieces;  ///< Coding (or chosen) rows, ascending, within the gene.

    friend bool operator==(const PlacedGene&, const PlacedGene&) = default;
};

/// One window ready for a model, without any tensor.
struct WindowExample {
    SampleId id;
    genomics::Window window;           ///< What was read; its strand is the orientation.
    std::vector<std::uint8_t> tokens;  ///< window.length_bp codes, A C G T N = 0..4, as read.
    std::int64_t num_padded_bp = 0;    ///< N put in past the ends of a linear contig.
    std::vector<PlacedGene> genes;     ///< Ascending by start_bp.
    std::vector<float> tracks;         ///< As TrackWindows::read(); empty without tracks.
    std::int64_t num_tracks = 0;       ///< T of `tracks`.
};

/// A numbered set of examples: training windows, or the passes of an evaluation.
class ExampleSource {
  public:
    virtual ~ExampleSource() = default;

    [[nodiscard]] virtual std::int64_t num_examples() const = 0;

    /// Makes one example; a pure function of the source and `id`. Thread-safe.
    /// @throws Error if id.index is outside [0, num_examples()).
    [[nodiscard]] virtual WindowExample example(const SampleId& id) const = 0;

  protected:
    ExampleSource() = default;
    ExampleSource(const ExampleSource&) = default;
    ExampleSource& operator=(const ExampleSource&) = default;
};

/// Reads a window into `example`: tokens and num_padded_bp.
void read_tokens(const genomics::ReferenceGenome& reference, const genomics::Window& window,
                 WindowExample& example);

}  // namespace flagen::data
