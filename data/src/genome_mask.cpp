#include "flagen/data/genome_mask.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "flagen/error.h"
#include "flagen/genomics/bed_reader.h"
#include "flagen/sha256.h"

namespace flagen::data {

using genomics::Range;

GenomeMask GenomeMask::load(const std::string& path, const genomics::ContigTable& contigs,
                            const genomics::ContigAliases& aliases, std::int64_t padding_bp) {
    FLAGEN_CHECK(padding_bp >= 0, "padding ", padding_bp);
    GenomeMask mask;
    mask.ranges_.resize(contigs.size());
    std::string unknown;
    for (const genomics::BedRecord& record : genomics::read_bed(path)) {
        ++mask.num_rows_;
        const genomics::Interval& interval = record.interval;
        const std::optional<std::size_t> index = aliases.find(contigs, interval.contig);
        if (!index) {
            ++mask.num_unknown_;
            unknown = unknown.empty() ? interval.contig : unknown;
            continue;
        }
        const std::int64_t length = contigs.at(*index).length_bp;
        FLAGEN_USER_CHECK(UserFault::kInputFile, interval.end_bp <= length,
                          "interval reaches past its contig: ", interval.contig, ":",
                          interval.start_bp, "-", interval.end_bp, ", ", interval.contig, " has ",
                          length, " bp (", path, ":", record.line_number,
                          "); is the file of another assembly?");
        mask.ranges_[*index].push_back({std::max<std::int64_t>(interval.start_bp - padding_bp, 0),
                                        std::min(interval.end_bp + padding_bp, length)});
    }
    if (mask.num_unknown_ == mask.num_rows_) {
        const auto alias = contigs.likely_alias(unknown);
        throw_user_error(UserFault::kInputFile, "no row lies on a contig of the genome: ", unknown,
                         " (", path, ")",
                         alias ? "; is " + *alias + " meant? Give an alias table" : std::string{});
    }
    for (std::vector<Range>& ranges : mask.ranges_) {
        ranges = genomics::united(std::move(ranges));
    }
    return mask;
}

std::span<const Range> GenomeMask::on(std::size_t index) const {
    return empty() ? std::span<const Range>{} : std::span<const Range>(ranges_.at(index));
}

std::span<const Range> GenomeMask::overlapping(std::size_t index, std::int64_t start_bp,
                                               std::int64_t end_bp) const {
    const std::span<const Range> ranges = on(index);
    const auto first = std::partition_point(
        ranges.begin(), ranges.end(), [&](const Range& range) { return range.end_bp <= start_bp; });
    const auto last = std::partition_point(
        first, ranges.end(), [&](const Range& range) { return range.start_bp < end_bp; });
    return ranges.subspan(static_cast<std::size_t>(first - ranges.begin()),
                          static_cast<std::size_t>(last - first));
}

std::vector<genomics::Interval> GenomeMask::intervals(const genomics::ContigTable& contigs) const {
    std::vector<genomics::Interval> result;
    for (std::size_t index = 0; index < ranges_.size(); ++index) {
        for (const Range& range : ranges_[index]) {
            result.push_back({contigs.at(index).name, range.start_bp, range.end_bp});
        }
    }
    return result;
}

std::string GenomeMask::digest() const {
    if (empty()) {
        return {};
    }
    std::string text;
    for (std::size_t index = 0; index < ranges_.size(); ++index) {
        for (const Range& range : ranges_[index]) {
            text += std::to_string(index) + "\t" + std::to_string(range.start_bp) + "\t" +
                    std::to_string(range.end_bp) + "\n";
        }
    }
    return sha256_of(text);
}

}  // namespace flagen::data
