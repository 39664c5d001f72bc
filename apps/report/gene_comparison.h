#pragma once

#include <string>
#include <vector>

#include "apps/report/figures.h"
#include "flagen/models/metrics.h"

namespace flagen::data {
struct GenePredictions;
}

namespace flagen::apps {
struct EvaluationScale;
struct RunData;
}  // namespace flagen::apps

namespace flagen::apps::report {

/// One gene, measured and predicted, on the scale of the comparison.
struct ComparedGene {
    LocusGene place;  ///< With means over the samples in which it was measured.
    std::string contig;
    std::string split;  ///< train, valid, test or none.
};

/// Genes of one split.
struct SplitComparison {
    std::string split;
    std::vector<NamedPair> means;  ///< Of genes with a prediction and a measurement.
    models::ExpressionScores scores;
};

/// Predictions beside measurements.
struct GeneComparison {
    std::string unit;  ///< For axes: "log2 TPM", "log2(counts + 1)".
    std::vector<std::string> samples;
    std::vector<ComparedGene> genes;      ///< In the order of the predictions.
    std::vector<SplitComparison> splits;  ///< Of "valid" and "test", those that have genes.
    std::int64_t num_without_prediction = 0;
};

/// Joins predictions and measurements by gene, on the scale of `flagen eval`, and scores the held-out splits.
/// @throws UserError (kInputFile) if the samples differ or a gene of the predictions was not measured.
[[nodiscard]] GeneComparison compare_genes(const RunData& data, const EvaluationScale& scale,
                                           const data::GenePredictions& predictions);

}  // namespace flagen::apps::report
