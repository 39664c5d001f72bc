#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/options/run_config.h"
#include "apps/runtime/evaluator.h"
#include "apps/runtime/gene_track_evaluator.h"
#include "apps/runtime/run_data.h"
#include "apps/runtime/track_evaluator.h"
#include "apps/runtime/trained_model.h"
#include "flagen/data/prediction_store.h"

namespace flagen {
class JsonObject;
}

namespace flagen::apps {

/// What `flagen eval` was asked for.
struct EvaluationRequest {
    std::vector<std::string> splits;
    std::vector<std::int64_t> shifts_bp;  ///< Averaged over.
    bool reverse_complement = false;      ///< Averaged over, for tracks.
    bool with_baselines = true;
    std::string gtf;  ///< Exons for the genes' coverage by tracks; empty: of the section's genes.
};

/// How good a model is on the held-out parts of one data section.
struct SectionEvaluation {
    std::string gene_scale;                   ///< EvaluationScale::name; empty without genes
    std::vector<EvaluationRow> genes;
    data::Attributes attributes;              ///< Of the gene predictions.
    std::vector<TrackScores> tracks;          ///< Empty without tracks.
    std::vector<GeneTrackEvaluation> coverage;  ///< By split, of the genes by the tracks.
};

/// Evaluates predictions of a section's genes.
void evaluate_genes(const DataConfig& section, const RunData& data, const data::GenePredictions& predictions,
                    const EvaluationRequest& request, SectionEvaluation& result);

/// Predicts and evaluates whatever the section has: genes, tracks, or both.
/// @throws UserError (kConfig) if the model was trained on other tracks than the section names.
[[nodiscard]] SectionEvaluation evaluate_section(TrainedModel& trained, const DataConfig& section, const RunData& data,
                                                 const EvaluationRequest& request);

/// The tables to read.
[[nodiscard]] std::string section_text(const RunData& data, const SectionEvaluation& result);

/// Adds to eval.json: "results" of genes; "tracks" and "gene_tracks" with the head in every entry.
void write_section_scores(JsonObject& root, const RunData& data, const SectionEvaluation& result);

/// Writes acc_SPLIT.txt and genes_SPLIT/ into `folder`.
void write_section_files(const std::string& folder, const RunData& data, const SectionEvaluation& result);

}  // namespace flagen::apps
