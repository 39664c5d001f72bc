#include "apps/runtime/tss_profile.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "apps/runtime/run_data.h"
#include "apps/runtime/track_evaluator.h"
#include "flagen/error.h"

namespace flagen::apps {
namespace {

constexpr std::int64_t kNumClasses = (TssProfile::kUpstreamBp + TssProfile::kDownstreamBp) / TssProfile::kClassBp;
constexpr std::int64_t kFar = std::numeric_limits<std::int64_t>::max() / 4;

// Distance to the nearest start, counted along the genes' direction (+1 or -1).
std::int64_t nearest(const std::map<std::string, std::vector<std::int64_t>>& starts, const std::string& contig,
                     std::int64_t position_bp, std::int64_t direction) {
    const auto found = starts.find(contig);
    if (found == starts.end()) {
        return kFar;
    }
    const auto above = std::lower_bound(found->second.begin(), found->second.end(), position_bp);
    std::int64_t best = kFar;
    if (above != found->second.end()) {
        best = position_bp - *above;
    }
    if (above != found->second.begin() && position_bp - *(above - 1) < std::abs(best)) {
        best = position_bp - *(above - 1);
    }
    return best == kFar ? kFar : best * direction;
}

}  // namespace

TssProfile::TssProfile(const RunData& data) : data_(data) {
    FLAGEN_CHECK(data.tracks.has_value() && !data.targets.spans.empty(), "a TSS profile needs tracks and genes");
    for (const genomics::GeneSpan& gene : data.targets.spans) {
        const bool coding = !gene.pieces.empty();
        if (gene.strand == genomics::Strand::kForward) {
            forward_[gene.contig].push_back(coding ? gene.pieces.front().start_bp : gene.start_bp);
        } else {
            reverse_[gene.contig].push_back(coding ? gene.pieces.back().end_bp : gene.end_bp);
        }
    }
    for (Starts* starts : {&forward_, &reverse_}) {
        for (auto& [contig, positions] : *starts) {
            std::sort(positions.begin(), positions.end());
        }
    }

    const TrackData& tracks = *data.tracks;
    const data::WindowGeometry& geometry = tracks.windows->geometry();
    const std::int64_t num_tracks = tracks.windows->num_tracks();
    at::Tensor sum = at::zeros({kNumClasses, num_tracks}, at::kDouble);
    at::Tensor count = at::zeros({kNumClasses, num_tracks}, at::kDouble);
    const auto passes = track_passes(data, genomics::Split::kTrain);
    for (const data::TrackPass& pass : passes) {
        std::vector<float> values = tracks.windows->read(pass.window);
        const at::Tensor raw =
            tracks.transform.invert(at::from_blob(values.data(), {geometry.num_bins(), num_tracks}, at::kFloat))
                .to(at::kDouble)
                .contiguous();
        for (std::int64_t track = 0; track < num_tracks; ++track) {
            const auto of_bin = classes(pass, tracks.table.strand(static_cast<std::size_t>(track)));
            for (std::int64_t bin = pass.first_bin; bin < pass.first_bin + pass.num_bins; ++bin) {
                const std::int64_t row = of_bin[static_cast<std::size_t>(bin)];
                sum.mutable_data_ptr<double>()[row * num_tracks + track] +=
                    raw.const_data_ptr<double>()[bin * num_tracks + track];
                count.mutable_data_ptr<double>()[row * num_tracks + track] += 1.0;
            }
        }
    }
    profile_ = tracks.transform.apply((sum / count.clamp_min(1.0)).to(at::kFloat));
}

std::vector<std::int64_t> TssProfile::classes(const data::TrackPass& pass, char strand) const {
    const data::WindowGeometry& geometry = data_.tracks->windows->geometry();
    std::vector<std::int64_t> result;
    result.reserve(static_cast<std::size_t>(geometry.num_bins()));
    for (std::int64_t bin = 0; bin < geometry.num_bins(); ++bin) {
        const std::int64_t middle = pass.window.start_bp + geometry.crop_bp + bin * geometry.bin_bp + geometry.bin_bp / 2;
        std::int64_t distance = kFar;
        if (strand != '-') {
            distance = nearest(forward_, pass.window.contig, middle, 1);
        }
        if (strand != '+') {
            const std::int64_t other = nearest(reverse_, pass.window.contig, middle, -1);
            distance = std::abs(other) < std::abs(distance) ? other : distance;
        }
        const std::int64_t clamped = std::clamp<std::int64_t>(distance, -kUpstreamBp, kDownstreamBp - 1);
        result.push_back((clamped + kUpstreamBp) / kClassBp);
    }
    return result;
}

at::Tensor TssProfile::predict(const data::TrackPass& pass) const {
    const TrackData& tracks = *data_.tracks;
    const data::WindowGeometry& geometry = tracks.windows->geometry();
    const std::int64_t num_tracks = tracks.windows->num_tracks();
    at::Tensor predicted = at::empty({geometry.num_bins(), num_tracks}, at::kFloat);
    for (std::int64_t track = 0; track < num_tracks; ++track) {
        const auto of_bin = classes(pass, tracks.table.strand(static_cast<std::size_t>(track)));
        predicted.select(1, track).copy_(
            profile_.select(1, track).index_select(0, at::tensor(of_bin, at::kLong)));
    }
    return predicted;
}

}  // namespace flagen::apps
