#include "apps/runtime/run_data.h"

#include <algorithm>
#include <set>
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
void label_by_use(data::WindowList& list, const genomics::SplitDefinition& splits, const std::string& cache) {
    std::set<std::string> folds;
    for (data::ListedWindow& window : list.windows) {
        std::string& label = window.label;
        if (label.rfind("fold", 0) == 0) {
            folds.insert(label);
            const auto names = [&label](const std::vector<std::string>& chosen) {
                return std::any_of(chosen.begin(), chosen.end(), [&](const std::string& fold) {
                    return label == fold || label.compare(4, std::string::npos, fold) == 0;
                });
            };
            label = names(splits.valid_folds) ? "valid" : names(splits.test_folds) ? "test" : "train";
        }
        FLAGEN_USER_CHECK(UserFault::kInputFile, label == "train" || label == "valid" || label == "test",
                          "a window is labelled ", label, "; expected train, valid, test or fold0, fold1, ..: ", cache);
    }
    for (const auto* chosen : {&splits.valid_folds, &splits.test_folds}) {
        for (const std::string& fold : *chosen) {
            FLAGEN_USER_CHECK(UserFault::kConfig, folds.contains(fold) || folds.contains(std::string("fold").append(fold)),
                              "data.splits names fold ", fold, ", which no window of ", cache, " has");
        }
    }
}

// Genes are held out by the plan, windows by their labels: both must mean the same.
void check_labels(const data::WindowList& list, const genomics::SplitPlan& plan, const std::string& cache) {
    const genomics::ContigTable& contigs = plan.contigs();
    for (const data::ListedWindow& window : list.windows) {
        const std::int64_t length = contigs.at(contigs.find(window.contig).value()).length_bp;
        const genomics::Interval output{window.contig, std::max<std::int64_t>(window.start_bp, 0),
                                        std::min(window.end_bp, length)};
        FLAGEN_USER_CHECK(UserFault::kConfig, window.label == genomics::split_name(plan.of_interval(output)),
                          "with genes, data.splits must hold out what the windows of ", cache, " do: ", window.contig, ":",
                          window.start_bp, "-", window.end_bp, " is ", window.label, " there and ",
                          genomics::split_name(plan.of_interval(output)), " in data.splits");
    }
}

// With a list of windows and no genes the folds are the list's: they need no file that says where they lie.
genomics::SplitDefinition without_listed_folds(genomics::SplitDefinition splits, const DataConfig& config) {
    const bool listed = config.tracks && !config.tracks->cache.empty();
    if (listed && !config.genes && splits.fold_file.empty() && splits.num_folds == 0) {
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
    for (const std::string& column : table.ignored_columns) {
        warnings.push_back(detail::concatenate("column without effect here: ", column, " (", config.table, ")"));
    }
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
        label_by_use(listed, splits, config.cache);
        source = std::move(cache);
    }
    auto windows = std::make_shared<const data::TrackWindows>(std::move(source), table.strand_pair_rows, geometry);
    return {config.head, std::move(table), std::move(transform), std::move(windows), std::move(listed),
            config.window_shift};
}

}  // namespace

RunData RunData::load(const DataConfig& config, const models::ModelConfig& model, MeasuredTracks measured) {
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
        tracks = load_tracks(*config.tracks, window_geometry(model), *reference, aliases, config.splits, warnings);
    }
    genomics::SplitPlan plan(reference->contigs(), without_listed_folds(config.splits, config));
    if (config.genes && tracks) {
        check_labels(tracks->listed, plan, config.tracks->cache);
    }
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
