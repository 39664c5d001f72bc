#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "apps/report/figures.h"
#include "apps/report/markup.h"
#include "apps/report/sections.h"

namespace flagen::apps::report {
namespace {

// Tracks are compared on several scales; the figure shows the one that the model was trained on.
constexpr const char* kDrawnScale = "squashed";

bool several_heads(const std::vector<TrackResult>& results) {
    return std::any_of(results.begin(), results.end(),
                       [&](const TrackResult& row) { return row.head != results.front().head; });
}

Table table_of(const std::vector<TrackResult>& results) {
    Table table;
    table.caption =
        "Agreement over bins, mean over tracks; squashed is the scale of training. \u2013 is undefined (a constant).";
    table.columns = {"split", "predictor", "scale", "bins", "r", "R\u00B2"};
    table.num_label_columns = 3;
    const bool with_head = several_heads(results);
    if (with_head) {
        table.columns.insert(table.columns.begin(), "head");
        ++table.num_label_columns;
    }
    for (std::size_t i = 0; i < results.size(); ++i) {
        const TrackResult& row = results[i];
        if (i > 0 && (row.head != results[i - 1].head || row.split != results[i - 1].split ||
                      row.predictor != results[i - 1].predictor)) {
            table.rules.push_back(i);
        }
        const bool model = row.predictor == "model";
        table.rows.push_back({{row.split, false},
                              {row.predictor, model},
                              {row.scale, false},
                              {with_commas(row.num_bins), false},
                              {fixed(row.pearson, 3), model},
                              {fixed(row.r2, 3), model}});
        if (with_head) {
            table.rows.back().insert(table.rows.back().begin(), {row.head, false});
        }
    }
    return table;
}

}  // namespace

void tracks_section(HtmlPage& page, const EvaluationFile& evaluation) {
    if (evaluation.tracks.empty()) {
        return;
    }
    page.section("Tracks");
    page.table(table_of(evaluation.tracks));
    std::vector<Figure> figures;
    for (const TrackResult& result : evaluation.tracks) {
        if (result.predictor == "model" && result.scale == kDrawnScale && !result.per_track.empty()) {
            const bool several = several_heads(evaluation.tracks);
            const std::string name = several ? result.head + ", " + result.split : result.split;
            figures.push_back(correlations_figure({"track", "bins", {{name, result.per_track}}}));
        }
    }
    page.figures(figures);
}

void track_locus_section(HtmlPage& page, const TrackLocusView& view) {
    page.section(view.head.empty() ? "Tracks along one locus" : "Tracks of " + view.head + " along one locus");
    page.figures({track_locus_figure(view.locus)});
    if (!view.note.empty()) {
        page.note(view.note);
    }
}

}  // namespace flagen::apps::report
