#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/interval.h"
#include "flagen/genomics/split_plan.h"
#include "flagen/genomics/window.h"

namespace flagen::genomics {

/// Sizes and exclusions of planned windows.
struct WindowPlanOptions {
    std::int64_t window_bp = 524'288;
    std::int64_t stride_bp = 524'288;  ///< Between the starts of neighbouring windows.

    /// Gaps, blacklisted or unmappable regions, in any order, overlapping or not.
    std::vector<Interval> excluded;
    /// Drops a window with at least this share of its window_bp excluded; 0 drops it for a single
    /// excluded base, 1 only when nothing else is left.
    double drop_at_excluded_fraction = 0.5;
};

/// Windows in the order of their segments and starts.
struct WindowPlan {
    std::vector<Window> windows;
    /// For each window the index of the segment it was planned in: a shifted copy of the window
    /// stays off other splits as long as it stays inside that segment.
    std::vector<std::size_t> segment_of_window;
    std::int64_t num_dropped_excluded = 0;  ///< Windows dropped for their excluded share.
    std::int64_t num_segments_too_short =
        0;  ///< Segments shorter than a window, no padding allowed.
};

/// Tiles whole contigs. Equal to planning in a segment per contig; see the other overload.
[[nodiscard]] WindowPlan plan_tiled_windows(const ContigTable& contigs,
                                            const WindowPlanOptions& options);

/// Tiles `segments`: starts every stride_bp while the window fits.
///
/// - A rest at the end gets one more window, anchored at the segment's end; an exact fit needs
///   none and loses none. With stride_bp <= window_bp every base of a segment that holds a window
///   is covered.
/// - A segment shorter than a window: a whole linear contig gets one window centred on it, as
///   centred_window() does; a segment that ends at one true contig end gets one window that reaches
///   past that end, where N is read; any other gets none and counts.
/// - A whole circular contig is tiled all round, the last windows passing the origin; one shorter
///   than a window gets one window, which reads some of its bases more than once.
///
/// Starts count on as the segment's own coordinates do: past the origin of a circular contig they
/// may be at or above its length, which fetch_window() brings round.
///
/// No window reads a base outside of its segment; padding lies past true ends of linear contigs.
///
/// @throws UserError (kConfig) for a window or stride below 1 or above 2^53, a fraction outside
///         [0, 1], an excluded interval that is empty, off its contig or on an unknown one.
[[nodiscard]] WindowPlan plan_tiled_windows(const ContigTable& contigs,
                                            const std::vector<Segment>& segments,
                                            const WindowPlanOptions& options);

/// Window of `window_bp` around the middle of `interval`: mid = floor((start + end) / 2),
/// [mid - floor(window_bp / 2), ... + window_bp). It may pass the ends of a linear contig (N); on a
/// circular one its start is brought into [0, contig length).
///
/// @throws UserError (kInputFile) if the contig is unknown or the interval is empty or off it.
[[nodiscard]] Window centred_window(const ContigTable& contigs, const Interval& interval,
                                    std::int64_t window_bp, Strand strand = Strand::kForward);

/// Centres one window on each interval, in their order; exclusions apply, stride_bp does not.
/// segment_of_window holds the index of the interval.
[[nodiscard]] WindowPlan plan_centred_windows(const ContigTable& contigs,
                                              const std::vector<Interval>& intervals,
                                              const WindowPlanOptions& options);

}  // namespace flagen::genomics
