#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "flagen/data/gene_targets.h"
#include "flagen/data/window_dataset.h"
#include "flagen/genomics/split_plan.h"
#include "flagen/models/learning_rate.h"
#include "flagen/models/model_config.h"
#include "flagen/models/parameter_groups.h"
#include "flagen/models/poisson_multinomial.h"
#include "flagen/models/precision.h"

namespace flagen {
class JsonObject;
}

namespace flagen::apps {

/// The genome of a run.
struct GenomeConfig {
    std::string fasta;                  ///< Plain or bgzip FASTA.
    std::vector<std::string> circular;  ///< Names of circular contigs.
    std::string alias;                  ///< Table of contig aliases, or empty.
    bool allow_truncated = false;       ///< Accept bgzip without its end-of-file block.
};

/// Measured tracks as targets: an entry of kind "tracks".
struct TrackTargetsConfig {
    std::string head;                ///< Name of the model's head, as in "head_<name>".
    std::string table;               ///< Borzoi's targets.txt.
    std::string folder;              ///< Of relative paths in the table; empty: the table's own.
    std::string transform;           ///< old | new | none (data/track_transform.h).
    std::string blacklist;           ///< BED of bases whose values are clipped, or empty.
    std::string cache;               ///< Folder that `flagen data` made, or empty: bins from the bigWigs.
    std::int64_t window_shift = 3;   ///< With a cache: largest random shift of a listed window, in bp.
};

/// One data section: what is read, and how the genome is divided. At least one kind of target.
struct DataConfig {
    GenomeConfig genome;
    data::WindowDatasetConfig windows;
    genomics::SplitDefinition splits;
    std::optional<data::GeneTargetsConfig> genes;
    std::optional<TrackTargetsConfig> tracks;
    double gene_weight = 1.0;   ///< Of the genes' loss in the sum of losses.
    double track_weight = 1.0;  ///< Of the tracks' loss.

    /// Name of the section, which tells it from the others: that of the head for its tracks, or
    /// "genes".
    [[nodiscard]] std::string head() const { return tracks ? tracks->head : "genes"; }
};

/// The `train` section.
struct TrainConfig {
    std::int64_t batch_size = 1;     ///< Windows per step.
    std::int64_t max_steps = 600;    ///< Optimiser steps of the whole run.
    std::uint64_t seed = 0;          ///< Of parameters, dropout, order and augmentation.
    std::string loss = "mse";        ///< Of genes: mse | huber. Tracks have poisson_mn, whatever this says.
    models::PoissonMultinomialLoss track_loss;
    double huber_delta = 1.0;        ///< Of loss huber, in units of the scaled target.
    double deviation_weight = 1.0;   ///< Weight of a gene's deviations beside its mean.
    double global_clipnorm = 1.0;    ///< Largest L2 norm of all gradients; 0 leaves them alone.
    models::Precision precision = models::Precision::kFp32;  ///< Of the model, in training and prediction.
    models::AdamWConfig adamw;
    models::LearningRate learning_rate;
    std::int64_t log_every_steps = 20;
    std::int64_t valid_every_steps = 100;
    std::int64_t checkpoint_every_steps = 100;
    std::int64_t keep_checkpoints = 2;
    std::int64_t patience = 0;  ///< Validations without a new best before stopping; 0: never stop.
};

/// The `predict` section: how genes are spread over windows.
struct PredictConfig {
    std::int64_t stride_bp = 262'144;
    std::vector<std::int64_t> shifts_bp = {0};
};

/// A whole configuration: params.json with defaults filled in and the command line's changes.
struct RunConfig {
    /// The `data` section, or each of a list of them: data sets of their own, as of several species,
    /// that train one trunk with a head for each. Windows are of one length. One section at most has
    /// genes, and no two have the same head for their tracks.
    std::vector<DataConfig> data;
    models::ModelConfig model;
    TrainConfig train;
    PredictConfig predict;
    std::vector<std::string> ignored_keys;  ///< Of the file: keys of Borzoi that have no effect here.

    /// Reads `path`, applies `overrides` ("train.seed=7"), and checks everything.
    /// @throws UserError (kConfig) with all problems in one message.
    [[nodiscard]] static RunConfig load(const std::string& path,
                                        const std::vector<std::string>& overrides = {});

    /// The configuration as JSON with every default, paths made absolute: reads back with load().
    [[nodiscard]] std::string resolved_text() const;

    /// SHA-256 of all that decides the numbers of a run; file paths are not in it.
    [[nodiscard]] std::string digest() const;

    /// The section that has genes.
    [[nodiscard]] std::optional<std::size_t> genes_section() const;
    /// Names of all sections, "human, mouse".
    [[nodiscard]] std::string section_names() const;
};

}  // namespace flagen::apps
