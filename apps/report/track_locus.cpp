#include "apps/report/track_locus.h"

#include <algorithm>
#include <exception>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "apps/runtime/run_data.h"
#include "flagen/data/track_prediction_store.h"
#include "flagen/data/track_source.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

std::int64_t overlap_bp(const data::PredictedRegion& row, const genomics::Interval& region) {
    return row.contig != region.contig ? 0
                                       : std::min(row.end_bp, region.end_bp) - std::max(row.start_bp, region.start_bp);
}

// Rows read on the reverse strand run backwards; flagen predict writes none.
bool can_be_drawn(const data::PredictedRegion& row) { return row.scored() && row.strand != '-'; }

std::size_t choose_row(const data::TrackPredictionReader& reader, const std::optional<genomics::Interval>& region) {
    const auto& rows = reader.regions();
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (!can_be_drawn(rows[i])) {
            continue;
        }
        if (!region) {
            return i;
        }
        const std::int64_t overlap = overlap_bp(rows[i], *region);
        if (overlap > 0 && (!best || overlap > overlap_bp(rows[*best], *region))) {
            best = i;
        }
    }
    if (!region) {
        throw_user_error(UserFault::kInputFile, "the file of track predictions holds no predicted row");
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, best, "no predicted row of tracks overlaps ", region->contig, ":",
                      region->start_bp + 1, "-", region->end_bp);
    return *best;
}

// Bins of a row that lie in the region, at least one.
std::pair<std::size_t, std::size_t> bins_in(const data::PredictedRegion& row, std::int64_t bin_bp, std::size_t num_bins,
                                            const std::optional<genomics::Interval>& region) {
    if (!region) {
        return {0, num_bins};
    }
    const std::int64_t first = std::max<std::int64_t>(0, (region->start_bp - row.start_bp) / bin_bp);
    const std::int64_t end_bp = std::min(region->end_bp, row.end_bp) - row.start_bp;
    const std::int64_t last = std::max(first + 1, (end_bp + bin_bp - 1) / bin_bp);
    return {static_cast<std::size_t>(first), std::min(static_cast<std::size_t>(last), num_bins)};
}

// Column of a row-major [bins, T] block, bins [first, last).
std::vector<float> column(const std::vector<float>& values, std::size_t num_tracks, std::size_t track,
                          std::size_t first, std::size_t last) {
    std::vector<float> out;
    for (std::size_t bin = first; bin < last; ++bin) {
        out.push_back(values[bin * num_tracks + track]);
    }
    return out;
}

// An attribute as text; empty if the file has no such text.
std::string text_of(const data::TrackPredictionReader& reader, const std::string& name) {
    const auto found = reader.attributes().find(name);
    const bool text = found != reader.attributes().end() && std::holds_alternative<std::string>(found->second);
    return text ? std::get<std::string>(found->second) : std::string();
}

std::string scale_of(const data::TrackPredictionReader& reader) { return text_of(reader, "scale"); }

bool same_tracks(const data::TrackPredictionReader& reader, const TrackData& tracks) {
    return reader.tracks().ids == data::PredictedTracks::of(tracks.table).ids;
}

// Measured bins of the locus, [bins, T], on the scale of the predictions; or none, with the reason in `note`.
std::vector<float> measured_bins(const data::TrackPredictionReader& reader, const RunData* data,
                                 const TrackLocus& locus, std::size_t num_bins, std::string& note) {
    if (data == nullptr || !data->tracks) {
        note = "The measured tracks are not drawn: the run's data could not be read, or hold no tracks.";
        return {};
    }
    const TrackData& tracks = *data->tracks;
    if (!same_tracks(reader, tracks) || tracks.windows->geometry().bin_bp != locus.bin_bp) {
        note = "The measured tracks are not drawn: the predictions are of other tracks or bins than the run's data.";
        return {};
    }
    std::vector<float> values(num_bins * reader.tracks().ids.size());
    const auto refuse = [&note](const std::exception& error) {
        note = detail::concatenate("The measured tracks are not drawn: ", error.what());
        return std::vector<float>();
    };
    try {
        tracks.windows->source().read(locus.contig, locus.start_bp, static_cast<std::int64_t>(num_bins), values);
    } catch (const UserError& error) {
        return refuse(error);
    } catch (const Error& error) {  // a cache serves its own windows only
        return refuse(error);
    }
    if (scale_of(reader) == "raw") {
        tracks.transform.invert(std::span<float>(values));
    }
    return values;
}

std::vector<LocusGene> genes_of(const RunData& data, const TrackLocus& locus, std::int64_t end_bp) {
    std::vector<LocusGene> genes;
    for (std::size_t i = 0; i < data.targets.spans.size(); ++i) {
        const auto& span = data.targets.spans[i];
        if (span.contig == locus.contig && span.start_bp < end_bp && span.end_bp > locus.start_bp) {
            const bool held_out = data.splits[i] == genomics::Split::kValid || data.splits[i] == genomics::Split::kTest;
            genes.push_back(
                {span.id, genomics::strand_symbol(span.strand), span.start_bp, span.end_bp, held_out, 0, 0});
        }
    }
    return genes;
}

}  // namespace

TrackLocusView read_track_locus(const data::TrackPredictionReader& reader, const RunData* data,
                                const std::optional<genomics::Interval>& region) {
    FLAGEN_USER_CHECK(UserFault::kInputFile, !reader.summed(),
                      "the file of track predictions holds sums over bins (--sum): there is no track to draw");
    const std::size_t row = choose_row(reader, region);
    const data::PredictedRegion& place = reader.regions()[row];
    const auto num_bins = static_cast<std::size_t>(reader.num_bins());
    const std::vector<float> predicted = reader.read(static_cast<std::int64_t>(row));
    TrackLocusView view;
    view.head = text_of(reader, "head");
    TrackLocus& locus = view.locus;
    locus.contig = place.contig;
    locus.bin_bp = (place.end_bp - place.start_bp) / reader.num_bins();
    const auto [first, last] = bins_in(place, locus.bin_bp, num_bins, region);
    locus.start_bp = place.start_bp + static_cast<std::int64_t>(first) * locus.bin_bp;
    const std::vector<float> measured = measured_bins(reader, data, locus, last - first, view.note);
    const auto& ids = reader.tracks().ids;
    const std::string unit = scale_of(reader) == "raw" ? "as measured, per bin" : "on the scale of training";
    for (std::size_t track = 0; track < std::min(ids.size(), kMaxLocusTracks); ++track) {
        const auto& label = reader.tracks().labels[track];
        locus.tracks.push_back(
            {label.empty() || label == ids[track] ? ids[track] : ids[track] + ": " + label, unit,
             measured.empty() ? std::vector<float>() : column(measured, ids.size(), track, 0, last - first),
             column(predicted, ids.size(), track, first, last)});
    }
    locus.num_tracks = ids.size();
    if (data != nullptr) {
        const auto length_bp = static_cast<std::int64_t>(last - first) * locus.bin_bp;
        locus.genes = genes_of(*data, locus, locus.start_bp + length_bp);
    }
    return view;
}

}  // namespace flagen::apps::report
