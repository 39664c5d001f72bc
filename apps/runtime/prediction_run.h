#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/runtime/region_list.h"
#include "apps/runtime/run_data.h"
#include "apps/runtime/run_record.h"
#include "apps/runtime/trained_model.h"
#include "flagen/data/prediction_store.h"

namespace flagen::apps {

/// What the user asked `flagen predict` for.
struct PredictionRequest {
    std::string out;                      ///< File to write.
    std::string command_line;
    bool dry_run = false;
    RunDevice device;                     ///< Where the models are.

    std::string genes_file;               ///< Gene ids, one a line; for genes instead of `split`.
    std::string split = "all";            ///< all | train | valid | test

    RegionSources regions;                ///< For tracks; with gene ids: windows around those genes.
    std::vector<std::int64_t> shifts_bp;  ///< Averaged over.
    bool reverse_complement = false;      ///< Averaged over: each window is also read the other way round.
    bool summed = false;                  ///< One number a track instead of bins.
    bool squashed = false;                ///< Leave tracks on the training scale; else as measured.
    std::string bigwig_folder;            ///< A bigWig a track, or empty.
    double max_n = 0.25;                  ///< Largest share of N in a window's bases.
};

/// One or more models of the same configuration, heads and targets, with what they are run on.
struct PredictionRun {
    std::vector<TrainedModel> models;  ///< At least one; the first one's configuration counts.
    std::size_t section_index = 0;     ///< Of that configuration's data sections.
    RunData data;                      ///< Of that section.
    InputDigests inputs;

    [[nodiscard]] const TrainedModel& first() const { return models.front(); }
    [[nodiscard]] const DataConfig& section() const { return first().config.data[section_index]; }
    /// Attributes that every prediction file carries (genomics.md: models, inputs, geometry, averages).
    [[nodiscard]] data::Attributes attributes(const PredictionRequest& request) const;
    /// SHA-256 of the weights of all models.
    [[nodiscard]] std::string models_sha256() const;
};

/// Writes /genes of a prediction file. @return an ExitCode. @throws UserError for what the request
///         names and the data lack.
int predict_genes_to_file(PredictionRun& run, const PredictionRequest& request);

/// Writes tracks over regions. A killed or stopped run goes on from the rows it has done when the
/// same command runs again. @return an ExitCode. @throws UserError likewise.
int predict_tracks_to_file(PredictionRun& run, const PredictionRequest& request);

/// Rows of the genes named in a file, one id a line; blank lines and '#' comments are skipped.
[[nodiscard]] std::vector<std::int64_t> rows_of_gene_list(const std::string& path, const data::GeneTargets& targets);

}  // namespace flagen::apps
