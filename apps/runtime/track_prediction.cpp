#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

#include "apps/exit_code.h"
#include "apps/runtime/file_limit.h"
#include "apps/runtime/prediction_run.h"
#include "apps/runtime/progress.h"
#include "apps/runtime/stop_signal.h"
#include "apps/runtime/track_predictor.h"
#include "flagen/data/track_prediction_store.h"
#include "flagen/data/window_example.h"
#include "flagen/error.h"
#include "flagen/genomics/bigwig_writer.h"
#include "flagen/genomics/tokenizer.h"
#include "flagen/genomics/window_planner.h"

namespace flagen::apps {
namespace {

namespace fs = std::filesystem;

/// A row of the output: its output interval, and the window it is predicted from.
struct PlannedRow {
    data::PredictedRegion region;
    genomics::Window window;
};

// Whole contigs are tiled by outputs from base 0; other regions get one window around their middle.
void add_rows(const ListedRegion& listed, const data::WindowGeometry& geometry,
              const genomics::ContigTable& contigs, std::vector<PlannedRow>& rows) {
    const auto add = [&](std::int64_t output_start) {
        PlannedRow row;
        row.window = {listed.interval.contig, output_start - geometry.crop_bp, geometry.seq_length_bp,
                      genomics::Strand::kForward};
        row.region = {listed.interval.contig, output_start, output_start + geometry.output_bp()};
        rows.push_back(std::move(row));
    };
    if (!listed.known_contig) {
        add(listed.interval.start_bp);
        rows.back().region.status = data::RowStatus::kUnknownContig;
    } else if (listed.whole_contig) {
        for (std::int64_t start = 0; start < listed.interval.end_bp; start += geometry.output_bp()) {
            add(start);
        }
    } else {
        add(genomics::centred_window(contigs, listed.interval, geometry.seq_length_bp).start_bp + geometry.crop_bp);
    }
}

// Padding is told; a window with too many N within its contig has nothing to be predicted from.
void set_status(PlannedRow& row, const genomics::ReferenceGenome& reference, double max_n) {
    if (row.region.status != data::RowStatus::kOk) {
        return;
    }
    data::WindowExample example;
    data::read_tokens(reference, row.window, example);
    const auto num_n = std::count(example.tokens.begin(), example.tokens.end(), genomics::kBaseN) -
                       example.num_padded_bp;
    const std::int64_t num_read = row.window.length_bp - example.num_padded_bp;
    if (num_read == 0 || static_cast<double>(num_n) > max_n * static_cast<double>(num_read)) {
        row.region.status = data::RowStatus::kNFractionHigh;
    } else if (example.num_padded_bp > 0) {
        row.region.status = data::RowStatus::kOutOfBoundsPadded;
    }
}

std::vector<PlannedRow> plan_rows(const PredictionRun& run, const PredictionRequest& request,
                                  const data::WindowGeometry& geometry) {
    const auto& contigs = run.data.reference->contigs();
    std::vector<ListedRegion> regions;
    if (!request.genes_file.empty()) {
        for (const std::int64_t row : rows_of_gene_list(request.genes_file, run.data.targets)) {
            regions.push_back({run.data.targets.spans[static_cast<std::size_t>(row)].interval()});
        }
    }
    if (!request.regions.empty() || regions.empty()) {
        const auto listed = list_regions(request.regions, contigs, run.data.aliases, UnknownContig::kKeep);
        regions.insert(regions.end(), listed.begin(), listed.end());
    }
    std::vector<PlannedRow> rows;
    for (const ListedRegion& region : regions) {
        add_rows(region, geometry, contigs, rows);
    }
    for (PlannedRow& row : rows) {
        set_status(row, *run.data.reference, request.max_n);
    }
    return rows;
}

// All that decides the values: a part file of another run must not be taken up.
std::string run_digest(const PredictionRun& run, const PredictionRequest& request) {
    const DataConfig& section = run.section();
    const data::WindowGeometry geometry = window_geometry(run.first().config.model);
    std::string text = detail::concatenate(
        run.models_sha256(), '\n', run.inputs.genome_md5, '\n', run.first().tracks.at(section.tracks->head).digest(), '\n',
        section.tracks->transform, ' ', section.tracks->head, ' ', geometry.seq_length_bp, ' ', geometry.crop_bp,
        ' ', geometry.bin_bp, ' ', request.squashed, ' ', request.reverse_complement, ' ', request.device.device, ' ',
        models::precision_name(run.first().config.train.precision));
    for (const std::string& contig : section.genome.circular) {
        text.append(" ").append(contig);
    }
    for (const std::int64_t shift : request.shifts_bp) {
        text += detail::concatenate(' ', shift);
    }
    return text;
}

// Scored rows by contig and start, as a bigWig takes them.
// @throws UserError if outputs overlap.
std::vector<std::size_t> bigwig_order(const std::vector<data::PredictedRegion>& regions,
                                      const genomics::ContigTable& contigs) {
    std::vector<std::size_t> order;
    for (std::size_t row = 0; row < regions.size(); ++row) {
        if (regions[row].scored()) {
            order.push_back(row);
        }
    }
    const auto place = [&](std::size_t row) {
        return std::pair(contigs.find(regions[row].contig).value(), regions[row].start_bp);
    };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return place(a) < place(b); });
    for (std::size_t i = 1; i < order.size(); ++i) {
        const auto& before = regions[order[i - 1]];
        const auto& here = regions[order[i]];
        FLAGEN_USER_CHECK(UserFault::kConfig, before.contig != here.contig || before.end_bp <= here.start_bp,
                          "--bigwig needs regions whose outputs do not overlap, found ", here.contig, ":",
                          before.start_bp, "-", before.end_bp, " and ", here.start_bp, "-", here.end_bp,
                          " (as with --chrom)");
    }
    return order;
}

