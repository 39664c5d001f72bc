#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/interval.h"
#include "flagen/genomics/range.h"

namespace flagen::genomics {

/// The use of a stretch of the genome.
enum class Split {
    kTrain,
    kValid,
    kTest,
    kNone,  ///< In no split: crosses a border, or touches a margin.
};

/// "train", "valid", "test" or "none", as outputs spell it.
[[nodiscard]] const char* split_name(Split split);

/// A stretch of one contig whose bases all have the same use, as long as can be.
///
/// On a circular contig start_bp + length_bp may pass the contig end: the stretch goes on at base
/// 0. A whole circular contig has start_bp 0 and length_bp of the contig.
struct Segment {
    std::string contig;
    std::int64_t start_bp = 0;     ///< In [0, contig length).
    std::int64_t length_bp = 0;    ///< At least 1, at most the contig's length.
    bool at_contig_start = false;  ///< Begins at the true end of a linear contig: nothing before.
    bool at_contig_end = false;    ///< Ends at the true end of a linear contig: nothing after.
    bool whole_ring = false;       ///< All of a circular contig.

    [[nodiscard]] std::int64_t end_bp() const { return start_bp + length_bp; }
};

/// What a user may say about held-out parts. All sources may be combined.
struct SplitDefinition {
    std::vector<std::string> valid_contigs;
    std::vector<std::string> test_contigs;
    std::vector<Interval> valid_intervals;  ///< On circular contigs end_bp may pass the end.
    std::vector<Interval> test_intervals;

    /// BED file whose column 4 labels regions, for example "fold3"; the regions of the named folds
    /// are held out. A fold is named by its label, or by n for the label "fold<n>".
    std::string fold_file;
    /// Without a fold_file: cuts contigs longer than fold_block_bp into halves until they fit and
    /// deals the blocks, longest first, each to the fold with the fewest bases; folds "0", "1", ...
    std::int64_t num_folds = 0;
    std::int64_t fold_block_bp = 2'097'152;
    std::vector<std::string> valid_folds;
    std::vector<std::string> test_folds;

    /// Bases on each side of a held-out part that no training window may touch.
    std::int64_t margin_bp = 0;
};

/// Which bases of a genome train, validate and test.
class SplitPlan {
  public:
    /// @throws UserError (kConfig) for an unknown contig or fold, an interval that is empty or off
    ///         its contig, a negative margin, folds named without a source of folds, and for parts
    ///         that overlap each other (names both); kInputFile for faults of the fold file.
    SplitPlan(ContigTable contigs, const SplitDefinition& definition);

    /// kTest or kValid if `interval` lies wholly in one held-out part, kTrain if it shares no base
    /// with a held-out part or its margin, else kNone. end_bp may pass the end of a circular
    /// contig.
    ///
    /// @throws UserError (kInputFile) if the contig is unknown or the interval is empty or off it.
    [[nodiscard]] Split of_interval(const Interval& interval) const;

    /// Maximal stretches of `split`, contigs in table order, ascending. Training stretches share
    /// no base with a held-out part or its margin; a stretch over the origin of a circular contig
    /// comes last.
    ///
    /// @throws flagen::Error for kNone.
    [[nodiscard]] std::vector<Segment> segments(Split split) const;
    [[nodiscard]] std::vector<Segment> train_segments() const { return segments(Split::kTrain); }

    [[nodiscard]] const ContigTable& contigs() const { return contigs_; }

  private:
    struct ContigParts {
        std::vector<Range> valid;   ///< United, within [0, length).
        std::vector<Range> test;    ///< United, within [0, length).
        std::vector<Range> closed;  ///< valid, test and margins, united: no training here.
    };

    ContigTable contigs_;
    std::vector<ContigParts> parts_;  ///< One for each contig of the table.
};

}  // namespace flagen::genomics
