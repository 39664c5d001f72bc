#include "apps/runtime/gene_track_evaluator.h"

#include <ATen/ATen.h>
#include <zlib.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "apps/runtime/run_data.h"
#include "apps/runtime/score_text.h"
#include "flagen/atomic_file.h"
#include "flagen/error.h"
#include "flagen/genomics/range.h"
#include "flagen/json_object.h"

namespace flagen::apps {
namespace {

/// Bins of one gene in the window that it is read from.
struct PlacedExons {
    std::size_t gene = 0;
    std::vector<std::int64_t> bins;  // that touch an exon, ascending
    std::int64_t exon_bp = 0;
};

// Bins [floor(start / bin), ceil(end / bin)) of every exon, each once; nothing unless all are in the output.
std::optional<std::vector<std::int64_t>> exon_bins(const genomics::GeneSpan& gene, std::int64_t output_start,
                                                   const data::WindowGeometry& geometry) {
    std::vector<std::int64_t> bins;
    for (const genomics::Range& exon : gene.pieces) {
        const std::int64_t start = exon.start_bp - output_start;
        const std::int64_t end = exon.end_bp - output_start;
        if (start < 0 || end > geometry.output_bp()) {
            return std::nullopt;
        }
        std::int64_t first = start / geometry.bin_bp;
        if (!bins.empty()) {
            first = std::max(first, bins.back() + 1);
        }
        for (std::int64_t bin = first; bin * geometry.bin_bp < end; ++bin) {
            bins.push_back(bin);
        }
    }
    return bins;
}

// Each gene goes to the window whose centre is nearest its own among those that hold all its exons.
std::map<std::size_t, std::vector<PlacedExons>> place_genes(const std::vector<genomics::GeneSpan>& genes,
                                                            const std::vector<data::TrackPass>& passes,
                                                            const data::WindowGeometry& geometry,
                                                            std::int64_t& num_unreachable) {
    std::map<std::size_t, std::vector<PlacedExons>> by_pass;
    for (std::size_t gene = 0; gene < genes.size(); ++gene) {
        std::optional<std::size_t> best;
        std::int64_t best_distance = 0;
        for (std::size_t pass = 0; pass < passes.size(); ++pass) {
            const genomics::Window& window = passes[pass].window;
            const std::int64_t distance = std::abs(window.start_bp + window.end_bp() -
                                                   (genes[gene].start_bp + genes[gene].end_bp));
            if (window.contig == genes[gene].contig && (!best || distance < best_distance) &&
                exon_bins(genes[gene], window.start_bp + geometry.crop_bp, geometry)) {
                best = pass;
                best_distance = distance;
            }
        }
        if (!best || genes[gene].pieces.empty()) {
            ++num_unreachable;
            continue;
        }
        PlacedExons placed;
        placed.gene = gene;
        placed.bins = *exon_bins(genes[gene], passes[*best].window.start_bp + geometry.crop_bp, geometry);
        placed.exon_bp = genomics::total_bp(genes[gene].pieces);
        by_pass[*best].push_back(std::move(placed));
    }
    return by_pass;
}

// Values of a gene's bins in one track, [bins], from [N, T].
std::vector<double> bins_of(const at::Tensor& raw, const PlacedExons& placed, std::int64_t track) {
    std::vector<double> values;
    const double* data = raw.const_data_ptr<double>();
    for (const std::int64_t bin : placed.bins) {
        values.push_back(data[bin * raw.size(1) + track]);
    }
    return values;
}

double log_coverage(const std::vector<double>& bins, std::int64_t exon_bp, std::int64_t bin_bp) {
    double sum = 0.0;
    for (const double value : bins) {
        sum += value;
    }
    const double mean = sum / static_cast<double>(bins.size());
    return std::log2(mean / static_cast<double>(bin_bp) * static_cast<double>(exon_bp) + 1.0);
}

at::Tensor as_measured(const at::Tensor& squashed, const data::TrackTransform& transform) {
    return transform.invert(squashed).clamp_min(0).to(at::kDouble).contiguous();
}

void resize(models::GeneTrackMatrix& matrix, std::size_t genes, std::size_t tracks) {
    matrix.num_genes = static_cast<std::int64_t>(genes);
    matrix.num_tracks = static_cast<std::int64_t>(tracks);
    matrix.values.resize(genes * tracks);
}

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), std::isfinite(value) ? "%.5f" : "nan", value);
    return text;
}

