#include "flagen/data/track_windows.h"

#include <algorithm>
#include <utility>

#include "flagen/error.h"

namespace flagen::data {
namespace {

/// Where the output intervals of a segment of `num_bins` bins start, in bins from its start.
std::vector<std::int64_t> output_starts(std::int64_t num_bins, std::int64_t output_bins,
                                        std::int64_t stride_bins) {
    if (num_bins <= output_bins) {
        return {-((output_bins - num_bins) / 2)};
    }
    std::vector<std::int64_t> starts;
    for (std::int64_t start = 0; start + output_bins < num_bins; start += stride_bins) {
        starts.push_back(start);
    }
    starts.push_back(num_bins - output_bins);
    return starts;
}

}  // namespace

TrackWindows::TrackWindows(std::shared_ptr<const TrackSource> source,
                           std::vector<std::int64_t> strand_pair_rows, const WindowGeometry& geometry)
    : source_(std::move(source)), strand_pair_rows_(std::move(strand_pair_rows)), geometry_(geometry) {
    geometry_.check();
    FLAGEN_CHECK_EQ(source_->bin_bp(), geometry_.bin_bp, "bins of the track source, in bp");
    FLAGEN_CHECK_EQ(static_cast<std::int64_t>(strand_pair_rows_.size()), source_->num_tracks(),
                    "strand pairs");
    for (std::size_t row = 0; row < strand_pair_rows_.size(); ++row) {
        const std::int64_t pair = strand_pair_rows_[row];
        FLAGEN_CHECK(pair >= 0 && pair < source_->num_tracks() &&
                         strand_pair_rows_[static_cast<std::size_t>(pair)] ==
                             static_cast<std::int64_t>(row),
                     "track ", row, " is not its partner's partner");
    }
}

std::vector<float> TrackWindows::read(const genomics::Window& window) const {
    FLAGEN_CHECK_EQ(window.length_bp, geometry_.seq_length_bp, "window length");
    const auto num_bins = static_cast<std::size_t>(geometry_.num_bins());
    const auto num_tracks = static_cast<std::size_t>(source_->num_tracks());
    std::vector<float> forward(num_bins * num_tracks);
    source_->read(window.contig, window.start_bp + geometry_.crop_bp, geometry_.num_bins(), forward);
    if (window.strand != genomics::Strand::kReverse) {
        return forward;
    }
    std::vector<float> reverse(forward.size());
    for (std::size_t bin = 0; bin < num_bins; ++bin) {
        const float* from = forward.data() + (num_bins - 1 - bin) * num_tracks;
        float* to = reverse.data() + bin * num_tracks;
        for (std::size_t track = 0; track < num_tracks; ++track) {
            to[track] = from[static_cast<std::size_t>(strand_pair_rows_[track])];
        }
    }
    return reverse;
}

std::vector<TrackPass> plan_track_evaluation(const std::vector<genomics::Segment>& segments,
                                             const WindowGeometry& geometry, std::int64_t stride_bp) {
    geometry.check();
    FLAGEN_USER_CHECK(UserFault::kConfig, stride_bp >= geometry.bin_bp, "the stride of ", stride_bp,
                      " bp is below one bin of ", geometry.bin_bp, " bp");
    const std::int64_t output_bins = geometry.num_bins();
    const std::int64_t stride_bins = std::min(stride_bp / geometry.bin_bp, output_bins);
    std::vector<TrackPass> passes;
    for (const genomics::Segment& segment : segments) {
        const std::int64_t num_bins = segment.length_bp / geometry.bin_bp;
        if (num_bins == 0) {
            continue;
        }
        const std::vector<std::int64_t> starts = output_starts(num_bins, output_bins, stride_bins);
        std::int64_t scored = 0;  // bins of the segment that a window before has scored
        for (std::size_t i = 0; i < starts.size(); ++i) {
            // Between two windows the border lies half-way between their centres.
            const std::int64_t end =
                i + 1 == starts.size() ? num_bins : (starts[i] + starts[i + 1] + output_bins) / 2;
            if (end <= scored) {
                continue;
            }
            TrackPass pass;
            pass.window = {segment.contig,
                           segment.start_bp + starts[i] * geometry.bin_bp - geometry.crop_bp,
                           geometry.seq_length_bp, genomics::Strand::kForward};
            pass.first_bin = scored - starts[i];
            pass.num_bins = end - scored;
            passes.push_back(std::move(pass));
            scored = end;
        }
    }
    return passes;
}

}  // namespace flagen::data
