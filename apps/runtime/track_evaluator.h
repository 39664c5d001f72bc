#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "flagen/data/track_windows.h"

namespace flagen {
class JsonObject;
}

namespace flagen::apps {

struct RunData;
struct TrackData;
class TrackPredictor;

/// The scales on which tracks are compared: as trained (squashed by the table's transform), as
/// measured (raw), and log(raw + 1).
enum class TrackScale { kSquashed, kRaw, kLog1p };
inline constexpr TrackScale kTrackScales[] = {TrackScale::kSquashed, TrackScale::kRaw, TrackScale::kLog1p};
/// "squashed", "raw" or "log1p".
[[nodiscard]] const char* track_scale_name(TrackScale scale);

/// Agreement over bins of one predictor on one split and scale.
struct TrackScores {
    std::string predictor;  ///< "model" or "TSS profile".
    std::string split;
    TrackScale scale = TrackScale::kSquashed;
    std::int64_t num_bins = 0;
    std::vector<double> pearson;  ///< [T], NaN for a constant track.
    std::vector<double> r2;       ///< [T]

    [[nodiscard]] double mean_pearson() const;  ///< Over tracks where it is defined.
    [[nodiscard]] double mean_r2() const;
};

/// Predicted bins of one pass, [N, T] fp32 on the training scale: all bins of its window.
using TrackPrediction = std::function<at::Tensor(const data::TrackPass& pass)>;
/// Called with the number of windows done and in all; returns false to stop.
using TrackProgress = std::function<bool(std::int64_t done, std::int64_t total)>;

/// Windows and bins that score a split: its listed windows where the data come from a list, else
/// its segments tiled by outputs. Bins that listed windows share count once for each of them.
[[nodiscard]] std::vector<data::TrackPass> track_passes(const RunData& data, genomics::Split split);

/// Scores `predict` over the bins of `passes` on all scales, streaming: memory for a window or two.
[[nodiscard]] std::vector<TrackScores> score_tracks(const TrackData& tracks, const std::vector<data::TrackPass>& passes,
                                                    const std::string& predictor, const std::string& split,
                                                    const TrackPrediction& predict, const TrackProgress& progress = {});

/// A table to read: mean over tracks and over each group, by predictor, split and scale.
[[nodiscard]] std::string track_scores_table(const TrackData& tracks, const std::vector<TrackScores>& scores);

/// Adds the same to "tracks" of eval.json, with head and transform, and with every track's numbers.
void write_track_scores(JsonObject& root, const TrackData& tracks, const std::vector<TrackScores>& scores);

/// Borzoi's acc.txt: index, pearsonr, r2, identifier, description.
[[nodiscard]] std::string borzoi_accuracy_table(const TrackData& tracks, const TrackScores& scores);

}  // namespace flagen::apps
