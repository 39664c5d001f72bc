#include "apps/runtime/track_evaluator.h"

#include <torch/torch.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <utility>

#include "apps/runtime/run_data.h"
#include "apps/runtime/score_text.h"
#include "flagen/error.h"
#include "flagen/json_object.h"
#include "flagen/models/track_metrics.h"

namespace flagen::apps {
namespace {

at::Tensor on_scale(const at::Tensor& squashed, TrackScale scale, const data::TrackTransform& transform) {
    switch (scale) {
        case TrackScale::kSquashed:
            return squashed;
        case TrackScale::kRaw:
            return transform.invert(squashed);
        case TrackScale::kLog1p:
            return transform.invert(squashed).clamp_min(0).log1p();
    }
    throw_error("unknown track scale");
}

at::Tensor measured_bins(const TrackData& tracks, const data::TrackPass& pass) {
    std::vector<float> values = tracks.windows->read(pass.window);
    return at::from_blob(values.data(), {tracks.windows->geometry().num_bins(), tracks.windows->num_tracks()}, at::kFloat)
        .narrow(0, pass.first_bin, pass.num_bins)
        .clone();
}

std::map<std::string, models::TrackGroupScore> group_scores(const data::TrackTable& table, const TrackScores& scores) {
    std::vector<std::string> groups;
    for (const data::Track& track : table.tracks) {
        groups.push_back(track.group);
    }
    return models::score_track_groups(scores.pearson, scores.r2, groups);
}

}  // namespace

const char* track_scale_name(TrackScale scale) {
    switch (scale) {
        case TrackScale::kSquashed:
            return "squashed";
        case TrackScale::kRaw:
            return "raw";
        case TrackScale::kLog1p:
            return "log1p";
    }
    return "?";
}

double TrackScores::mean_pearson() const { return models::mean_of_defined(pearson).mean; }
double TrackScores::mean_r2() const { return models::mean_of_defined(r2).mean; }

std::vector<data::TrackPass> track_passes(const RunData& data, genomics::Split split) {
    const TrackData& tracks = data.tracks.value();
    const data::WindowGeometry& geometry = tracks.windows->geometry();
    if (tracks.listed.windows.empty()) {
        return data::plan_track_evaluation(data.plan.segments(split), geometry, geometry.output_bp());
    }
    std::vector<data::TrackPass> passes;
    for (genomics::Window& window : data.listed_windows(split)) {
        passes.push_back({std::move(window), 0, geometry.num_bins()});
    }
    return passes;
}

std::vector<TrackScores> score_tracks(const TrackData& tracks, const std::vector<data::TrackPass>& passes,
                                      const std::string& predictor, const std::string& split,
                                      const TrackPrediction& predict, const TrackProgress& progress) {
    const std::int64_t num_tracks = tracks.windows->num_tracks();
    std::vector<models::TrackMetrics> metrics(std::size(kTrackScales), models::TrackMetrics(num_tracks));
    std::int64_t num_bins = 0;
    std::int64_t done = 0;
    for (const data::TrackPass& pass : passes) {
        const at::Tensor predicted = predict(pass).narrow(0, pass.first_bin, pass.num_bins);
        const at::Tensor measured = measured_bins(tracks, pass);
        for (std::size_t i = 0; i < metrics.size(); ++i) {
            metrics[i].add(on_scale(predicted, kTrackScales[i], tracks.transform),
                           on_scale(measured, kTrackScales[i], tracks.transform));
        }
        num_bins += pass.num_bins;
        if (progress && !progress(++done, static_cast<std::int64_t>(passes.size()))) {
            return {};
        }
    }
    std::vector<TrackScores> scores;
    for (std::size_t i = 0; i < metrics.size(); ++i) {
        TrackScores row;
        row.predictor = predictor;
        row.split = split;
        row.scale = kTrackScales[i];
        row.num_bins = num_bins;
        row.pearson = metrics[i].pearsons();
        row.r2 = metrics[i].r2s();
        scores.push_back(std::move(row));
    }
    return scores;
}

std::string track_scores_table(const TrackData& tracks, const std::vector<TrackScores>& scores) {
    std::string text = "Tracks of head " + tracks.head + ": Pearson r and R2 over bins of " +
                       std::to_string(tracks.windows->geometry().bin_bp) + " bp, mean over tracks; transform " +
                       tracks.transform.name() + "\n\n";
    char line[200];
    std::snprintf(line, sizeof(line), "%-6s %-14s %-10s %-16s %7s %9s %11s %8s\n", "split", "predictor", "scale", "group",
                  "tracks", "bins", "Pearson r", "R2");
    text += line;
    const auto add = [&](const TrackScores& row, const std::string& group, std::size_t count, double r, double r2) {
        std::snprintf(line, sizeof(line), "%-6s %-14s %-10s %-16.16s %7zu %9lld %11s %8s\n", row.split.c_str(),
                      row.predictor.c_str(), track_scale_name(row.scale), group.c_str(), count,
                      static_cast<long long>(row.num_bins), cell(r).c_str(), cell(r2).c_str());
        text += line;
    };
    for (const TrackScores& row : scores) {
        add(row, "all", row.pearson.size(), row.mean_pearson(), row.mean_r2());
        const auto groups = group_scores(tracks.table, row);
        for (const auto& [name, group] : groups) {
            if (groups.size() > 1) {
                add(row, name, static_cast<std::size_t>(group.num_tracks), group.pearson.mean, group.r2.mean);
            }
        }
    }
    return text;
}

void write_track_scores(JsonObject& root, const TrackData& tracks, const std::vector<TrackScores>& scores) {
    JsonObject section = root.get_object("tracks");  // several heads write into one
    section.set("bin_bp", tracks.windows->geometry().bin_bp);
    for (const TrackScores& row : scores) {
        JsonObject entry = section.append_object("results");
        entry.set("head", tracks.head);
        entry.set("transform", tracks.transform.name());
        entry.set("predictor", row.predictor);
        entry.set("split", row.split);
        entry.set("scale", track_scale_name(row.scale));
        entry.set("num_bins", row.num_bins);
        set_defined(entry, "pearson", row.mean_pearson());
        set_defined(entry, "r2", row.mean_r2());
        for (const auto& [name, scores_of_group] : group_scores(tracks.table, row)) {
            JsonObject group = entry.append_object("groups");
            group.set("group", name);
            group.set("num_tracks", scores_of_group.num_tracks);
            set_defined(group, "pearson", scores_of_group.pearson.mean);
            set_defined(group, "r2", scores_of_group.r2.mean);
        }
        for (std::size_t i = 0; i < row.pearson.size(); ++i) {
            JsonObject track = entry.append_object("per_track");
            track.set("identifier", tracks.table.tracks[i].identifier);
            set_defined(track, "pearson", row.pearson[i]);
            set_defined(track, "r2", row.r2[i]);
        }
    }
}

std::string borzoi_accuracy_table(const TrackData& tracks, const TrackScores& scores) {
    std::string text = "\tindex\tpearsonr\tr2\tidentifier\tdescription\n";
    for (std::size_t i = 0; i < scores.pearson.size(); ++i) {
        const data::Track& track = tracks.table.tracks[i];
        char numbers[80];
        std::snprintf(numbers, sizeof(numbers), "%zu\t%lld\t%.5f\t%.5f\t", i, static_cast<long long>(track.index),
                      scores.pearson[i], scores.r2[i]);
        text += numbers;
        text += track.identifier + "\t" + track.description + "\n";
    }
    return text;
}

}  // namespace flagen::apps
