#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "flagen/models/metrics.h"

namespace flagen::models {

/// Pearson's r and R2 of every track over all bins of all windows, fed a batch at a time.
///
///     pearson = sum (p - mean p)(m - mean m) / sqrt(sum (p - mean p)^2 sum (m - mean m)^2)
///     r2      = 1 - sum (m - p)^2 / sum (m - mean m)^2
///
/// fp64, one pass, any order of magnitude: each batch is reduced to means and sums of squared
/// deviations by two passes over it, then merged with what came before as PairMoments::merge()
/// does. A constant side gives NaN, as in PairMoments. Keeps seven numbers a track.
class TrackMetrics {
  public:
    explicit TrackMetrics(std::int64_t num_tracks);

    /// @param predicted [..., T] of any floating dtype and device
    /// @param measured  the same shape; a NaN is missing and counts on neither side
    /// @throws Error on other shapes, a prediction that is not finite, or an infinite measurement.
    void add(const at::Tensor& predicted, const at::Tensor& measured);
    /// Adds what another one, of as many tracks, has seen.
    void merge(const TrackMetrics& other);

    [[nodiscard]] std::int64_t num_tracks() const {
        return static_cast<std::int64_t>(tracks_.size());
    }
    [[nodiscard]] std::int64_t count(std::int64_t track) const;  ///< pairs seen
    [[nodiscard]] double pearson(std::int64_t track) const;
    [[nodiscard]] double r2(std::int64_t track) const;
    [[nodiscard]] std::vector<double> pearsons() const;  ///< [T]
    [[nodiscard]] std::vector<double> r2s() const;       ///< [T]

    /// The state of all tracks as fp64 [T, 7] (PairMoments::State), for sending to another
    /// process, and back.
    [[nodiscard]] at::Tensor state() const;
    [[nodiscard]] static TrackMetrics from_state(const at::Tensor& state);

  private:
    std::vector<PairMoments> tracks_;
};

/// Means over the tracks of one group.
struct TrackGroupScore {
    std::int64_t num_tracks = 0;
    DefinedMean pearson;
    DefinedMean r2;
};

/// Means of all tracks by the name of their group. @throws Error unless there is a name a track.
[[nodiscard]] std::map<std::string, TrackGroupScore> score_track_groups(
    const std::vector<double>& pearsons, const std::vector<double>& r2s,
    const std::vector<std::string>& groups);

}  // namespace flagen::models
