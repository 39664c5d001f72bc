#include "apps/runtime/data_builder.h"

#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "apps/exit_code.h"
#include "apps/runtime/file_limit.h"
#include "apps/runtime/folder_lock.h"
#include "apps/runtime/progress.h"
#include "apps/runtime/stop_signal.h"
#include "flagen/atomic_file.h"
#include "flagen/data/genome_mask.h"
#include "flagen/data/track_cache.h"
#include "flagen/data/track_source.h"
#include "flagen/error.h"
#include "flagen/genomics/fasta_reader.h"

namespace flagen::apps {
namespace {

namespace fs = std::filesystem;

/// All that `flagen data` reads, checked together.
struct DataInputs {
    genomics::ContigTable contigs;
    genomics::ContigAliases aliases;
    data::TrackTable table;
    data::TrackTransform transform;
    data::GenomeMask gaps;
    data::GenomeMask blacklist;
    data::GenomeMask unmappable;

    [[nodiscard]] static DataInputs load(const DataBuildOptions& options) {
        data::TrackTable table = data::TrackTable::load(options.targets, {options.track_folder});
        data::TrackTransform transform = data::TrackTransform::make(options.transform, table);
        const auto reference = genomics::FastaReader::open(options.fasta);
        genomics::ContigAliases aliases;
        if (!options.alias.empty()) {
            aliases = genomics::ContigAliases::load(options.alias);
        }
        const auto mask = [&](const std::string& path, std::int64_t padding_bp) {
            return path.empty() ? data::GenomeMask()
                                : data::GenomeMask::load(path, reference.contigs(), aliases, padding_bp);
        };
        return {reference.contigs(),
                aliases,
                std::move(table),
                std::move(transform),
                mask(options.gaps, 0),
                mask(options.blacklist, data::kBlacklistPaddingBp),
                mask(options.unmappable, 0)};
    }
};

data::PlannedWindowList plan_windows(const DataBuildOptions& options, const DataInputs& inputs) {
    if (options.windows.empty()) {
        return data::plan_window_list(inputs.contigs, options.geometry, inputs.gaps, inputs.unmappable,
                                      options.layout);
    }
    return data::take_window_list(
        inputs.contigs,
        data::WindowList::read_bed(options.windows, options.geometry, inputs.contigs, inputs.aliases),
        inputs.unmappable, options.layout.drop_at_unmappable);
}

void tell_mask(const char* what, const data::GenomeMask& mask) {
    if (mask.num_rows_on_unknown_contigs() > 0) {
        std::printf("%s: %lld of %lld rows lie on contigs that the genome lacks and are left out\n", what,
                    static_cast<long long>(mask.num_rows_on_unknown_contigs()),
                    static_cast<long long>(mask.num_rows()));
    }
}

void tell_plan(const DataBuildOptions& options, const DataInputs& inputs, const data::PlannedWindowList& plan) {
    const data::WindowGeometry& geometry = options.geometry;
    std::printf("%zu contigs, %lld bp; %lld tracks, transform %s\n", inputs.contigs.size(),
                static_cast<long long>(inputs.contigs.total_length_bp()),
                static_cast<long long>(inputs.table.num_tracks()), options.transform.c_str());
    std::printf("input %lld bp, crop %lld bp, output %lld bins of %lld bp\n",
                static_cast<long long>(geometry.seq_length_bp), static_cast<long long>(geometry.crop_bp),
                static_cast<long long>(geometry.num_bins()), static_cast<long long>(geometry.bin_bp));
    tell_mask("gaps", inputs.gaps);
    tell_mask("blacklist", inputs.blacklist);
    tell_mask("unmappable", inputs.unmappable);
    for (const auto& [label, count] : plan.list.label_counts()) {
        std::printf("  %-6s %lld windows\n", label.c_str(), static_cast<long long>(count));
    }
    if (plan.num_unmappable > 0) {
        std::printf("dropped: %lld windows, at least half of whose output is unmappable\n",
                    static_cast<long long>(plan.num_unmappable));
    }
    if (plan.num_contigs_short > 0) {
        std::printf("no window fits into %lld stretches, %lld bp in all: they are shorter than an output\n",
                    static_cast<long long>(plan.num_contigs_short), static_cast<long long>(plan.short_contigs_bp));
    }
    const double values = static_cast<double>(geometry.num_bins()) * static_cast<double>(inputs.table.num_tracks());
    std::printf("targets: %.1f MB a window as %s before compression, %.3f GB in all\n",
                values * (options.half ? 2 : 4) / 1e6, options.half ? "f16" : "f32",
                values * (options.half ? 2 : 4) * static_cast<double>(plan.list.windows.size()) / 1e9);
    std::fflush(stdout);
}

/// Once for each contig that has windows.
void warn_of_missing_contigs(const data::BigWigTrackSource& source, const data::PlannedWindowList& plan) {
    std::set<std::string> used;
    for (const data::ListedWindow& window : plan.list.windows) {
        used.insert(window.contig);
    }
    for (const data::MissingContig& missing : source.missing_contigs()) {
        if (used.count(missing.contig) > 0) {
            std::fprintf(stderr, "warning: contig %s is not in the files of %lld tracks, targets are 0 there (%s)\n",
                         missing.contig.c_str(), static_cast<long long>(missing.num_tracks),
                         missing.example.c_str());
        }
    }
}

/// How the inputs of the cache in the folder, finished or not, differ from these.
std::vector<std::string> differences(const DataBuildOptions& options, const data::TrackCacheInputs& inputs,
                                     const data::WindowList& windows) {
    const std::string path = (fs::path(options.out) / "manifest.json").string();
    data::TrackManifest manifest;
    try {
        manifest = data::TrackManifest::read(path);
    } catch (const UserError& error) {  // absent or damaged: nobody knows what the cache was made from
        return {error.what()};
    }
    auto reasons = data::stale_reasons(manifest, inputs, &windows);
    const std::string dtype = options.half ? "f16" : "f32";
    if (manifest.dtype != dtype) {
        reasons.push_back(detail::concatenate("dtype was ", manifest.dtype, ", is ", dtype));
    }
    return reasons;
}

/// Refuses a cache of other inputs, or discards it if so told. Whether a finished one of these is left.
bool settle_folder(const DataBuildOptions& options, const data::TrackCacheInputs& inputs,
                   const data::WindowList& windows) {
    const bool finished = data::has_track_cache(options.out);
    if (!finished && !data::has_unfinished_track_cache(options.out)) {
        return false;
    }
    const std::vector<std::string> reasons = differences(options, inputs, windows);
    if (reasons.empty()) {
        return finished;
    }
    std::string text = detail::concatenate("folder holds ", finished ? "a track cache" : "an unfinished track cache",
                                           " of other inputs: ", options.out);
    for (const std::string& reason : reasons) {
        text.append("\n  ").append(reason);
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, options.overwrite, text,
                      "\n  choose another --out, or discard what the folder holds with --overwrite");
    std::fprintf(stderr, "flagen: discarded: %s\n", text.c_str());
    data::remove_track_cache(options.out);
    return false;
}

void write_lists(const DataBuildOptions& options, const DataInputs& inputs, const data::PlannedWindowList& plan) {
    const fs::path folder(options.out);
    write_file_atomically((folder / "sequences.bed").string(), data::bed_text(plan.list.windows));
    write_file_atomically((folder / "contigs.bed").string(), data::bed_text(plan.contigs));
    write_file_atomically((folder / "targets.txt").string(), inputs.table.to_text());
    write_file_atomically((folder / "statistics.json").string(),
                          plan.list.statistics_text(inputs.table.num_tracks()));
}

int build_cache(const DataBuildOptions& options, const data::TrackCacheInputs& inputs,
                const data::WindowList& windows, const data::BigWigTrackSource& source) {
    const StopSignal stop;
    const data::TrackManifest manifest = data::make_track_manifest(inputs, windows, options.num_threads);
    data::TrackCacheOptions build;
    build.num_threads = options.num_threads;
    build.discard_other = options.overwrite;
    Progress progress("data", "windows", static_cast<std::int64_t>(windows.windows.size()));
    build.progress = [&](std::int64_t done, std::int64_t total) {
        progress.set_total(total);
        progress.update(done);
        return stop.received() == 0;
    };
    const auto result = data::build_track_cache(options.out, manifest, windows, inputs.table, source, build);
    progress.clear();
    if (result.num_resumed > 0) {
        std::printf("%lld windows were done by an earlier build\n", static_cast<long long>(result.num_resumed));
    }
    if (!result.complete) {
        std::fprintf(stderr, "flagen: stopped by signal %d; run the same command again to go on\n", stop.received());
        return kExitRequeue;
    }
    const auto counts = source.counts();
    std::printf("tracks.h5: %.1f MB, %.3f MB a window; %lld bases without a finite value read as 0, "
                "%lld blacklisted bases clipped\n",
                static_cast<double>(result.num_bytes) / 1e6,
                static_cast<double>(result.num_bytes) / 1e6 / static_cast<double>(windows.windows.size()),
                static_cast<long long>(counts.nan_bases), static_cast<long long>(counts.clipped_bases));
    return kExitOk;
}

}  // namespace

int build_data(const DataBuildOptions& options) {
    options.geometry.check();
    raise_file_limit();
    const DataInputs inputs = DataInputs::load(options);
    const data::PlannedWindowList plan = plan_windows(options, inputs);
    tell_plan(options, inputs, plan);
    data::BigWigTrackOptions reading;
    reading.bin_bp = options.geometry.bin_bp;
    reading.blacklist = inputs.blacklist;
    reading.aliases = inputs.aliases;
    const data::BigWigTrackSource source(inputs.table, inputs.transform, inputs.contigs, reading);
    warn_of_missing_contigs(source, plan);
    for (const std::string& column : inputs.table.ignored_columns) {
        std::printf("column without effect here: %s (%s)\n", column.c_str(), options.targets.c_str());
    }
    if (options.dry_run) {
        return kExitOk;
    }
    const data::TrackCacheInputs cache{inputs.contigs,   inputs.table,     options.transform,
                                       options.geometry, inputs.blacklist, options.half};
    std::error_code error;
    fs::create_directories(options.out, error);
    FLAGEN_USER_CHECK(UserFault::kConfig, !error, "cannot make the folder: ", options.out, ": ", error.message());
    const FolderLock lock(options.out);
    const bool up_to_date = settle_folder(options, cache, plan.list);
    write_lists(options, inputs, plan);
    if (options.lists_only) {
        return kExitOk;
    }
    if (up_to_date) {
        data::remove_unfinished_track_cache(options.out);  // of a build that was killed right after its end
        std::printf("%s is up to date\n", options.out.c_str());
        return kExitOk;
    }
    return build_cache(options, cache, plan.list, source);
}

}  // namespace flagen::apps
