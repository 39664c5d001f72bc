#include "apps/runtime/evaluator.h"

#include <torch/torch.h>

#include <cmath>
#include <cstdio>
#include <span>
#include <unordered_map>
#include <variant>

#include "apps/runtime/run_data.h"
#include "apps/runtime/score_text.h"
#include "apps/runtime/kmer_ridge.h"
#include "flagen/data/target_transform.h"
#include "flagen/error.h"
#include "flagen/json_object.h"

namespace flagen::apps {
namespace {

// Predictions as [genes of data, S]; NaN rows where the file holds no prediction.
at::Tensor align_predictions(const RunData& data, const data::GenePredictions& predictions) {
    FLAGEN_USER_CHECK(UserFault::kInputFile, predictions.samples == data.targets.samples,
                      "the predictions are of other samples than the expression table has");
    std::unordered_map<std::string, std::int64_t> row_of;
    for (std::size_t i = 0; i < data.targets.spans.size(); ++i) {
        row_of.emplace(data.targets.spans[i].id, static_cast<std::int64_t>(i));
    }
    const std::int64_t num_samples = data.targets.num_samples();
    at::Tensor aligned = at::full({data.targets.num_genes(), num_samples}, std::nan(""), at::kFloat);
    for (std::size_t i = 0; i < predictions.genes.size(); ++i) {
        const auto found = row_of.find(predictions.genes[i].id);
        if (found == row_of.end()) {
            throw_user_error(UserFault::kInputFile, "the predictions hold a gene that the expression table lacks: ",
                             predictions.genes[i].id);
        }
        const float* row = predictions.values.data() + static_cast<std::int64_t>(i) * num_samples;
        std::copy(row, row + num_samples, aligned.mutable_data_ptr<float>() + found->second * num_samples);
    }
    return aligned;
}

at::Tensor training_mean(const at::Tensor& values, const std::vector<std::int64_t>& train_rows) {
    const at::Tensor mean = values.index_select(0, at::tensor(train_rows, at::kLong)).to(at::kDouble).nanmean(0);
    return mean.to(at::kFloat).unsqueeze(0).expand_as(values);
}

}  // namespace

genomics::Split split_of_name(const std::string& name) {
    for (const auto split : {genomics::Split::kTrain, genomics::Split::kValid, genomics::Split::kTest}) {
        if (name == genomics::split_name(split)) {
            return split;
        }
    }
    throw_user_error(UserFault::kConfig, "split must be train, valid or test, found ", name);
}

models::ExpressionScores score_genes(const at::Tensor& predicted, const at::Tensor& measured) {
    FLAGEN_CHECK(predicted.sizes() == measured.sizes(), "predicted ", predicted.sizes(), ", measured ",
                 measured.sizes());
    const at::Tensor p = predicted.contiguous();
    const at::Tensor m = measured.contiguous();
    const auto num_samples = static_cast<std::size_t>(m.size(1));
    models::ExpressionMetrics metrics(m.size(1));
    for (std::int64_t row = 0; row < m.size(0); ++row) {
        const std::span p_row(p.const_data_ptr<float>() + row * m.size(1), num_samples);
        if (std::isnan(p_row[0])) {
            continue;  // beyond every window: the file says so in its status
        }
        metrics.add(p_row, std::span(m.const_data_ptr<float>() + row * m.size(1), num_samples));
    }
    return metrics.scores();
}

EvaluationScale EvaluationScale::of(const data::GeneTargetsConfig& config) {
    if (config.transform.rfind("log2p1", 0) == 0) {
        return {"log2p1", "log2(" + config.value + " + 1)"};
    }
    return {"none", config.value};
}

at::Tensor EvaluationScale::apply(const at::Tensor& values, const std::vector<std::string>& samples) const {
    return data::TargetTransform::fit(transform, values, {}, samples).apply(values);
}

std::vector<EvaluationRow> evaluate(const RunData& data, const data::GenePredictions& predictions,
                                    const EvaluationScale& scale, const std::vector<std::string>& splits,
                                    bool with_baselines) {
    const at::Tensor measured = scale.apply(data.targets.values, data.targets.samples);
    std::vector<std::pair<std::string, at::Tensor>> predictors;
    predictors.emplace_back("model", scale.apply(align_predictions(data, predictions), data.targets.samples));
    if (with_baselines) {
        const auto train_rows = data.rows(genomics::Split::kTrain);
        predictors.emplace_back("training mean", training_mean(measured, train_rows));
        predictors.emplace_back("k-mer ridge",
                                kmer_ridge(data.targets.spans, *data.reference, measured, train_rows,
                                           data.rows(genomics::Split::kValid))
                                    .predicted);
    }
    std::vector<EvaluationRow> rows;
    for (const std::string& split : splits) {
        const at::Tensor index = at::tensor(data.rows(split_of_name(split)), at::kLong);
        for (const auto& [name, predicted] : predictors) {
            rows.push_back({name, split, score_genes(predicted.index_select(0, index), measured.index_select(0, index))});
        }
    }
    return rows;
}

void write_gene_scores(JsonObject& root, const std::vector<EvaluationRow>& rows, const std::string& scale,
                       const data::Attributes& attributes) {
    root.set("scale", scale);
    for (const char* key : {"model_sha256", "shifts", "strand_policy", "transform"}) {
        const auto found = attributes.find(key);
        if (found != attributes.end() && std::holds_alternative<std::string>(found->second)) {
            root.set(key, std::get<std::string>(found->second));
        }
    }
    for (const EvaluationRow& row : rows) {
        JsonObject entry = root.append_object("results");
        const auto& scores = row.scores;
        entry.set("predictor", row.predictor);
        entry.set("split", row.split);
        entry.set("num_genes", scores.num_genes);
        entry.set("num_samples", scores.num_samples);
        set_defined(entry, "pearson_gene_mean", scores.sample_mean.pearson);
        set_defined(entry, "spearman_gene_mean", scores.sample_mean.spearman);
        set_defined(entry, "r2_gene_mean", scores.sample_mean.r2);
        set_defined(entry, "pearson_per_sample", scores.sample_pearson.mean);
        set_defined(entry, "spearman_per_sample", scores.sample_spearman.mean);
        set_defined(entry, "r2_per_sample", scores.sample_r2.mean);
        set_defined(entry, "pearson_per_gene", scores.gene_pearson.mean);
        set_defined(entry, "pearson_per_variable_gene", scores.gene_pearson_variable.mean);
        set_defined(entry, "pearson_per_gene_centred", scores.gene_pearson_centred.mean);
    }
}

std::string evaluation_table(const std::vector<EvaluationRow>& rows, const std::string& scale) {
    std::string text = "Pearson r on the scale " + scale +
                       ": of gene means over genes; per sample over genes (mean over samples);\n"
                       "per gene over samples after removing gene and sample means (mean over genes)\n\n";
    char line[160];
    std::snprintf(line, sizeof(line), "%-6s %-14s %6s %11s %11s %11s %11s\n", "split", "predictor", "genes",
                  "gene means", "per sample", "per gene", "R2 (means)");
    text += line;
    for (const EvaluationRow& row : rows) {
        const auto& scores = row.scores;
        std::snprintf(line, sizeof(line), "%-6s %-14s %6lld %11s %11s %11s %11s\n", row.split.c_str(),
                      row.predictor.c_str(), static_cast<long long>(scores.num_genes),
                      cell(scores.sample_mean.pearson).c_str(), cell(scores.sample_pearson.mean).c_str(),
                      cell(scores.gene_pearson_centred.mean).c_str(), cell(scores.sample_mean.r2).c_str());
        text += line;
    }
    return text;
}

}  // namespace flagen::apps
