#pragma once

#include <string>
#include <vector>

#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/interval.h"
#include "flagen/genomics/split_plan.h"

namespace flagen::genomics {

/// Who said that a part is held out.
enum class PartSource {
    kConfig,    ///< A contig, an interval or a fold number.
    kFoldFile,  ///< A row of the fold file; rows of one fold may overlap each other.
};

/// A stretch with a given use.
struct HeldOutPart {
    Split split = Split::kNone;  ///< kTrain for a row of a fold that is not held out.
    Interval interval;           ///< On its contig; may pass the end of a circular one.
    std::string name;            ///< For messages, for example "test fold fold3 (folds.bed:12)".
    PartSource source = PartSource::kConfig;
};

/// Parts that the folds of `definition` ask for; none if it names no folds.
///
/// @throws UserError as SplitPlan's constructor does.
[[nodiscard]] std::vector<HeldOutPart> fold_parts(const ContigTable& contigs,
                                                  const SplitDefinition& definition);

}  // namespace flagen::genomics
