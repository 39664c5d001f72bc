#pragma once

#include <string>
#include <vector>

#include "flagen/models/metrics.h"

namespace flagen::data {
struct GenePredictions;
}

namespace flagen::apps {

struct GeneData;

/// Scores of one predictor on one split.
struct EvaluationRow {
    std::string predictor;  ///< "model", "training mean" or "k-mer ridge".
    std::string split;
    models::ExpressionScores scores;
};

/// Scores predictions, and two baselines fitted here, against the measured expression.
///
/// @param predictions on the measured scale, of genes of `data`
/// @param splits      "valid", "test", ...: genes that are wholly in that split
/// @throws UserError if a gene or the samples of the predictions are not those of `data`.
[[nodiscard]] std::vector<EvaluationRow> evaluate(const GeneData& data, const data::GenePredictions& predictions,
                                                  const std::vector<std::string>& splits, bool with_baselines);

/// eval.json: every number with its split, predictor and scale.
[[nodiscard]] std::string evaluation_json(const std::vector<EvaluationRow>& rows, const std::string& scale,
                                          const data::GenePredictions& predictions);

/// The same as a table to read.
[[nodiscard]] std::string evaluation_table(const std::vector<EvaluationRow>& rows, const std::string& scale);

}  // namespace flagen::apps
