#pragma once

#include <optional>
#include <string>

#include "apps/report/figures.h"
#include "flagen/genomics/interval.h"

namespace flagen::data {
class TrackPredictionReader;
}

namespace flagen::apps {
struct RunData;
}

namespace flagen::apps::report {

/// A locus with what has to be said about it.
struct TrackLocusView {
    std::string head;  ///< That predicted the tracks; empty where the file does not say.
    TrackLocus locus;
    std::string note;  ///< Why measured tracks are missing; or empty.
};

/// The bins of one region out of a file of track predictions, measured bins beside them where the run's data hold the
/// same tracks, and the genes that overlap.
///
/// The row drawn is the one that overlaps `region` most, cut to it; without a region, the first row that was predicted.
///
/// @param data null if the run's data could not be read
/// @throws UserError (kConfig) if no predicted row overlaps the region; (kInputFile) if the file is damaged, holds
///         sums in place of bins, or holds no predicted row.
[[nodiscard]] TrackLocusView read_track_locus(const data::TrackPredictionReader& reader, const RunData* data,
                                              const std::optional<genomics::Interval>& region);

}  // namespace flagen::apps::report