// A file name for each track. @throws UserError if two are equal.
std::vector<std::string> bigwig_names(const std::vector<std::string>& ids) {
    std::vector<std::string> names;
    for (const std::string& id : ids) {
        names.push_back(id + ".bw");
        std::replace(names.back().begin(), names.back().end(), '/', '_');
    }
    std::vector<std::string> sorted = names;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    FLAGEN_USER_CHECK(UserFault::kConfig, twice == sorted.end(), "--bigwig needs tracks of different names, found ",
                      twice == sorted.end() ? "" : *twice, " twice");
    return names;
}

// Bins of a region that lie on its contig: others are of no base that a file could hold.
std::pair<std::size_t, std::size_t> bins_on_contig(const data::PredictedRegion& region, std::size_t num_bins,
                                                   std::int64_t bin_bp, std::int64_t length_bp) {
    std::size_t first = 0;
    while (first < num_bins && region.start_bp + static_cast<std::int64_t>(first) * bin_bp < 0) {
        ++first;
    }
    std::size_t last = num_bins;
    while (last > first && region.start_bp + static_cast<std::int64_t>(last - 1) * bin_bp >= length_bp) {
        --last;
    }
    return {first, last};
}

/// What bigWigs are written from.
struct BigWigSource {
    const data::TrackPredictionReader& reader;
    const std::vector<std::size_t>& order;  ///< Of the rows.
    const genomics::ContigTable& contigs;
    std::int64_t bin_bp;
};

// The files `paths` of as many tracks from `first_track`, all open at once.
void write_bigwig_group(const BigWigSource& source, const std::vector<std::string>& paths, std::size_t first_track) {
    std::vector<genomics::Contig> chromosomes;
    for (std::size_t i = 0; i < source.contigs.size(); ++i) {
        chromosomes.push_back(source.contigs.at(i));
    }
    std::vector<std::unique_ptr<genomics::BigWigWriter>> writers;
    for (const std::string& path : paths) {
        writers.push_back(std::make_unique<genomics::BigWigWriter>(path, chromosomes));
    }
    const std::size_t num_tracks = source.reader.tracks().ids.size();
    const auto num_bins = static_cast<std::size_t>(source.reader.num_bins());
    std::vector<float> column;
    for (const std::size_t row : source.order) {
        const data::PredictedRegion& region = source.reader.regions()[row];
        const std::vector<float> values = source.reader.read(static_cast<std::int64_t>(row));
        const std::int64_t length = source.contigs.at(source.contigs.find(region.contig).value()).length_bp;
        const auto [first, last] = bins_on_contig(region, num_bins, source.bin_bp, length);
        for (std::size_t i = 0; i < writers.size() && last > first; ++i) {
            column.clear();
            for (std::size_t bin = first; bin < last; ++bin) {
                column.push_back(values[bin * num_tracks + first_track + i]);
            }
            writers[i]->add(region.contig, region.start_bp + static_cast<std::int64_t>(first) * source.bin_bp, column,
                            source.bin_bp);
        }
    }
    for (const auto& writer : writers) {
        writer->finish();
    }
}

void write_bigwigs(const std::string& folder, const std::string& path, const data::WindowGeometry& geometry,
                   const genomics::ContigTable& contigs) {
    const data::TrackPredictionReader reader(path);
    const std::vector<std::size_t> order = bigwig_order(reader.regions(), contigs);
    const std::vector<std::string> names = bigwig_names(reader.tracks().ids);
    fs::create_directories(folder);
    // Each group reads the predictions anew; the other half of the files is left to everything else.
    const std::size_t group = std::max<std::size_t>(raise_file_limit() / 2, 1);
    for (std::size_t first = 0; first < names.size(); first += group) {
        std::vector<std::string> paths;
        for (std::size_t track = first; track < std::min(names.size(), first + group); ++track) {
            paths.push_back((fs::path(folder) / names[track]).string());
        }
        write_bigwig_group({reader, order, contigs, geometry.bin_bp}, paths, first);
    }
}

// What a model was trained on with the head of that name; null if it was not.
const TrackTargetsConfig* targets_of_head(const RunConfig& config, const std::string& head) {
    for (const DataConfig& section : config.data) {
        if (section.tracks && section.tracks->head == head) {
            return &*section.tracks;
        }
    }
    return nullptr;
}

