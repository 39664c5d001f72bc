#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/interval.h"
#include "flagen/genomics/range.h"

namespace flagen::genomics {

/// value modulo length, in [0, length).
[[nodiscard]] std::int64_t wrapped_position(std::int64_t value, std::int64_t length);

/// Bases of `contig` that [start_bp, end_bp) holds, as ranges within [0, length): cut to a linear
/// contig, brought round on a circular one (at most once round: all of it).
[[nodiscard]] std::vector<Range> ranges_on(const Contig& contig, std::int64_t start_bp,
                                           std::int64_t end_bp);

/// "contig:start-end", 0-based and half-open, for messages.
[[nodiscard]] std::string interval_text(const Interval& interval);

/// Index of the interval's contig, after a check that the interval holds a base and lies on it; on
/// a circular contig it may pass the end, though not its own start.
///
/// @throws UserError of `fault`, which begins with `what`, for example "excluded interval".
[[nodiscard]] std::size_t require_on_contig(const ContigTable& contigs, const Interval& interval,
                                            UserFault fault, const std::string& what);

}  // namespace flagen::genomics
