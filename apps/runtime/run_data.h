#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/options/run_config.h"
#include "flagen/data/gene_index.h"
#include "flagen/data/gene_targets.h"
#include "flagen/data/track_table.h"
#include "flagen/data/track_transform.h"
#include "flagen/data/track_windows.h"
#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/fasta_reader.h"
#include "flagen/genomics/split_plan.h"
#include "flagen/genomics/window.h"

namespace flagen::apps {

/// Measured tracks of a run, binned as the model's head has them.
struct TrackData {
    std::string head;  ///< That is trained on them.
    data::TrackTable table;
    data::TrackTransform transform;
    std::shared_ptr<const data::TrackWindows> windows;
    /// The windows of a cache, labelled train, valid and test (folds are given their use by
    /// data.splits); empty where the bigWigs are read and the splits place the windows.
    data::WindowList listed;
    std::int64_t window_shift_bp = 0;  ///< Largest random shift of a listed window.
};

/// Whether the measurements of tracks are opened; prediction does not need them.
enum class MeasuredTracks { kRead, kLeaveOut };

/// Genome, measurements and splits of one data section, read and checked together.
struct RunData {
    std::shared_ptr<const genomics::FastaReader> reference;
    genomics::ContigAliases aliases;
    data::GeneTargets targets;  ///< Without genes and samples if the configuration has none.
    genomics::SplitPlan plan;
    std::vector<genomics::Split> splits;  ///< Of each gene of `targets`.
    std::optional<TrackData> tracks;
    std::vector<std::string> warnings;  ///< What was met and read as zero; to be told once.

    /// @param model whose windows and bins the section is read in
    /// @throws UserError as the readers do.
    [[nodiscard]] static RunData load(const DataConfig& config, const models::ModelConfig& model,
                                      MeasuredTracks measured = MeasuredTracks::kRead);

    [[nodiscard]] std::vector<std::int64_t> rows(genomics::Split split) const {
        return data::rows_of_split(splits, split);
    }

    /// Forward windows of the model's length around the listed windows of a split.
    [[nodiscard]] std::vector<genomics::Window> listed_windows(genomics::Split split) const;

    /// "3,865 genes x 278 samples: 2,915 train, ..." for the log.
    [[nodiscard]] std::string description() const;
};

/// The genome of a configuration, validated. @throws UserError as FastaReader::open().
[[nodiscard]] std::shared_ptr<const genomics::FastaReader> open_genome(const GenomeConfig& config);

/// The bins that the tracks heads of a model predict. @throws UserError as WindowGeometry::check().
[[nodiscard]] data::WindowGeometry window_geometry(const models::ModelConfig& model);

}  // namespace flagen::apps
