#include "apps/runtime/validator.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <limits>

#include "apps/runtime/evaluator.h"
#include "apps/runtime/predictor.h"
#include "apps/runtime/run_data.h"
#include "apps/runtime/track_evaluator.h"
#include "apps/runtime/track_predictor.h"
#include "flagen/data/target_transform.h"

namespace flagen::apps {
namespace {

constexpr double kNoScore = std::numeric_limits<double>::quiet_NaN();

void note(Validation& result, const std::string& name, double value) {
    if (std::isfinite(value)) {
        result.metrics.emplace_back(name, value);
    }
}

}  // namespace

Validator::Validator(const RunConfig& config, const RunData& data, const data::TargetTransform& transform)
    : config_(config), data_(data), transform_(transform) {
    if (config.data.genes) {
        const at::Tensor rows = at::tensor(data.rows(genomics::Split::kValid), at::kLong);
        measured_ = EvaluationScale::of(*config.data.genes)
                        .apply(data.targets.values.index_select(0, rows), data.targets.samples);
    }
}

double Validator::score_genes_of(models::ExpressionModel& model, Validation& result) const {
    const auto rows = data_.rows(genomics::Split::kValid);
    if (!config_.data.genes || rows.empty()) {
        return kNoScore;
    }
    data::EvaluationOptions evaluation;
    evaluation.window_bp = config_.data.windows.window_bp;
    evaluation.stride_bp = config_.predict.stride_bp;
    evaluation.margin_bp = config_.data.windows.margin_bp;
    const auto predicted = predict_genes(model, data_.reference, data_.targets.spans, rows, evaluation);
    const at::Tensor values = EvaluationScale::of(*config_.data.genes)
                                  .apply(transform_.invert(predicted.values), data_.targets.samples);
    const auto scores = score_genes(values, measured_);
    note(result, "valid_pearson_gene_mean", scores.sample_mean.pearson);
    note(result, "valid_pearson_per_sample", scores.sample_pearson.mean);
    note(result, "valid_pearson_centred", scores.gene_pearson_centred.mean);
    char line[160];
    std::snprintf(line, sizeof(line), "valid r of gene means %.3f, per sample %.3f, across samples (centred) %.3f",
                  scores.sample_mean.pearson, scores.sample_pearson.mean, scores.gene_pearson_centred.mean);
    result.lines.emplace_back(line);
    return scores.sample_mean.pearson;
}

double Validator::score_tracks_of(models::ExpressionModel& model, Validation& result) const {
    if (!data_.tracks) {
        return kNoScore;
    }
    const TrackData& tracks = *data_.tracks;
    const auto passes = track_passes(data_, genomics::Split::kValid, tracks.windows->geometry().output_bp());
    if (passes.empty()) {
        return kNoScore;
    }
    TrackPredictor predictor({model}, data_.reference, {config_.data.tracks->head, tracks.table.strand_pair_rows});
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
    const double r2 = scores.front().mean_r2();
    return scores.front().mean_pearson() + (std::isfinite(r2) ? r2 / 4.0 : 0.0);
}

Validation Validator::run(models::ExpressionModel& model) const {
    Validation result;
    result.score = kNoScore;
    for (const double part : {score_genes_of(model, result), score_tracks_of(model, result)}) {
        if (std::isfinite(part)) {
            result.score = (std::isfinite(result.score) ? result.score : 0.0) + part;
        }
    }
    return result;
}

}  // namespace flagen::apps
