#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "flagen/genomics/bigwig_reader.h"
#include "flagen/genomics/range.h"

namespace flagen::data {

/// Values of stretches of bases: ascending, not overlapping.
using TrackIntervals = std::vector<genomics::BigWigInterval>;

/// Adds value times bases of every interval to the bins of bin_bp from start_bp on. Intervals lie
/// within the bins. Costs a step per interval and per bin, not per base.
void add_to_bins(const TrackIntervals& intervals, std::int64_t start_bp, std::int64_t bin_bp,
                 std::span<double> bins);

/// Sets values that are not finite to 0 and returns the number of their bases.
std::int64_t zero_non_finite(TrackIntervals& intervals);

/// Median over `num_bases` bases, those in no interval as 0; the mean of the two in the middle for
/// an even number, as numpy's.
[[nodiscard]] double median_of_bases(const TrackIntervals& intervals, std::int64_t num_bases);

/// Clamps values to [-limit, limit] in `ranges` (ascending, not overlapping), cutting intervals at
/// their ends. Returns the number of bases whose value changed.
std::int64_t clip_within(TrackIntervals& intervals, std::span<const genomics::Range> ranges,
                         double limit);

}  // namespace flagen::data
