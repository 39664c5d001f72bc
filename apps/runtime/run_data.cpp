#include "apps/runtime/run_data.h"

#include <algorithm>
#include <utility>

#include "flagen/data/track_cache.h"
#include "flagen/data/track_source.h"
#include "flagen/error.h"

namespace flagen::apps {

std::shared_ptr<const genomics::FastaReader> open_genome(const GenomeConfig& config) {
    return std::make_shared<const genomics::FastaReader>(
        genomics::FastaReader::open(config.fasta, {config.circular, config.allow_truncated}));
}

data::WindowGeometry window_geometry(const models::ModelConfig& model) {
    const models::StreamShape shape = model.trunk_shape();
    const data::WindowGeometry geometry{model.seq_length, shape.offset_bp, shape.bp_per_token};
    geometry.check();
    return geometry;
}

namespace {

// Replaces the labels of folds, "fold3", by what the configuration uses them for.
void label_by_use(data::WindowList& list, const genomics::SplitDefinition& splits) {
    const auto names = [](const std::vector<std::string>& folds, const std::string& label) {
        return std::any_of(folds.begin(), folds.end(),
                           [&](const std::string& fold) { return label == fold || label == "fold" + fold; });
    };
    for (data::ListedWindow& window : list.windows) {
        if (window.label.rfind("fold", 0) != 0) {
            continue;
        }
        window.label = names(splits.valid_folds, window.label)  ? "valid"
                       : names(splits.test_folds, window.label) ? "test"
                                                                 : "train";
    }
}

// With a list of windows the folds are its own: they need no file that says where they lie.
genomics::SplitDefinition without_listed_folds(genomics::SplitDefinition splits, bool listed) {
    if (listed && splits.fold_file.empty() && splits.num_folds == 0) {
        splits.valid_folds.clear();
        splits.test_folds.clear();
    }
    return splits;
}

TrackData load_tracks(const TrackTargetsConfig& config, const data::WindowGeometry& geometry,
                      const genomics::FastaReader& reference, const genomics::ContigAliases& aliases,
                      const genomics::SplitDefinition& splits, std::vector<std::string>& warnings) {
    const genomics::ContigTable& contigs = reference.contigs();
    for (std::size_t i = 0; i < contigs.size(); ++i) {
        FLAGEN_USER_CHECK(UserFault::kConfig, !contigs.at(i).circular,
                          "tracks over a circular contig are not possible: ", contigs.at(i).name,
                          " (take it out of data.circular)");
    }
    data::TrackTable table = data::TrackTable::load(config.table, {config.folder});
    data::TrackTransform transform = data::TrackTransform::make(config.transform, table);
    data::WindowList listed;
    std::shared_ptr<const data::TrackSource> source;
    if (config.cache.empty()) {
        auto files = data::open_track_source(table, transform, geometry.bin_bp, contigs, aliases, config.blacklist);
        for (const data::MissingContig& missing : files->missing_contigs()) {
            warnings.push_back(detail::concatenate("contig ", missing.contig, " is absent from ", missing.num_tracks,
                                                   " tracks, which are zero there, as in ", missing.example));
        }
        source = std::move(files);
    } else {
        const data::GenomeMask blacklist =
            config.blacklist.empty()
                ? data::GenomeMask{}
                : data::GenomeMask::load(config.blacklist, contigs, aliases, data::kBlacklistPaddingBp);
        const data::TrackCacheInputs inputs{contigs, table, config.transform, geometry, blacklist};
        auto cache = std::make_shared<const data::TrackCacheSource>(config.cache, inputs);
        listed = cache->windows();
        label_by_use(listed, splits);
        source = std::move(cache);
    }
    auto windows = std::make_shared<const data::TrackWindows>(std::move(source), table.strand_pair_rows, geometry);
    return {std::move(table), std::move(transform), std::move(windows), std::move(listed),
            config.window_shift};
}

}  // namespace

RunData RunData::load(const RunConfig& run, MeasuredTracks measured) {
    const DataConfig& config = run.data;
    auto reference = open_genome(config.genome);
    genomics::ContigAliases aliases;
    if (!config.genome.alias.empty()) {
        aliases = genomics::ContigAliases::load(config.genome.alias);
    }
    data::GeneTargets targets;
    if (config.genes) {
        targets = data::load_gene_targets(*config.genes, reference->contigs(), aliases);
    }
    std::optional<TrackData> tracks;
    std::vector<std::string> warnings;
    if (config.tracks && measured == MeasuredTracks::kRead) {
        tracks = load_tracks(*config.tracks, window_geometry(run.model), *reference, aliases, config.splits,
                             warnings);
    }
    const bool listed = config.tracks && !config.tracks->cache.empty();
    genomics::SplitPlan plan(reference->contigs(), without_listed_folds(config.splits, listed));
    std::vector<genomics::Split> splits = data::splits_of_genes(targets.spans, plan);
    return {std::move(reference), std::move(aliases), std::move(targets), std::move(plan), std::move(splits),
            std::move(tracks), std::move(warnings)};
}

std::vector<genomics::Window> RunData::listed_windows(genomics::Split split) const {
    std::vector<genomics::Window> windows;
    const data::WindowGeometry& geometry = tracks.value().windows->geometry();
    for (const data::ListedWindow& window : tracks->listed.with_label(genomics::split_name(split))) {
        windows.push_back({window.contig, window.start_bp - geometry.crop_bp, geometry.seq_length_bp,
                           genomics::Strand::kForward});
    }
    return windows;
}

std::string RunData::description() const {
    std::string text;
    if (tracks) {
        text = detail::concatenate(tracks->table.num_tracks(), " tracks in bins of ",
                                   tracks->windows->geometry().bin_bp, " bp");
    }
    if (targets.num_genes() == 0) {
        return text;
    }
    text += text.empty() ? "" : "; ";
    const auto counts = data::count_splits(splits);
    return text + detail::concatenate(targets.num_genes(), " genes x ", targets.num_samples(), " samples: ",
                                      counts.train, " train, ", counts.valid, " valid, ", counts.test, " test, ",
                                      counts.straddling, " across a border (unused); ", targets.dropped.size(),
                                      " without annotation");
}

}  // namespace flagen::apps
