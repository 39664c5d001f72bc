#include "flagen/genomics/window_planner.h"

#include <utility>

#include "contig_ranges.h"
#include "flagen/error.h"
#include "flagen/genomics/range.h"

namespace flagen::genomics {

namespace {

// Far above any contig and far below what sums of positions could overflow.
constexpr std::int64_t kMaxLength = std::int64_t{1} << 53;

void check_options(const WindowPlanOptions& options) {
    FLAGEN_USER_CHECK(UserFault::kConfig, options.window_bp >= 1 && options.window_bp <= kMaxLength,
                      "window length is not between 1 and 2^53: ", options.window_bp);
    FLAGEN_USER_CHECK(UserFault::kConfig, options.stride_bp >= 1 && options.stride_bp <= kMaxLength,
                      "stride of the windows is not between 1 and 2^53: ", options.stride_bp);
    FLAGEN_USER_CHECK(
        UserFault::kConfig,
        options.drop_at_excluded_fraction >= 0.0 && options.drop_at_excluded_fraction <= 1.0,
        "excluded fraction is not in [0, 1]: ", options.drop_at_excluded_fraction);
}

/// Adds windows to a plan unless too much of them is excluded.
class PlanBuilder {
  public:
    PlanBuilder(const ContigTable& contigs, const WindowPlanOptions& options)
        : contigs_(contigs), options_(options), excluded_(contigs.size()) {
        check_options(options);
        for (const Interval& interval : options.excluded) {
            const std::size_t index =
                require_on_contig(contigs, interval, UserFault::kConfig, "excluded interval");
            for (const Range& range :
                 ranges_on(contigs.at(index), interval.start_bp, interval.end_bp)) {
                excluded_[index].push_back(range);
            }
        }
        for (std::vector<Range>& ranges : excluded_) {
            ranges = united(std::move(ranges));
        }
    }

    void add(std::size_t contig_index, std::int64_t start_bp, std::size_t segment) {
        const std::int64_t excluded = excluded_bp(contig_index, start_bp);
        const double limit =
            options_.drop_at_excluded_fraction * static_cast<double>(options_.window_bp);
        if (excluded > 0 && static_cast<double>(excluded) >= limit) {
            ++plan_.num_dropped_excluded;
            return;
        }
        plan_.windows.push_back(
            {contigs_.at(contig_index).name, start_bp, options_.window_bp, Strand::kForward});
        plan_.segment_of_window.push_back(segment);
    }

    void count_too_short() { ++plan_.num_segments_too_short; }

    [[nodiscard]] WindowPlan take() { return std::move(plan_); }

  private:
    /// Excluded bases that a window reads; one that goes round a ring reads some several times.
    [[nodiscard]] std::int64_t excluded_bp(std::size_t contig_index, std::int64_t start_bp) const {
        const Contig& contig = contigs_.at(contig_index);
        const std::vector<Range>& excluded = excluded_[contig_index];
        std::int64_t length_bp = options_.window_bp;
        std::int64_t count = 0;
        if (contig.circular) {
            count = length_bp / contig.length_bp * total_bp(excluded);
            length_bp %= contig.length_bp;
        }
        for (const Range& range : ranges_on(contig, start_bp, start_bp + length_bp)) {
            count += shared_bp(range, excluded);
        }
        return count;
    }

    const ContigTable& contigs_;
    const WindowPlanOptions& options_;
    std::vector<std::vector<Range>> excluded_;
    WindowPlan plan_;
};

/// Start of a window around the middle of [start_bp, end_bp).
[[nodiscard]] std::int64_t centred_start(std::int64_t start_bp, std::int64_t end_bp,
                                         std::int64_t window_bp) {
    return start_bp + (end_bp - start_bp) / 2 - window_bp / 2;
}

/// Starts of the windows of a segment.
[[nodiscard]] std::vector<std::int64_t> starts_in(const Segment& segment,
                                                  const WindowPlanOptions& options) {
    const std::int64_t window_bp = options.window_bp;
    std::vector<std::int64_t> starts;
    if (segment.length_bp < window_bp) {
        if (segment.whole_ring || (segment.at_contig_start && segment.at_contig_end)) {
            starts.push_back(centred_start(segment.start_bp, segment.end_bp(), window_bp));
        } else if (segment.at_contig_start) {
            starts.push_back(segment.end_bp() - window_bp);
        } else if (segment.at_contig_end) {
            starts.push_back(segment.start_bp);
        }
        return starts;
    }
    if (segment.whole_ring && segment.length_bp > window_bp) {
        for (std::int64_t offset = 0; offset < segment.length_bp; offset += options.stride_bp) {
            starts.push_back(segment.start_bp + offset);
        }
        return starts;
    }
    const std::int64_t last = segment.end_bp() - window_bp;
    for (std::int64_t start = segment.start_bp; start < last; start += options.stride_bp) {
        starts.push_back(start);
    }
    starts.push_back(last);
    return starts;
}

}  // namespace

WindowPlan plan_tiled_windows(const ContigTable& contigs, const WindowPlanOptions& options) {
    std::vector<Segment> segments;
    for (std::size_t index = 0; index < contigs.size(); ++index) {
        const Contig& contig = contigs.at(index);
        segments.push_back({contig.name, 0, contig.length_bp, !contig.circular, !contig.circular,
                            contig.circular});
    }
    return plan_tiled_windows(contigs, segments, options);
}

WindowPlan plan_tiled_windows(const ContigTable& contigs, const std::vector<Segment>& segments,
                              const WindowPlanOptions& options) {
    PlanBuilder plan(contigs, options);
    for (std::size_t segment = 0; segment < segments.size(); ++segment) {
        const auto index = contigs.find(segments[segment].contig);
        FLAGEN_CHECK(index.has_value(), "segment on an unknown contig: ", segments[segment].contig);
        const std::vector<std::int64_t> starts = starts_in(segments[segment], options);
        if (starts.empty()) {
            plan.count_too_short();
        }
        for (const std::int64_t start : starts) {
            plan.add(*index, start, segment);
        }
    }
    return plan.take();
}

Window centred_window(const ContigTable& contigs, const Interval& interval, std::int64_t window_bp,
                      Strand strand) {
    FLAGEN_CHECK(window_bp >= 1 && window_bp <= kMaxLength, "window length ", window_bp);
    const Contig& contig = contigs.at(
        require_on_contig(contigs, interval, UserFault::kInputFile, "centre of a window"));
    const std::int64_t start = centred_start(interval.start_bp, interval.end_bp, window_bp);
    return {contig.name, contig.circular ? wrapped_position(start, contig.length_bp) : start,
            window_bp, strand};
}

WindowPlan plan_centred_windows(const ContigTable& contigs, const std::vector<Interval>& intervals,
                                const WindowPlanOptions& options) {
    PlanBuilder plan(contigs, options);
    for (std::size_t row = 0; row < intervals.size(); ++row) {
        const Window window = centred_window(contigs, intervals[row], options.window_bp);
        plan.add(*contigs.find(window.contig), window.start_bp, row);
    }
    return plan.take();
}

}  // namespace flagen::genomics
