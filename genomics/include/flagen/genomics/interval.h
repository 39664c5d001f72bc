#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace flagen::genomics {

/// Strand of a feature or a window.
enum class Strand : std::uint8_t {
    kForward,  ///< '+'
    kReverse,  ///< '-'
    kUnknown,  ///< '.'; bases are then read as on '+'.
};

/// Returns '+', '-' or '.'.
[[nodiscard]] char strand_symbol(Strand strand);

/// A stretch of one contig. 0-based, half-open, in base pairs (bp): [start_bp, end_bp).
///
/// The only coordinate convention inside flagen. VCF, GTF and region text is 1-based and closed;
/// readers convert at the file boundary, nowhere else.
struct Interval {
    std::string contig;         ///< Name exactly as in the FASTA, for example "chr1".
    std::int64_t start_bp = 0;  ///< First base included.
    std::int64_t end_bp = 0;    ///< One past the last base; end_bp >= start_bp.

    [[nodiscard]] std::int64_t length_bp() const { return end_bp - start_bp; }
    [[nodiscard]] bool operator==(const Interval&) const = default;
};

/// The end_bp of a region that names no end ("chr1", "chr1:1,001"): up to the contig's last base.
inline constexpr std::int64_t kContigEnd = std::numeric_limits<std::int64_t>::max();

/// Parses "chr1", "chr1:1,001" or "chr1:1,001-2,000" (1-based, closed, commas allowed, as samtools
/// reads them). A name that holds a colon is put in braces: "{HLA-A*01:01}:1-100".
///
/// Knows no contigs: an absent end is kContigEnd, and the text after the last colon is always read
/// as a range. parse_region(text, contigs) in contig_table.h resolves both.
///
/// @throws flagen::UserError (kConfig) naming `text` and the offending part if it does not parse,
///         counts from 0, or has its end before its start.
[[nodiscard]] Interval parse_region(const std::string& text);

}  // namespace flagen::genomics
