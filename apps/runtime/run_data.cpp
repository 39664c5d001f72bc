#include "apps/runtime/gene_data.h"

#include <utility>

namespace flagen::apps {

std::shared_ptr<const genomics::FastaReader> open_genome(const GenomeConfig& config) {
    return std::make_shared<const genomics::FastaReader>(
        genomics::FastaReader::open(config.fasta, {config.circular, config.allow_truncated}));
}

GeneData GeneData::load(const DataConfig& config) {
    auto reference = open_genome(config.genome);
    genomics::ContigAliases aliases;
    if (!config.genome.alias.empty()) {
        aliases = genomics::ContigAliases::load(config.genome.alias);
    }
    data::GeneTargets targets = data::load_gene_targets(config.genes, reference->contigs(), aliases);
    genomics::SplitPlan plan(reference->contigs(), config.splits);
    std::vector<genomics::Split> splits = data::splits_of_genes(targets.spans, plan);
    return {std::move(reference), std::move(aliases), std::move(targets), std::move(plan), std::move(splits)};
}

std::string GeneData::description() const {
    const auto counts = data::count_splits(splits);
    return std::to_string(targets.num_genes()) + " genes x " + std::to_string(targets.num_samples()) +
           " samples: " + std::to_string(counts.train) + " train, " + std::to_string(counts.valid) +
           " valid, " + std::to_string(counts.test) + " test, " + std::to_string(counts.straddling) +
           " across a border (unused); " + std::to_string(targets.dropped.size()) +
           " without annotation";
}

}  // namespace flagen::apps