void check_ensemble(const PredictionRun& run, const TrackTargetsConfig& targets) {
    const TrainedModel& first = run.first();
    for (const TrainedModel& trained : run.models) {
        const TrackTargetsConfig* other = targets_of_head(trained.config, targets.head);
        FLAGEN_USER_CHECK(UserFault::kConfig,
                          other != nullptr && other->transform == targets.transform &&
                              trained.tracks.at(targets.head).digest() == first.tracks.at(targets.head).digest() &&
                              window_geometry(trained.config.model) == window_geometry(first.config.model),
                          "the models of an ensemble differ in their tracks, transform, head or windows: ", first.checkpoint,
                          " and ", trained.checkpoint);
    }
}

std::vector<models::ExpressionModel> models_of(PredictionRun& run) {
    std::vector<models::ExpressionModel> models;
    for (TrainedModel& trained : run.models) {
        models.push_back(trained.model);
    }
    return models;
}

}  // namespace

int predict_tracks_to_file(PredictionRun& run, const PredictionRequest& request) {
    const TrainedModel& first = run.first();
    const TrackTargetsConfig& targets = *run.section().tracks;
    check_ensemble(run, targets);
    const data::TrackTable& table = first.tracks.at(targets.head);
    const auto transform = data::TrackTransform::make(targets.transform, table);
    const data::WindowGeometry geometry = window_geometry(first.config.model);
    const std::vector<PlannedRow> rows = plan_rows(run, request, geometry);
    const std::int64_t bytes = static_cast<std::int64_t>(rows.size() * sizeof(float)) * table.num_tracks() *
                               (request.summed ? 1 : geometry.num_bins());
    if (request.dry_run) {
        std::fprintf(stderr, "%zu regions x %lld bins x %lld tracks, about %lld bytes before compression, into %s\n",
                     rows.size(), static_cast<long long>(geometry.num_bins()),
                     static_cast<long long>(table.num_tracks()), static_cast<long long>(bytes), request.out.c_str());
        return kExitOk;
    }
    std::vector<data::PredictedRegion> regions;
    for (const PlannedRow& row : rows) {
        regions.push_back(row.region);
    }
    if (!request.bigwig_folder.empty()) {
        // Faults show before any work.
        static_cast<void>(bigwig_order(regions, run.data.reference->contigs()));
        static_cast<void>(bigwig_names(data::PredictedTracks::of(table).ids));
    }
    data::TrackPredictionWriter writer(request.out, run_digest(run, request), regions, data::PredictedTracks::of(table),
                                       geometry.num_bins(), request.summed);
    if (writer.discarded_another_run()) {
        std::fprintf(stderr, "flagen: rows that another model, genome or option had left in %s.part were thrown away\n",
                     request.out.c_str());
    }
    TrackPredictor predictor(models_of(run), run.data.reference,
                             {targets.head, table.strand_pair_rows, request.shifts_bp,
                              request.reverse_complement});
    const StopSignal stop;
    Progress progress("predict", "windows", static_cast<std::int64_t>(rows.size()), writer.num_done());
    for (std::size_t row = 0; row < rows.size(); ++row) {
        if (writer.is_done(static_cast<std::int64_t>(row))) {
            continue;
        }
        at::Tensor values = predictor.predict(rows[row].window);
        if (!request.squashed) {
            values = transform.invert(values).contiguous();
        }
        writer.add(static_cast<std::int64_t>(row),
                   std::span(values.const_data_ptr<float>(), static_cast<std::size_t>(values.numel())));
        progress.update(writer.num_done());
        if (stop.received() != 0 && writer.num_done() < static_cast<std::int64_t>(rows.size())) {
            progress.clear();
            std::fprintf(stderr, "flagen: stopped by signal %d with %lld of %zu rows done; the same command goes on\n",
                         stop.received(), static_cast<long long>(writer.num_done()), rows.size());
            return kExitRequeue;
        }
    }
    progress.clear();
    data::Attributes attributes = run.attributes(request);
    attributes["head"] = targets.head;
    attributes["tracks_sha256"] = table.digest();
    attributes["transform"] = transform.name();
    attributes["scale"] = std::string(request.squashed ? "squashed" : "raw");
    attributes["untransform"] = std::string(request.squashed ? "none" : "full");
    attributes["bin_size"] = geometry.bin_bp;
    attributes["crop_bins"] = geometry.crop_bp / geometry.bin_bp;
    attributes["strand_policy"] = std::string("forward; stranded tracks by their own strand");
    writer.finish(attributes);
    if (!request.bigwig_folder.empty()) {
        write_bigwigs(request.bigwig_folder, request.out, geometry, run.data.reference->contigs());
    }
    const auto num_failed = std::count_if(regions.begin(), regions.end(),
                                          [](const data::PredictedRegion& region) { return !region.scored(); });
    std::fprintf(stderr, "%s: %zu regions x %lld bins x %lld tracks, %lld without a prediction\n", request.out.c_str(),
                 rows.size(), static_cast<long long>(geometry.num_bins()), static_cast<long long>(table.num_tracks()),
                 static_cast<long long>(num_failed));
    return num_failed > 0 ? kExitSomeRowsFailed : kExitOk;
}

}  // namespace flagen::apps