std::string gzip(const std::string& text) {
    z_stream stream{};
    FLAGEN_CHECK(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK,
                 "zlib does not start");
    std::string out(deflateBound(&stream, text.size()), '\0');
    // zlib's interface takes a pointer to what it only reads.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int status = deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    FLAGEN_CHECK(status == Z_STREAM_END, "zlib did not finish");
    return out;
}

std::string matrix_text(const models::GeneTrackMatrix& matrix, const GeneTrackEvaluation& evaluation,
                        const data::TrackTable& table) {
    std::string text;
    for (const std::size_t track : evaluation.tracks) {
        text += "\t";
        text += table.tracks[track].identifier;
    }
    text += "\n";
    for (std::size_t gene = 0; gene < evaluation.genes.size(); ++gene) {
        text += evaluation.genes[gene];
        for (std::int64_t track = 0; track < matrix.num_tracks; ++track) {
            text += "\t";
            text += number(matrix.at(static_cast<std::int64_t>(gene), track));
        }
        text += "\n";
    }
    return text;
}

}  // namespace

GeneTrackEvaluation evaluate_gene_tracks(const TrackData& tracks, const std::vector<data::TrackPass>& passes,
                                         const std::vector<genomics::GeneSpan>& genes, const std::string& split,
                                         const std::string& exons, const TrackPrediction& predict) {
    const data::WindowGeometry& geometry = tracks.windows->geometry();
    GeneTrackEvaluation result;
    result.split = split;
    result.exons = exons;
    std::vector<std::string> groups;
    for (std::size_t track = 0; track < tracks.table.tracks.size(); ++track) {
        if (tracks.table.strand(track) != '-') {
            result.tracks.push_back(track);
            groups.push_back(tracks.table.tracks[track].group);
        }
    }
    const auto by_pass = place_genes(genes, passes, geometry, result.num_unreachable);
    const std::size_t num_genes = genes.size() - static_cast<std::size_t>(result.num_unreachable);
    models::GeneTrackMatrix pearson;
    models::GeneTrackMatrix variance;
    for (models::GeneTrackMatrix* matrix : {&result.predicted, &result.measured, &pearson, &variance}) {
        resize(*matrix, num_genes, result.tracks.size());
    }
    std::size_t row = 0;
    for (const auto& [pass, placed_genes] : by_pass) {
        const at::Tensor predicted = as_measured(predict(passes[pass]), tracks.transform);
        std::vector<float> values = tracks.windows->read(passes[pass].window);
        const at::Tensor measured = as_measured(
            at::from_blob(values.data(), {geometry.num_bins(), tracks.windows->num_tracks()}, at::kFloat),
            tracks.transform);
        for (const PlacedExons& placed : placed_genes) {
            const genomics::GeneSpan& gene = genes[placed.gene];
            result.genes.push_back(gene.id);
            for (std::size_t column = 0; column < result.tracks.size(); ++column) {
                const std::size_t forward = result.tracks[column];
                const std::int64_t track = gene.strand == genomics::Strand::kReverse
                                               ? tracks.table.strand_pair_rows[forward]
                                               : static_cast<std::int64_t>(forward);
                const auto p = bins_of(predicted, placed, track);
                const auto m = bins_of(measured, placed, track);
                const std::size_t entry = row * result.tracks.size() + column;
                result.predicted.values[entry] = log_coverage(p, placed.exon_bp, geometry.bin_bp);
                result.measured.values[entry] = log_coverage(m, placed.exon_bp, geometry.bin_bp);
                const models::WithinGene within = models::within_gene(p, m);
                pearson.values[entry] = within.pearson;
                variance.values[entry] = within.variance;
            }
            ++row;
        }
    }
    if (num_genes > 0) {
        result.scores = models::score_gene_tracks(result.predicted, result.measured, groups);
        result.within_genes = models::score_within_genes(pearson, variance);
    }
    return result;
}

