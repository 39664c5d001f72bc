#include "flagen/genomics/range.h"

#include <algorithm>

namespace flagen::genomics {

std::vector<Range> united(std::vector<Range> ranges) {
    std::erase_if(ranges, [](const Range& range) { return range.end_bp <= range.start_bp; });
    std::sort(ranges.begin(), ranges.end(),
              [](const Range& left, const Range& right) { return left.start_bp < right.start_bp; });
    std::vector<Range> merged;
    for (const Range& range : ranges) {
        if (!merged.empty() && range.start_bp <= merged.back().end_bp) {
            merged.back().end_bp = std::max(merged.back().end_bp, range.end_bp);
        } else {
            merged.push_back(range);
        }
    }
    return merged;
}

std::vector<Range> complement(Range universe, std::vector<Range> holes) {
    std::vector<Range> free;
    std::int64_t next_bp = universe.start_bp;
    for (const Range& hole : united(std::move(holes))) {
        const std::int64_t end_bp = std::min(hole.start_bp, universe.end_bp);
        if (end_bp > next_bp) {
            free.push_back({next_bp, end_bp});
        }
        next_bp = std::max(next_bp, hole.end_bp);
    }
    if (next_bp < universe.end_bp) {
        free.push_back({next_bp, universe.end_bp});
    }
    return free;
}

std::int64_t shared_bp(Range query, std::span<const Range> sorted) {
    std::int64_t shared = 0;
    auto range = std::partition_point(sorted.begin(), sorted.end(), [&](const Range& candidate) {
        return candidate.end_bp <= query.start_bp;
    });
    for (; range != sorted.end() && range->start_bp < query.end_bp; ++range) {
        shared += std::min(range->end_bp, query.end_bp) - std::max(range->start_bp, query.start_bp);
    }
    return shared;
}

std::int64_t total_bp(std::span<const Range> ranges) {
    std::int64_t total = 0;
    for (const Range& range : ranges) {
        total += range.length_bp();
    }
    return total;
}

}  // namespace flagen::genomics
