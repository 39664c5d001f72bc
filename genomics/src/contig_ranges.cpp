#include "contig_ranges.h"

#include <algorithm>

namespace flagen::genomics {

std::int64_t wrapped_position(std::int64_t value, std::int64_t length) {
    const std::int64_t rest = value % length;
    return rest < 0 ? rest + length : rest;
}

std::vector<Range> ranges_on(const Contig& contig, std::int64_t start_bp, std::int64_t end_bp) {
    const std::int64_t length = contig.length_bp;
    if (!contig.circular) {
        const Range cut{std::max<std::int64_t>(start_bp, 0), std::min(end_bp, length)};
        return cut.length_bp() > 0 ? std::vector<Range>{cut} : std::vector<Range>{};
    }
    if (end_bp - start_bp >= length) {
        return {{0, length}};
    }
    if (end_bp <= start_bp) {
        return {};
    }
    const std::int64_t start = wrapped_position(start_bp, length);
    const std::int64_t end = start + (end_bp - start_bp);
    if (end <= length) {
        return {{start, end}};
    }
    return {{0, end - length}, {start, length}};
}

std::string interval_text(const Interval& interval) {
    return interval.contig + ":" + std::to_string(interval.start_bp) + "-" +
           std::to_string(interval.end_bp);
}

std::size_t require_on_contig(const ContigTable& contigs, const Interval& interval, UserFault fault,
                              const std::string& what) {
    const auto index = contigs.find(interval.contig);
    if (!index) {
        const auto alias = contigs.likely_alias(interval.contig);
        throw_user_error(fault, what,
                         " is on a contig that the genome lacks: ", interval_text(interval),
                         alias ? "; is " + *alias + " meant?" : std::string{});
    }
    FLAGEN_USER_CHECK(fault, interval.start_bp < interval.end_bp, what,
                      " holds no base: ", interval_text(interval));
    const Contig& contig = contigs.at(*index);
    const std::int64_t length = contig.length_bp;
    const bool is_on =
        interval.start_bp >= 0 && interval.start_bp < length &&
        (contig.circular ? interval.length_bp() <= length : interval.end_bp <= length);
    FLAGEN_USER_CHECK(fault, is_on, what, " reaches past its contig: ", interval_text(interval),
                      "; ", contig.name, " has ", length, " bp",
                      contig.circular ? ", circular" : "");
    return *index;
}

}  // namespace flagen::genomics
