#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "flagen/data/prediction_store.h"
#include "flagen/genomics/split_plan.h"
#include "flagen/models/metrics.h"

namespace flagen {
class JsonObject;
}

namespace flagen::data {
struct GeneTargetsConfig;
}

namespace flagen::apps {

struct RunData;

/// Scores of one predictor on one split.
struct EvaluationRow {
    std::string predictor;  ///< "model", "training mean" or "k-mer ridge".
    std::string split;
    models::ExpressionScores scores;
};

/// The scale on which expression is compared: logarithms where the model's targets are logarithms,
/// else as measured. z-scores are taken back: they would hide how samples differ.
struct EvaluationScale {
    std::string transform;  ///< "none" or "log2p1", as TargetTransform names it.
    std::string name;       ///< For people: "log2_tpm", "log2(counts + 1)".

    [[nodiscard]] static EvaluationScale of(const data::GeneTargetsConfig& config);
    /// Measured values, or predictions on the measured scale, [G, S], on this scale.
    [[nodiscard]] at::Tensor apply(const at::Tensor& values, const std::vector<std::string>& samples) const;
};

/// Scores of n genes, [n, S] each on one scale; rows that hold no prediction (NaN) are left out.
[[nodiscard]] models::ExpressionScores score_genes(const at::Tensor& predicted, const at::Tensor& measured);

/// The split that a name stands for. @throws UserError (kConfig) unless train, valid or test.
[[nodiscard]] genomics::Split split_of_name(const std::string& name);

/// Scores predictions, and two baselines fitted here, against the measured expression.
///
/// @param predictions on the measured scale, of genes of `data`
/// @param scale       on which everything is compared and the baselines are fitted
/// @param splits      "valid", "test", ...: genes that are wholly in that split
/// @throws UserError if a gene or the samples of the predictions are not those of `data`.
[[nodiscard]] std::vector<EvaluationRow> evaluate(const RunData& data, const data::GenePredictions& predictions,
                                                  const EvaluationScale& scale,
                                                  const std::vector<std::string>& splits, bool with_baselines);

/// Puts every number with its split, predictor and scale into eval.json.
/// @param attributes of the predictions
void write_gene_scores(JsonObject& root, const std::vector<EvaluationRow>& rows, const std::string& scale,
                       const data::Attributes& attributes);

/// The same as a table to read.
[[nodiscard]] std::string evaluation_table(const std::vector<EvaluationRow>& rows, const std::string& scale);

}  // namespace flagen::apps
