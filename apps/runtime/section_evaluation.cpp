#include "apps/runtime/section_evaluation.h"

#include <ATen/ATen.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "apps/runtime/predictor.h"
#include "apps/runtime/progress.h"
#include "apps/runtime/track_predictor.h"
#include "apps/runtime/tss_profile.h"
#include "flagen/atomic_file.h"
#include "flagen/error.h"
#include "flagen/genomics/gene_spans.h"
#include "flagen/json_object.h"

namespace flagen::apps {
namespace {

namespace fs = std::filesystem;

// The genes of the splits, predicted here, as a file of `flagen predict` would hold them.
data::GenePredictions predict_split_genes(TrainedModel& trained, const DataConfig& section, const RunData& data,
                                          const EvaluationRequest& request) {
    std::vector<std::int64_t> rows;
    for (const std::string& split : request.splits) {
        const auto more = data.rows(split_of_name(split));
        rows.insert(rows.end(), more.begin(), more.end());
    }
    const auto evaluation = evaluation_options(section, trained.config.predict, request.shifts_bp);
    const auto predicted = predict_genes(trained.model, data.reference, data.targets.spans, rows, evaluation);
    const at::Tensor values = trained.transform.invert(predicted.values).contiguous();
    data::GenePredictions result;
    for (const std::int64_t row : rows) {
        data::PredictedGene gene;
        gene.id = data.targets.spans[static_cast<std::size_t>(row)].id;
        result.genes.push_back(std::move(gene));
    }
    result.samples = trained.samples;
    result.values.assign(values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel());
    result.attributes = {{"model_sha256", trained.model_sha256}, {"transform", trained.transform.name()}};
    return result;
}

// Genes with their exons: of --gtf, or else the genes of the section.
std::vector<genomics::GeneSpan> genes_with_exons(const RunData& data, const EvaluationRequest& request) {
    if (request.gtf.empty()) {
        return data.targets.spans;
    }
    std::vector<genomics::GeneSpan> genes;
    for (genomics::GeneSpan& gene : genomics::load_gene_spans(request.gtf)) {
        if (const auto contig = data.aliases.find(data.reference->contigs(), gene.contig)) {
            gene.contig = data.reference->contigs().at(*contig).name;
            genes.push_back(std::move(gene));
        }
    }
    FLAGEN_USER_CHECK(UserFault::kInputFile, !genes.empty(), "no gene lies on a contig of the genome: ", request.gtf);
    return genes;
}

// The annotation rows that those genes' pieces come from, for the record.
std::string exon_rows(const DataConfig& section, const EvaluationRequest& request) {
    if (!request.gtf.empty() || !section.genes) {
        return "exon";
    }
    const auto& genes = *section.genes;
    std::string names;
    for (const std::string& feature : genes.coding_features.empty() ? genes.features : genes.coding_features) {
        names.append(names.empty() ? "" : "+").append(feature);
    }
    return names;
}

std::vector<genomics::GeneSpan> genes_of_split(const std::vector<genomics::GeneSpan>& genes, const RunData& data,
                                               genomics::Split split) {
    std::vector<genomics::GeneSpan> chosen;
    for (const genomics::GeneSpan& gene : genes) {
        if (data.plan.of_interval(gene.interval()) == split) {
            chosen.push_back(gene);
        }
    }
    return chosen;
}

void evaluate_tracks(TrainedModel& trained, const DataConfig& section, const RunData& data,
                     const EvaluationRequest& request, SectionEvaluation& result) {
    const TrackData& tracks = *data.tracks;
    FLAGEN_USER_CHECK(UserFault::kConfig, tracks.table.digest() == trained.tracks.at(tracks.head).digest(),
                      "the model was trained on other tracks than the table has: ", section.tracks->table, " and ",
                      trained.checkpoint);
    const std::vector<genomics::GeneSpan> genes = genes_with_exons(data, request);
    std::optional<TssProfile> profile;
    if (request.with_baselines && !data.targets.spans.empty()) {
        profile.emplace(data);
    }
    TrackPredictor predictor({trained.model}, data.reference,
                             {tracks.head, tracks.table.strand_pair_rows, request.shifts_bp, request.reverse_complement});
    const std::string exons = exon_rows(section, request);
    for (const std::string& split : request.splits) {
        const auto passes = track_passes(data, split_of_name(split));
        const auto add = [&](const std::string& name, const TrackPrediction& predict) {
            Progress progress("eval " + split, "windows", static_cast<std::int64_t>(passes.size()));
            const auto scores = score_tracks(tracks, passes, name, split, predict, [&](std::int64_t done, std::int64_t) {
                progress.update(done);
                return true;
            });
            progress.clear();
            result.tracks.insert(result.tracks.end(), scores.begin(), scores.end());
        };
        if (passes.empty()) {
            std::fprintf(stderr, "no window of split %s: its tracks are not scored\n", split.c_str());
            continue;
        }
        const auto predict = [&](const data::TrackPass& pass) { return predictor.predict(pass.window); };
        add("model", predict);
        if (profile) {
            add("TSS profile", [&](const data::TrackPass& pass) { return profile->predict(pass); });
        }
        // With listed windows the splits are the list's: a gene counts where a window of the split holds it.
        const bool listed = !tracks.listed.windows.empty();
        const auto chosen = listed ? genes : genes_of_split(genes, data, split_of_name(split));
        if (!chosen.empty()) {
            result.coverage.push_back(evaluate_gene_tracks(tracks, passes, chosen, split, exons, predict));
        }
    }
}

}  // namespace

void evaluate_genes(const DataConfig& section, const RunData& data, const data::GenePredictions& predictions,
                    const EvaluationRequest& request, SectionEvaluation& result) {
    const EvaluationScale scale = EvaluationScale::of(*section.genes);
    result.gene_scale = scale.name;
    result.genes = evaluate(data, predictions, scale, request.splits, request.with_baselines);
    result.attributes = predictions.attributes;
}

SectionEvaluation evaluate_section(TrainedModel& trained, const DataConfig& section, const RunData& data,
                                   const EvaluationRequest& request) {
    SectionEvaluation result;
    if (section.genes) {
        evaluate_genes(section, data, predict_split_genes(trained, section, data, request), request, result);
    }
    if (data.tracks) {
        evaluate_tracks(trained, section, data, request, result);
    }
    return result;
}

std::string section_text(const RunData& data, const SectionEvaluation& result) {
    std::string text;
    if (!result.gene_scale.empty()) {
        text.append(evaluation_table(result.genes, result.gene_scale));
    }
    if (data.tracks) {
        text.append(text.empty() ? "" : "\n").append(track_scores_table(*data.tracks, result.tracks));
        for (const GeneTrackEvaluation& genes : result.coverage) {
            text.append("\n").append(gene_tracks_table(*data.tracks, genes));
        }
    }
    return text;
}

void write_section_scores(JsonObject& root, const RunData& data, const SectionEvaluation& result) {
    if (!result.gene_scale.empty()) {
        write_gene_scores(root, result.genes, result.gene_scale, result.attributes);
    }
    if (data.tracks) {
        write_track_scores(root, *data.tracks, result.tracks);
        for (const GeneTrackEvaluation& genes : result.coverage) {
            write_gene_track_scores(root, *data.tracks, genes);
        }
    }
}

void write_section_files(const std::string& folder, const RunData& data, const SectionEvaluation& result) {
    const fs::path path(folder);
    if (!path.empty()) {
        fs::create_directories(path);
    }
    for (const GeneTrackEvaluation& genes : result.coverage) {
        const fs::path genes_folder = path / ("genes_" + genes.split);
        fs::create_directories(genes_folder);
        write_gene_track_files(genes_folder.string(), *data.tracks, genes);
    }
    for (const TrackScores& row : result.tracks) {
        if (row.predictor == "model" && row.scale == TrackScale::kSquashed) {
            write_file_atomically((path / ("acc_" + row.split + ".txt")).string(),
                                  borzoi_accuracy_table(*data.tracks, row));
        }
    }
}

}  // namespace flagen::apps
