#include "track_binning.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace flagen::data {

using genomics::BigWigInterval;

void add_to_bins(const TrackIntervals& intervals, std::int64_t start_bp, std::int64_t bin_bp,
                 std::span<double> bins) {
    for (const BigWigInterval& interval : intervals) {
        const double value = interval.value;
        std::int64_t at = interval.start_bp - start_bp;
        const std::int64_t end = interval.end_bp - start_bp;
        std::int64_t bin = at / bin_bp;
        while (at < end) {
            const std::int64_t stop = std::min(end, (bin + 1) * bin_bp);
            bins[static_cast<std::size_t>(bin)] += value * static_cast<double>(stop - at);
            at = stop;
            ++bin;
        }
    }
}

std::int64_t zero_non_finite(TrackIntervals& intervals) {
    std::int64_t bases = 0;
    for (BigWigInterval& interval : intervals) {
        if (!std::isfinite(interval.value)) {
            bases += interval.end_bp - interval.start_bp;
            interval.value = 0.0F;
        }
    }
    return bases;
}

double median_of_bases(const TrackIntervals& intervals, std::int64_t num_bases) {
    if (num_bases == 0) {
        return 0.0;
    }
    std::vector<std::pair<float, std::int64_t>> runs;
    runs.reserve(intervals.size() + 1);
    std::int64_t without_data = num_bases;
    for (const BigWigInterval& interval : intervals) {
        runs.emplace_back(interval.value, interval.end_bp - interval.start_bp);
        without_data -= runs.back().second;
    }
    runs.emplace_back(0.0F, without_data);
    std::sort(runs.begin(), runs.end());
    const auto value_of_rank = [&](std::int64_t rank) {
        for (const auto& [value, count] : runs) {
            rank -= count;
            if (rank < 0) {
                return static_cast<double>(value);
            }
        }
        return static_cast<double>(runs.back().first);
    };
    return (value_of_rank((num_bases - 1) / 2) + value_of_rank(num_bases / 2)) / 2.0;
}

std::int64_t clip_within(TrackIntervals& intervals, std::span<const genomics::Range> ranges,
                         double limit) {
    const auto bound = static_cast<float>(std::abs(limit));
    TrackIntervals pieces;
    pieces.reserve(intervals.size() + 2 * ranges.size());
    std::int64_t changed = 0;
    std::size_t next = 0;
    for (const BigWigInterval& interval : intervals) {
        while (next < ranges.size() && ranges[next].end_bp <= interval.start_bp) {
            ++next;
        }
        std::int64_t at = interval.start_bp;
        for (std::size_t i = next; i < ranges.size() && ranges[i].start_bp < interval.end_bp; ++i) {
            const std::int64_t begin = std::max(at, ranges[i].start_bp);
            const std::int64_t end = std::min(interval.end_bp, ranges[i].end_bp);
            if (begin > at) {
                pieces.push_back({at, begin, interval.value});
            }
            const float clipped = std::clamp(interval.value, -bound, bound);
            pieces.push_back({begin, end, clipped});
            changed += clipped == interval.value ? 0 : end - begin;
            at = end;
        }
        if (at < interval.end_bp) {
            pieces.push_back({at, interval.end_bp, interval.value});
        }
    }
    intervals = std::move(pieces);
    return changed;
}

}  // namespace flagen::data
