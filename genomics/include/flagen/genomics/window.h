#pragma once

#include <cstdint>
#include <string>

#include "flagen/genomics/interval.h"
#include "flagen/genomics/reference_genome.h"

namespace flagen::genomics {

/// One DNA input of a model: `length_bp` bases from `start_bp` on, 0-based.
///
/// May reach over either end of its contig, or lie off it altogether: start_bp may be negative and
/// end_bp() above the contig's length.
struct Window {
    std::string contig;
    std::int64_t start_bp = 0;
    std::int64_t length_bp = 0;
    Strand strand = Strand::kForward;  ///< kReverse: read as the reverse complement.

    [[nodiscard]] std::int64_t end_bp() const { return start_bp + length_bp; }
    [[nodiscard]] bool operator==(const Window&) const = default;
};

/// The letters a model receives.
struct WindowSequence {
    std::string bases;               ///< `length_bp` letters of ACGTN, in reading direction.
    std::int64_t num_padded_bp = 0;  ///< N put in where a linear contig has no base.
};

/// Reads a window: N where it is off a linear contig, further round where the contig is circular
/// (as often as the length asks), reverse-complemented for Strand::kReverse.
///
/// The one place where windows become letters; `flagen extract` and the model both come here.
///
/// @throws flagen::UserError if the contig is unknown, flagen::Error if length_bp is negative or
///         the coordinates overflow.
[[nodiscard]] WindowSequence fetch_window(const ReferenceGenome& reference, const Window& window);

/// "contig:start-end:strand", 0-based and half-open, for example "chr1:-100-400:+".
[[nodiscard]] std::string window_name(const Window& window);

}  // namespace flagen::genomics
