#include "split_folds.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "contig_ranges.h"
#include "flagen/error.h"
#include "flagen/genomics/bed_reader.h"

namespace flagen::genomics {

namespace {

/// Says whether a user's `name` means the fold `label`: "3" and "fold3" both mean "fold3".
[[nodiscard]] bool means(const std::string& name, const std::string& label) {
    return name == label || "fold" + name == label;
}

[[nodiscard]] bool any_means(const std::vector<std::string>& names, const std::string& label) {
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& name) { return means(name, label); });
}

/// Split of the fold `label`; an error if it is named for both.
[[nodiscard]] Split split_of(const SplitDefinition& definition, const std::string& label) {
    const bool is_valid = any_means(definition.valid_folds, label);
    const bool is_test = any_means(definition.test_folds, label);
    FLAGEN_USER_CHECK(UserFault::kConfig, !is_valid || !is_test,
                      "fold is named for validation and for test: ", label);
    return is_valid ? Split::kValid : is_test ? Split::kTest : Split::kTrain;
}

void check_names(const std::vector<std::string>& names, const std::set<std::string>& labels,
                 const std::string& source) {
    for (const std::string& name : names) {
        if (std::any_of(labels.begin(), labels.end(),
                        [&](const std::string& label) { return means(name, label); })) {
            continue;
        }
        std::string seen;
        for (const std::string& label : labels) {
            seen += (seen.empty() ? "" : ", ") + label;
        }
        throw_user_error(UserFault::kConfig, "fold does not exist: ", name, " (", source,
                         "); folds are: ", seen);
    }
}

[[nodiscard]] std::vector<HeldOutPart> parts_of_file(const ContigTable& contigs,
                                                     const SplitDefinition& definition) {
    std::vector<HeldOutPart> parts;
    std::set<std::string> labels;
    for (const BedRecord& record : read_bed(definition.fold_file)) {
        const std::string where =
            " (" + definition.fold_file + ":" + std::to_string(record.line_number) + ")";
        FLAGEN_USER_CHECK(UserFault::kInputFile, !record.name.empty(),
                          "fold file needs a label in column 4: ", interval_text(record.interval),
                          where);
        static_cast<void>(require_on_contig(contigs, record.interval, UserFault::kInputFile,
                                            "fold region" + where));
        labels.insert(record.name);
        const Split split = split_of(definition, record.name);
        parts.push_back({split, record.interval,
                         std::string(split_name(split)) + " fold " + record.name + where,
                         PartSource::kFoldFile});
    }
    check_names(definition.valid_folds, labels, definition.fold_file);
    check_names(definition.test_folds, labels, definition.fold_file);
    return parts;
}

/// Cuts `range` into halves until none is longer than `max_bp`.
void halve(const Range& range, std::int64_t max_bp, std::vector<Range>& blocks) {
    if (range.length_bp() <= max_bp) {
        blocks.push_back(range);
        return;
    }
    const std::int64_t middle = range.start_bp + range.length_bp() / 2;
    halve({range.start_bp, middle}, max_bp, blocks);
    halve({middle, range.end_bp}, max_bp, blocks);
}

[[nodiscard]] std::vector<HeldOutPart> dealt_parts(const ContigTable& contigs,
                                                   const SplitDefinition& definition) {
    FLAGEN_USER_CHECK(UserFault::kConfig, definition.num_folds >= 2,
                      "number of folds is below 2: ", definition.num_folds);
    FLAGEN_USER_CHECK(UserFault::kConfig, definition.fold_block_bp >= 1,
                      "block length of the folds is below 1: ", definition.fold_block_bp);
    std::vector<Interval> blocks;
    for (std::size_t index = 0; index < contigs.size(); ++index) {
        std::vector<Range> halves;
        halve({0, contigs.at(index).length_bp}, definition.fold_block_bp, halves);
        for (const Range& range : halves) {
            blocks.push_back({contigs.at(index).name, range.start_bp, range.end_bp});
        }
    }
    FLAGEN_USER_CHECK(UserFault::kConfig,
                      static_cast<std::int64_t>(blocks.size()) >= definition.num_folds,
                      "genome has too few blocks for the folds: ", blocks.size(), " blocks, ",
                      definition.num_folds, " folds; lower the block length");
    std::stable_sort(blocks.begin(), blocks.end(), [](const Interval& left, const Interval& right) {
        return left.length_bp() > right.length_bp();
    });
    std::vector<std::int64_t> fold_bp(static_cast<std::size_t>(definition.num_folds), 0);
    std::set<std::string> labels;
    for (std::size_t fold = 0; fold < fold_bp.size(); ++fold) {
        labels.insert("fold" + std::to_string(fold));
    }
    check_names(definition.valid_folds, labels, "computed");
    check_names(definition.test_folds, labels, "computed");
    std::vector<HeldOutPart> parts;
    for (const Interval& block : blocks) {
        const auto fewest = std::min_element(fold_bp.begin(), fold_bp.end());
        *fewest += block.length_bp();
        const std::string label = "fold" + std::to_string(fewest - fold_bp.begin());
        const Split split = split_of(definition, label);
        if (split != Split::kTrain) {
            parts.push_back(
                {split, block,
                 std::string(split_name(split)) + " " + label + ", block " + interval_text(block),
                 PartSource::kConfig});
        }
    }
    return parts;
}

}  // namespace

std::vector<HeldOutPart> fold_parts(const ContigTable& contigs, const SplitDefinition& definition) {
    const bool has_file = !definition.fold_file.empty();
    const bool has_number = definition.num_folds != 0;
    FLAGEN_USER_CHECK(UserFault::kConfig, !has_file || !has_number,
                      "folds come from a file and from a number, choose one: ",
                      definition.fold_file, " and ", definition.num_folds);
    if (has_file) {
        return parts_of_file(contigs, definition);
    }
    if (has_number) {
        return dealt_parts(contigs, definition);
    }
    FLAGEN_USER_CHECK(UserFault::kConfig,
                      definition.valid_folds.empty() && definition.test_folds.empty(),
                      "folds are held out, but neither a fold file nor a number of folds is given");
    return {};
}

}  // namespace flagen::genomics
