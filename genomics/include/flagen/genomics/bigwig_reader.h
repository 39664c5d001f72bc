#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flagen/genomics/contig_table.h"

namespace flagen::genomics {

/// A stretch of one contig with one value.
struct BigWigInterval {
    std::int64_t start_bp = 0;  ///< First base, 0-based.
    std::int64_t end_bp = 0;    ///< One past the last base; above start_bp.
    float value = 0.0F;         ///< As stored; NaN or infinite if the file says so.

    [[nodiscard]] bool operator==(const BigWigInterval&) const = default;
};

/// A local bigWig file, read by interval.
///
/// Format: W. J. Kent et al., "BigWig and BigBed: enabling browsing of large distributed datasets",
/// Bioinformatics 26:2204, 2010, supplement; versions 1 to 4, compressed or not, bedGraph, variable
/// step and fixed step sections. Zoom levels are not used: values are the stored ones.
///
/// The decoder is our own and trusts no byte of the file: each offset, count and size is checked
/// before it is followed or allocated, a query costs time and memory in proportion to the file at
/// most, and faults carry their reason.
///
/// | met in the file                                           | policy                   |
/// |-----------------------------------------------------------|--------------------------|
/// | not bigWig (bigBed, wiggle text, gzip), big-endian        | error with the remedy    |
/// | truncated, offsets or counts past the end, damaged blocks | error                    |
/// | intervals reversed, empty, overlapping or out of order    | error                    |
/// | contigs without name or bases, or named twice             | error                    |
/// | intervals past the contig's end                           | clipped                  |
/// | data blocks without intervals (libBigWig writes some)     | accepted                 |
/// | URLs                                                      | refused, nothing is sent |
///
/// An object is used by one thread at a time; any number of objects may be used at once, also on
/// one file.
class BigWigReader {
  public:
    /// Reads header, contigs and the outline of the index; no values.
    ///
    /// @throws UserError (kInputFile) naming fault, file and remedy if the file cannot be read or
    ///         is no sound bigWig file.
    [[nodiscard]] static BigWigReader open(const std::string& path);

    ~BigWigReader();
    BigWigReader(BigWigReader&&) noexcept;
    BigWigReader& operator=(BigWigReader&&) noexcept;

    [[nodiscard]] const std::string& path() const;

    /// Contigs in the order of their numbers in the file; none is marked circular.
    [[nodiscard]] const std::vector<Contig>& contigs() const;

    /// Length of the contig of exactly this name; nothing if the file does not hold it.
    [[nodiscard]] std::optional<std::int64_t> contig_length(const std::string& contig) const;

    /// Replaces `out` by the intervals that overlap [start_bp, end_bp), clipped to it, ascending
    /// and disjoint. Bases without data are in none of them; neither are bases outside the contig,
    /// so start_bp may be negative and end_bp may lie past the end.
    ///
    /// @throws UserError (kInputFile) if index or data are damaged.
    /// @throws Error if the file does not hold `contig` (see contig_length()) or end_bp < start_bp.
    void intervals(const std::string& contig, std::int64_t start_bp, std::int64_t end_bp,
                   std::vector<BigWigInterval>& out) const;

  private:
    struct State;
    explicit BigWigReader(std::unique_ptr<State> state);

    std::unique_ptr<State> state_;
};

}  // namespace flagen::genomics
