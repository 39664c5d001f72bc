#include "flagen/genomics/split_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include "contig_ranges.h"
#include "flagen/error.h"
#include "split_folds.h"

namespace flagen::genomics {

namespace {

[[nodiscard]] HeldOutPart part_of(Split split, const Interval& interval, std::string name,
                                  PartSource source) {
    return {split, interval, std::string(split_name(split)) + " " + std::move(name), source};
}

void add_contigs(const ContigTable& contigs, const std::vector<std::string>& names, Split split,
                 std::vector<HeldOutPart>& parts) {
    for (const std::string& name : names) {
        const auto index = contigs.find(name);
        if (!index) {
            const auto alias = contigs.likely_alias(name);
            throw_user_error(UserFault::kConfig, split_name(split),
                             " contig is not in the genome: ", name,
                             alias ? "; is " + *alias + " meant?" : std::string{});
        }
        parts.push_back(part_of(split, {name, 0, contigs.at(*index).length_bp}, "contig " + name,
                                PartSource::kConfig));
    }
}

void add_intervals(const ContigTable& contigs, const std::vector<Interval>& intervals, Split split,
                   std::vector<HeldOutPart>& parts) {
    for (const Interval& interval : intervals) {
        static_cast<void>(require_on_contig(contigs, interval, UserFault::kConfig,
                                            std::string(split_name(split)) + " interval"));
        parts.push_back(
            part_of(split, interval, "interval " + interval_text(interval), PartSource::kConfig));
    }
}

/// A linear piece of a held-out part.
struct Piece {
    Range range;
    const HeldOutPart* part;
};

/// Says whether two overlapping parts contradict each other or say the same thing twice.
[[nodiscard]] bool is_conflict(const HeldOutPart& left, const HeldOutPart& right) {
    if (&left == &right) {
        return false;
    }
    const bool both_from_file =
        left.source == PartSource::kFoldFile && right.source == PartSource::kFoldFile;
    if (left.split == Split::kTrain || right.split == Split::kTrain) {
        // Rows of folds that are not held out bind the fold file alone.
        return both_from_file && left.split != right.split;
    }
    return left.split != right.split || !both_from_file;
}

/// Throws for the first pair of parts of one contig that overlap and must not.
void check_overlaps(std::vector<Piece> pieces) {
    std::sort(pieces.begin(), pieces.end(), [](const Piece& left, const Piece& right) {
        return left.range.start_bp < right.range.start_bp;
    });
    // One entry for each kind of part: whether two parts conflict depends on their kinds alone, so
    // the one that reaches furthest stands for all of its kind.
    std::array<const Piece*, 6> furthest{};
    for (const Piece& piece : pieces) {
        for (const Piece* earlier : furthest) {
            if (earlier == nullptr || earlier->range.end_bp <= piece.range.start_bp ||
                !is_conflict(*earlier->part, *piece.part)) {
                continue;
            }
            throw_user_error(piece.part->source == PartSource::kFoldFile &&
                                     earlier->part->source == PartSource::kFoldFile
                                 ? UserFault::kInputFile
                                 : UserFault::kConfig,
                             "parts of the split overlap: ", earlier->part->name, " and ",
                             piece.part->name);
        }
        const Piece*& kind = furthest[static_cast<std::size_t>(piece.part->split) * 2 +
                                      (piece.part->source == PartSource::kFoldFile ? 1 : 0)];
        if (kind == nullptr || piece.range.end_bp > kind->range.end_bp) {
            kind = &piece;
        }
    }
}

[[nodiscard]] std::int64_t shared_bp(const std::vector<Range>& queries,
                                     const std::vector<Range>& sorted) {
    std::int64_t shared = 0;
    for (const Range& query : queries) {
        shared += shared_bp(query, sorted);
    }
    return shared;
}

}  // namespace

const char* split_name(Split split) {
    switch (split) {
        case Split::kTrain:
            return "train";
        case Split::kValid:
            return "valid";
        case Split::kTest:
            return "test";
        case Split::kNone:
            break;
    }
    return "none";
}

SplitPlan::SplitPlan(ContigTable contigs, const SplitDefinition& definition)
    : contigs_(std::move(contigs)), parts_(contigs_.size()) {
    FLAGEN_USER_CHECK(UserFault::kConfig, definition.margin_bp >= 0,
                      "margin of the split is negative: ", definition.margin_bp);
    std::vector<HeldOutPart> parts = fold_parts(contigs_, definition);
    add_contigs(contigs_, definition.valid_contigs, Split::kValid, parts);
    add_contigs(contigs_, definition.test_contigs, Split::kTest, parts);
    add_intervals(contigs_, definition.valid_intervals, Split::kValid, parts);
    add_intervals(contigs_, definition.test_intervals, Split::kTest, parts);

    std::vector<std::vector<Piece>> pieces(contigs_.size());
    for (const HeldOutPart& part : parts) {
        const std::size_t index = *contigs_.find(part.interval.contig);
        const Contig& contig = contigs_.at(index);
        const auto [start_bp, end_bp] = Range{part.interval.start_bp, part.interval.end_bp};
        for (const Range& range : ranges_on(contig, start_bp, end_bp)) {
            pieces[index].push_back({range, &part});
            if (part.split != Split::kTrain) {
                (part.split == Split::kTest ? parts_[index].test : parts_[index].valid)
                    .push_back(range);
            }
        }
        if (part.split != Split::kTrain) {
            // A margin longer than the contig closes all of it; more would overflow.
            const std::int64_t margin = std::min(definition.margin_bp, contig.length_bp);
            for (const Range& range : ranges_on(contig, start_bp - margin, end_bp + margin)) {
                parts_[index].closed.push_back(range);
            }
        }
    }
    for (std::size_t index = 0; index < parts_.size(); ++index) {
        check_overlaps(std::move(pieces[index]));
        parts_[index].valid = united(std::move(parts_[index].valid));
        parts_[index].test = united(std::move(parts_[index].test));
        parts_[index].closed = united(std::move(parts_[index].closed));
    }
}

Split SplitPlan::of_interval(const Interval& interval) const {
    const std::size_t index =
        require_on_contig(contigs_, interval, UserFault::kInputFile, "interval");
    const std::vector<Range> query =
        ranges_on(contigs_.at(index), interval.start_bp, interval.end_bp);
    const ContigParts& parts = parts_[index];
    if (shared_bp(query, parts.closed) == 0) {
        return Split::kTrain;
    }
    if (shared_bp(query, parts.test) == interval.length_bp()) {
        return Split::kTest;
    }
    return shared_bp(query, parts.valid) == interval.length_bp() ? Split::kValid : Split::kNone;
}

std::vector<Segment> SplitPlan::segments(Split split) const {
    FLAGEN_CHECK(split != Split::kNone, "has no segments");
    std::vector<Segment> segments;
    for (std::size_t index = 0; index < contigs_.size(); ++index) {
        const Contig& contig = contigs_.at(index);
        const ContigParts& parts = parts_[index];
        std::vector<Range> ranges = split == Split::kTrain
                                        ? complement({0, contig.length_bp}, parts.closed)
                                    : split == Split::kTest ? parts.test
                                                            : parts.valid;
        const bool is_whole = ranges.size() == 1 && ranges[0].length_bp() == contig.length_bp;
        if (contig.circular && ranges.size() > 1 && ranges.front().start_bp == 0 &&
            ranges.back().end_bp == contig.length_bp) {
            // The stretch at the end and the one at base 0 are one.
            ranges.back().end_bp += ranges.front().length_bp();
            ranges.erase(ranges.begin());
        }
        for (const Range& range : ranges) {
            segments.push_back({contig.name, range.start_bp, range.length_bp(),
                                !contig.circular && range.start_bp == 0,
                                !contig.circular && range.end_bp == contig.length_bp,
                                contig.circular && is_whole});
        }
    }
    return segments;
}

}  // namespace flagen::genomics
