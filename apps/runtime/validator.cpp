#include "apps/runtime/validator.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>

#include "apps/runtime/evaluator.h"
#include "apps/runtime/predictor.h"
#include "apps/runtime/run_data.h"
#include "apps/runtime/track_evaluator.h"
#include "apps/runtime/track_predictor.h"
#include "flagen/data/target_transform.h"

namespace flagen::apps {
namespace {

// A predictor whose correlation is undefined, as a constant one, has found nothing.
double or_zero(double value) { return std::isfinite(value) ? value : 0.0; }

void note(Validation& result, const std::string& name, double value) {
    if (std::isfinite(value)) {
        result.metrics.emplace_back(name, value);
    }
}

}  // namespace

std::optional<double> mean_score(const std::vector<Validation>& sections) {
    double sum = 0.0;
    std::int64_t count = 0;
    for (const Validation& section : sections) {
        sum += section.score.value_or(0.0);
        count += section.score ? 1 : 0;
    }
    return count == 0 ? std::nullopt : std::optional(sum / static_cast<double>(count));
}

Validator::Validator(const DataConfig& section, const PredictConfig& predict, const RunData& data,
                     const data::TargetTransform& transform)
    : section_(section), predict_(predict), data_(data), transform_(transform) {
    if (section.genes) {
        const at::Tensor rows = at::tensor(data.rows(genomics::Split::kValid), at::kLong);
        measured_ = EvaluationScale::of(*section.genes)
                        .apply(data.targets.values.index_select(0, rows), data.targets.samples);
    }
}

std::optional<double> Validator::score_genes_of(models::ExpressionModel& model, Validation& result) const {
    const auto rows = data_.rows(genomics::Split::kValid);
    if (!section_.genes || rows.empty()) {
        return std::nullopt;
    }
    const auto predicted =
        predict_genes(model, data_.reference, data_.targets.spans, rows, evaluation_options(section_, predict_, {0}));
    const at::Tensor values = EvaluationScale::of(*section_.genes)
                                  .apply(transform_.invert(predicted.values), data_.targets.samples);
    const auto scores = score_genes(values, measured_);
    note(result, "valid_pearson_gene_mean", scores.sample_mean.pearson);
    note(result, "valid_pearson_per_sample", scores.sample_pearson.mean);
    note(result, "valid_pearson_centred", scores.gene_pearson_centred.mean);
    char line[160];
    std::snprintf(line, sizeof(line), "valid r of gene means %.3f, per sample %.3f, across samples (centred) %.3f",
                  scores.sample_mean.pearson, scores.sample_pearson.mean, scores.gene_pearson_centred.mean);
    result.lines.emplace_back(line);
    return or_zero(scores.sample_mean.pearson);
}

std::optional<double> Validator::score_tracks_of(models::ExpressionModel& model, Validation& result) const {
    if (!data_.tracks) {
        return std::nullopt;
    }
    const TrackData& tracks = *data_.tracks;
    const auto passes = track_passes(data_, genomics::Split::kValid);
    if (passes.empty()) {
        return std::nullopt;
    }
    TrackPredictor predictor({model}, data_.reference, {section_.tracks->head, tracks.table.strand_pair_rows});
    const auto scores = score_tracks(tracks, passes, "model", "valid",
                                     [&](const data::TrackPass& pass) { return predictor.predict(pass.window); });
    for (const TrackScores& row : scores) {
        const std::string scale = track_scale_name(row.scale);
        note(result, "valid_track_pearson_" + scale, row.mean_pearson());
        note(result, "valid_track_r2_" + scale, row.mean_r2());
        char line[160];
        std::snprintf(line, sizeof(line), "valid r over bins %.3f, R2 %.3f (mean over tracks, %s scale)",
                      row.mean_pearson(), row.mean_r2(), scale.c_str());
        result.lines.emplace_back(line);
    }
    return or_zero(scores.front().mean_pearson()) + or_zero(scores.front().mean_r2()) / 4.0;
}

Validation Validator::run(models::ExpressionModel& model) const {
    Validation result;
    const auto genes = score_genes_of(model, result);
    const auto tracks = score_tracks_of(model, result);
    if (genes || tracks) {
        result.score = genes.value_or(0.0) + tracks.value_or(0.0);
    }
    return result;
}

}  // namespace flagen::apps
