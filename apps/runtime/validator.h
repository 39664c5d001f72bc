#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/options/run_config.h"
#include "flagen/models/expression_model.h"

namespace flagen::data {
class TargetTransform;
}

namespace flagen::apps {

struct RunData;

/// How good a model is on the validation split of one data section.
struct Validation {
    /// The sum over target kinds of: genes, Pearson r across genes of the means over samples; tracks,
    /// r + R2 / 4 over bins on the training scale, means over tracks (Borzoi's criterion). What is
    /// undefined counts as 0; nothing where the split holds neither.
    std::optional<double> score;
    std::vector<std::pair<std::string, double>> metrics;  ///< For metrics.jsonl; finite.
    std::vector<std::string> lines;                       ///< The same for people.
};

/// What the best checkpoint is chosen by: the mean of the sections' scores, of those that have one.
[[nodiscard]] std::optional<double> mean_score(const std::vector<Validation>& sections);

/// Scores the validation split of one data section, again and again.
class Validator {
  public:
    /// Keeps the references. `transform` is of the genes.
    Validator(const DataConfig& section, const PredictConfig& predict, const RunData& data,
              const data::TargetTransform& transform);

    [[nodiscard]] Validation run(models::ExpressionModel& model) const;

  private:
    [[nodiscard]] std::optional<double> score_genes_of(models::ExpressionModel& model, Validation& result) const;
    [[nodiscard]] std::optional<double> score_tracks_of(models::ExpressionModel& model, Validation& result) const;

    const DataConfig& section_;
    const PredictConfig& predict_;
    const RunData& data_;
    const data::TargetTransform& transform_;
    at::Tensor measured_;  // [validation genes, S] on the scale of the scores
};

}  // namespace flagen::apps
