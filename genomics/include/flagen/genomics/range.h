#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace flagen::genomics {

/// Bases [start_bp, end_bp) of a contig that the owner of the range names. 0-based, half-open.
struct Range {
    std::int64_t start_bp = 0;  ///< First base included.
    std::int64_t end_bp = 0;    ///< One past the last base.

    [[nodiscard]] std::int64_t length_bp() const { return end_bp - start_bp; }
    friend bool operator==(const Range&, const Range&) = default;
};

/// Returns the same bases as `ranges`, sorted ascending, with overlapping and touching ranges
/// merged and empty ones dropped: every base stands in exactly one of the results.
[[nodiscard]] std::vector<Range> united(std::vector<Range> ranges);

/// Returns the bases of `universe` that lie in no range of `holes`, sorted ascending and merged.
/// `holes` may be unsorted, overlapping or outside of `universe`.
[[nodiscard]] std::vector<Range> complement(Range universe, std::vector<Range> holes);

/// Counts the bases that `query` shares with `sorted`, which must be the output of united().
[[nodiscard]] std::int64_t shared_bp(Range query, std::span<const Range> sorted);

/// Adds up the lengths of `ranges`; of united() ranges this is the number of distinct bases.
[[nodiscard]] std::int64_t total_bp(std::span<const Range> ranges);

}  // namespace flagen::genomics