std::string gene_tracks_table(const TrackData& tracks, const GeneTrackEvaluation& evaluation) {
    std::vector<double> pearson;
    std::vector<double> r2;
    std::vector<double> pearson_norm;
    std::vector<double> within;
    for (std::size_t i = 0; i < evaluation.scores.size(); ++i) {
        pearson.push_back(evaluation.scores[i].pearson);
        r2.push_back(evaluation.scores[i].r2);
        pearson_norm.push_back(evaluation.scores[i].pearson_norm);
        within.push_back(evaluation.within_genes[i].mean);
    }
    char text[400];
    std::snprintf(text, sizeof(text),
                  "%s: coverage of %zu genes (rows: %s) by %zu strand-collapsed tracks, log2(x + 1), means over tracks "
                  "(bins of %lld bp)\n  r over genes %.3f, explained variance %.3f; quantile-normalised and centred r %.3f; "
                  "within genes r %.3f; %lld genes in no window\n",
                  evaluation.split.c_str(), evaluation.genes.size(), evaluation.exons.c_str(), evaluation.tracks.size(),
                  static_cast<long long>(tracks.windows->geometry().bin_bp), models::mean_of_defined(pearson).mean, models::mean_of_defined(r2).mean,
                  models::mean_of_defined(pearson_norm).mean, models::mean_of_defined(within).mean, static_cast<long long>(evaluation.num_unreachable));
    return text;
}

void write_gene_track_scores(JsonObject& root, const TrackData& tracks, const GeneTrackEvaluation& evaluation) {
    JsonObject section = root.append_object("gene_tracks");
    section.set("head", tracks.head);
    section.set("split", evaluation.split);
    section.set("scale", "log2(raw coverage + 1)");
    section.set("exons", evaluation.exons);
    section.set("num_genes", static_cast<std::int64_t>(evaluation.genes.size()));
    section.set("num_genes_in_no_window", evaluation.num_unreachable);
    for (std::size_t i = 0; i < evaluation.scores.size(); ++i) {
        JsonObject track = section.append_object("per_track");
        track.set("identifier", tracks.table.tracks[evaluation.tracks[i]].identifier);
        set_defined(track, "pearson", evaluation.scores[i].pearson);
        set_defined(track, "explained_variance", evaluation.scores[i].r2);
        set_defined(track, "pearson_norm", evaluation.scores[i].pearson_norm);
        set_defined(track, "explained_variance_norm", evaluation.scores[i].r2_norm);
        set_defined(track, "pearson_within_genes", evaluation.within_genes[i].mean);
    }
}

void write_gene_track_files(const std::string& folder, const TrackData& tracks, const GeneTrackEvaluation& evaluation) {
    std::string text = "\tidentifier\tgroup\tpearsonr\tr2\tpearsonr_norm\tr2_norm\tpearsonr_gene\tdescription\n";
    for (std::size_t i = 0; i < evaluation.scores.size(); ++i) {
        const data::Track& track = tracks.table.tracks[evaluation.tracks[i]];
        const models::GeneTrackScore& score = evaluation.scores[i];
        text += detail::concatenate(track.index, '\t', track.identifier, '\t', track.group, '\t', number(score.pearson),
                                    '\t', number(score.r2), '\t', number(score.pearson_norm), '\t',
                                    number(score.r2_norm), '\t', number(evaluation.within_genes[i].mean), '\t',
                                    track.description, '\n');
    }
    const std::filesystem::path path(folder);
    write_file_atomically((path / "task_metrics.tsv").string(), text);
    write_file_atomically((path / "gene_targets.tsv.gz").string(),
                          gzip(matrix_text(evaluation.measured, evaluation, tracks.table)));
    write_file_atomically((path / "gene_preds.tsv.gz").string(),
                          gzip(matrix_text(evaluation.predicted, evaluation, tracks.table)));
}

}  // namespace flagen::apps
