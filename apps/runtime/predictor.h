#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "apps/options/run_config.h"
#include "flagen/data/evaluation_plan.h"
#include "flagen/models/expression_model.h"

namespace flagen::data {
struct GeneRows;
}

namespace flagen::apps {

/// Predicted expression of the genes asked for, on the scale of the model.
struct GenePrediction {
    /// [rows, S] fp32, mean over start shifts and orientations; NaN for genes beyond any window.
    at::Tensor values;
    std::vector<data::GeneAssignment> assignments;  ///< In the order of the rows.
    bool complete = true;  ///< False if `progress` asked to stop; the values are then of no use.
};

/// Windows for predicting genes of a section as the configuration lays them, at these shifts of their starts.
[[nodiscard]] data::EvaluationOptions evaluation_options(const DataConfig& section, const PredictConfig& predict,
                                                         const std::vector<std::int64_t>& shifts_bp);

/// Called after each window with the number done and the number in all; returns false to stop.
using PredictionProgress = std::function<bool(std::int64_t done, std::int64_t total)>;

/// Predicts the genes `rows` of `genes`, each from the window nearest to it, read on its own strand
/// or in both orientations, and averaged over these and the start shifts. The gene head always takes
/// a gene from its own 5' end. The model is put into evaluation mode and back.
///
/// A pure function of its arguments. Memory: a few windows, whatever the size of the genome.
[[nodiscard]] GenePrediction predict_genes(models::ExpressionModel& model,
                                           const std::shared_ptr<const genomics::ReferenceGenome>& reference,
                                           const std::vector<genomics::GeneSpan>& genes,
                                           const std::vector<std::int64_t>& rows,
                                           const data::EvaluationOptions& options,
                                           const PredictionProgress& progress = {});

/// The genes of a batch as the model takes them.
[[nodiscard]] models::GeneQueries gene_queries(const data::GeneRows& rows);

}  // namespace flagen::apps
