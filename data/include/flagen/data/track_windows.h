#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "flagen/data/track_source.h"
#include "flagen/data/window_list.h"
#include "flagen/genomics/split_plan.h"
#include "flagen/genomics/window.h"

namespace flagen::data {

/// Reads the tracks of windows in the orientation in which a window is read.
class TrackWindows {
  public:
    /// `strand_pair_rows` [T]: the track that takes a track's place under reverse complement.
    /// @throws Error if the source's bins are not the geometry's, or a pair is not mutual.
    TrackWindows(std::shared_ptr<const TrackSource> source,
                 std::vector<std::int64_t> strand_pair_rows, const WindowGeometry& geometry);

    /// Row-major [num_bins, T] on the training scale. For a reverse-complemented window the bins run
    /// from the right and the tracks of a strand pair change places. Zeros off the contig.
    /// Thread-safe. @throws Error if the window is not of geometry().seq_length_bp.
    [[nodiscard]] std::vector<float> read(const genomics::Window& window) const;

    [[nodiscard]] const WindowGeometry& geometry() const { return geometry_; }
    [[nodiscard]] std::int64_t num_tracks() const { return source_->num_tracks(); }
    [[nodiscard]] const std::vector<std::int64_t>& strand_pair_rows() const {
        return strand_pair_rows_;
    }
    [[nodiscard]] const TrackSource& source() const { return *source_; }

  private:
    std::shared_ptr<const TrackSource> source_;
    std::vector<std::int64_t> strand_pair_rows_;
    WindowGeometry geometry_;
};

/// One window of an evaluation and the bins of it that count.
struct TrackPass {
    genomics::Window window;     ///< Forward.
    std::int64_t first_bin = 0;  ///< Of the window's bins.
    std::int64_t num_bins = 0;   ///< At least 1.
};

/// Windows that score every whole bin of `segments` once.
///
/// A segment [a, b) holds the bins [a + i * bin, a + (i + 1) * bin). Output intervals of the windows
/// start at a and follow each other at `stride_bp` (rounded down to whole bins, at most the output
/// length); the last one ends with the segment's last whole bin. Each bin is scored from the window
/// whose centre is nearest. A segment shorter than an output interval gets one window around it.
/// The inputs may reach over the segment's borders: held-out bins are read with their true
/// neighbours.
///
/// @throws UserError (kConfig) as WindowGeometry::check(), or for a stride below one bin.
[[nodiscard]] std::vector<TrackPass> plan_track_evaluation(
    const std::vector<genomics::Segment>& segments, const WindowGeometry& geometry, std::int64_t stride_bp);

}  // namespace flagen::data
