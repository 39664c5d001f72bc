#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/options/run_config.h"
#include "flagen/data/gene_index.h"
#include "flagen/data/gene_targets.h"
#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/fasta_reader.h"
#include "flagen/genomics/split_plan.h"

namespace flagen::apps {

/// Genome, annotation, measurements and splits of one configuration, read and checked together.
struct GeneData {
    std::shared_ptr<const genomics::FastaReader> reference;
    genomics::ContigAliases aliases;
    data::GeneTargets targets;
    genomics::SplitPlan plan;
    std::vector<genomics::Split> splits;  ///< Of each gene of `targets`.

    /// @throws UserError as the readers do.
    [[nodiscard]] static GeneData load(const DataConfig& config);

    [[nodiscard]] std::vector<std::int64_t> rows(genomics::Split split) const {
        return data::rows_of_split(splits, split);
    }

    /// "3,865 genes x 278 samples: 2,915 train, ..." for the log.
    [[nodiscard]] std::string description() const;
};

/// The genome of a configuration, validated. @throws UserError as FastaReader::open().
[[nodiscard]] std::shared_ptr<const genomics::FastaReader> open_genome(const GenomeConfig& config);

}  // namespace flagen::apps
