// flagen eval: how good a model or a prediction file is, next to baselines computed in the same run.

#include <boost/program_options.hpp>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/exit_code.h"
#include "apps/options/command_line.h"
#include "apps/options/run_config.h"
#include "apps/runtime/evaluator.h"
#include "apps/runtime/gene_track_evaluator.h"
#include "apps/runtime/predictor.h"
#include "apps/runtime/progress.h"
#include "apps/runtime/run_data.h"
#include "apps/runtime/threads.h"
#include "apps/runtime/track_evaluator.h"
#include "apps/runtime/track_predictor.h"
#include "apps/runtime/trained_model.h"
#include "apps/runtime/tss_profile.h"
#include "flagen/atomic_file.h"
#include "flagen/data/prediction_store.h"
#include "flagen/error.h"
#include "flagen/genomics/gene_spans.h"
#include "flagen/json_object.h"

namespace flagen::apps {
namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

struct EvalOptions {
    std::vector<std::string> positional;
    std::vector<std::string> overrides;
    std::string out;
    std::vector<std::string> splits;
    std::vector<std::int64_t> shifts_bp;
    bool reverse_complement = false;
    bool with_baselines = true;
    std::string gtf;  // exons for the genes' coverage by tracks
};

std::vector<std::string> split_names(const std::string& list) {
    std::vector<std::string> names;
    std::istringstream in(list);
    for (std::string name; std::getline(in, name, ',');) {
        static_cast<void>(split_of_name(name));
        names.push_back(name);
    }
    return names;
}

// The genes of the splits, predicted here, as a file of `flagen predict` would hold them.
data::GenePredictions predict_split_genes(TrainedModel& trained, const RunData& data, const EvalOptions& options) {
    std::vector<std::int64_t> rows;
    for (const std::string& split : options.splits) {
        const auto more = data.rows(split_of_name(split));
        rows.insert(rows.end(), more.begin(), more.end());
    }
    const data::EvaluationOptions evaluation = evaluation_options(trained.config, options.shifts_bp);
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

struct TrackResults {
    std::vector<TrackScores> bins;
    std::vector<GeneTrackEvaluation> genes;
};

// Genes with their exons: of --gtf, or else the genes of the run.
std::vector<genomics::GeneSpan> genes_with_exons(const RunData& data, const EvalOptions& options) {
    if (options.gtf.empty()) {
        return data.targets.spans;
    }
    std::vector<genomics::GeneSpan> genes;
    for (genomics::GeneSpan& gene : genomics::load_gene_spans(options.gtf)) {
        if (const auto contig = data.aliases.find(data.reference->contigs(), gene.contig)) {
            gene.contig = data.reference->contigs().at(*contig).name;
            genes.push_back(std::move(gene));
        }
    }
    FLAGEN_USER_CHECK(UserFault::kInputFile, !genes.empty(), "no gene lies on a contig of the genome: ", options.gtf);
    return genes;
}

// The annotation rows that those genes' pieces come from, for the record.
std::string exon_rows(const RunConfig& config, const EvalOptions& options) {
    if (!options.gtf.empty() || !config.data.genes) {
        return "exon";
    }
    const auto& genes = *config.data.genes;
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

TrackResults evaluate_tracks(TrainedModel& trained, const RunData& data, const EvalOptions& options) {
    const TrackData& tracks = *data.tracks;
    const std::vector<genomics::GeneSpan> genes = genes_with_exons(data, options);
    std::optional<TssProfile> profile;
    if (options.with_baselines && !data.targets.spans.empty()) {
        profile.emplace(data);
    }
    TrackPredictor predictor({trained.model}, data.reference,
                             {trained.config.data.tracks->head, tracks.table.strand_pair_rows, options.shifts_bp,
                              options.reverse_complement});
    const std::string exons = exon_rows(trained.config, options);
    TrackResults results;
    for (const std::string& split : options.splits) {
        const auto passes = track_passes(data, split_of_name(split));
        const auto add = [&](const std::string& name, const TrackPrediction& predict) {
            Progress progress("eval " + split, "windows", static_cast<std::int64_t>(passes.size()));
            const auto scores = score_tracks(tracks, passes, name, split, predict, [&](std::int64_t done, std::int64_t) {
                progress.update(done);
                return true;
            });
            progress.clear();
            results.bins.insert(results.bins.end(), scores.begin(), scores.end());
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
            results.genes.push_back(evaluate_gene_tracks(tracks, passes, chosen, split, exons, predict));
        }
    }
    return results;
}

// eval.json under the name given, or in the folder given, with Borzoi's acc.txt beside it.
void write_results(const std::string& out, const std::string& json, const RunData& data,
                   const TrackResults& tracks) {
    const bool is_file = fs::path(out).extension() == ".json";
    const fs::path folder = is_file ? fs::path(out).parent_path() : fs::path(out);
    if (!folder.empty()) {
        fs::create_directories(folder);
    }
    write_file_atomically(is_file ? out : (folder / "eval.json").string(), json);
    for (const GeneTrackEvaluation& genes : tracks.genes) {
        const fs::path genes_folder = folder / ("genes_" + genes.split);
        fs::create_directories(genes_folder);
        write_gene_track_files(genes_folder.string(), *data.tracks, genes);
    }
    for (const TrackScores& row : tracks.bins) {
        if (row.predictor == "model" && row.scale == TrackScale::kSquashed) {
            write_file_atomically((folder / ("acc_" + row.split + ".txt")).string(),
                                  borzoi_accuracy_table(*data.tracks, row));
        }
    }
}

int evaluate_all(const EvalOptions& options) {
    const std::string& last = options.positional.back();
    const bool from_file = fs::is_regular_file(last);
    FLAGEN_USER_CHECK(UserFault::kConfig, !from_file || options.positional.size() == 2,
                      "a prediction file needs the configuration before it: flagen eval CONFIG ", last);
    const std::string config_path = options.positional.size() == 2 ? options.positional.front() : "";
    std::optional<TrainedModel> trained;
    std::optional<data::GenePredictions> predictions;
    RunConfig config;
    if (from_file) {
        config = RunConfig::load(config_path, options.overrides);
        predictions = data::read_gene_predictions(last);
    } else {
        trained = TrainedModel::load(last, options.overrides, config_path);
        config = trained->config;
    }
    EvalOptions resolved = options;
    if (resolved.shifts_bp.empty()) {
        resolved.shifts_bp = config.predict.shifts_bp;
    }
    const RunData data = RunData::load(config, from_file ? MeasuredTracks::kLeaveOut : MeasuredTracks::kRead);
    for (const std::string& warning : data.warnings) {
        std::fprintf(stderr, "flagen: %s\n", warning.c_str());
    }

    FLAGEN_USER_CHECK(UserFault::kConfig, !data.tracks || data.tracks->table.digest() == trained->tracks->digest(),
                      "the model was trained on other tracks than the table has: ", config.data.tracks->table, " and ",
                      trained->checkpoint);

    JsonObject root;
    if (config.data.genes) {
        if (!predictions) {
            predictions = predict_split_genes(*trained, data, resolved);
        }
        const EvaluationScale scale = EvaluationScale::of(*config.data.genes);
        const auto rows = evaluate(data, *predictions, scale, options.splits, options.with_baselines);
        std::fputs(evaluation_table(rows, scale.name).c_str(), stdout);
        write_gene_scores(root, rows, scale.name, *predictions);
    }
    TrackResults tracks;
    if (data.tracks) {
        tracks = evaluate_tracks(*trained, data, resolved);
        std::printf("%s%s", config.data.genes ? "\n" : "", track_scores_table(*data.tracks, tracks.bins).c_str());
        write_track_scores(root, *data.tracks, tracks.bins);
        for (const GeneTrackEvaluation& genes : tracks.genes) {
            std::printf("\n%s", gene_tracks_table(*data.tracks, genes).c_str());
            write_gene_track_scores(root, *data.tracks, genes);
        }
        root.set("rc", resolved.reverse_complement);
        root.set("shifts", int_list_text(resolved.shifts_bp));
    }
    if (trained) {
        root.set("model_sha256", trained->model_sha256);
        root.set("step", trained->step);
    }
    if (!options.out.empty()) {
        write_results(options.out, root.dump(2) + "\n", data, tracks);
    }
    return kExitOk;
}

}  // namespace

int run_eval(const std::vector<std::string>& arguments) {
    EvalOptions options;
    std::string split_list;
    std::string shifts;
    std::int64_t threads = 0;
    bool no_baselines = false;
    CommandLine line("eval [CONFIG] MODEL | CONFIG predictions.h5 [--out OUT] [options]",
                     "Scores a model (a run folder or a checkpoint), or a file of `flagen predict`, on held-out parts of\n"
                     "the genome, next to baselines fitted on the training part: for genes the training mean and a\n"
                     "k-mer ridge regression (k = 6; promoter and gene), for tracks the mean profile around gene\n"
                     "starts. Prints the scale beside every number.");
    line.add_positional("files", &options.positional, 2);
    line.options().add_options()
        ("out,o", po::value(&options.out), "JSON file to write, or a folder for eval.json, acc_SPLIT.txt and genes_SPLIT/")
        ("split", po::value(&split_list)->default_value("valid,test"), "splits to score, as valid,test")
        ("shifts", po::value(&shifts), "average over these shifts of the window's start, as 0,16")
        ("rc", po::bool_switch(&options.reverse_complement), "average tracks with the reverse strand's")
        ("gtf,g", po::value(&options.gtf), "GTF whose exons give the genes' coverage by tracks (default: the run's genes)")
        ("no-baselines", po::bool_switch(&no_baselines), "score the predictions only")
        ("set", po::value(&options.overrides)->composing(), "change one value of the configuration")
        ("threads", po::value(&threads), "CPU threads (default: all cores)");
    if (!line.parse(arguments)) {
        return kExitOk;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, !options.positional.empty(),
                      "expected a model, or a configuration and a prediction file (usage: flagen eval MODEL)");
    set_threads(threads, line.given("threads"));
    options.splits = split_names(split_list);
    options.with_baselines = !no_baselines;
    if (!shifts.empty()) {
        options.shifts_bp = parse_int_list(shifts, "--shifts");
    }
    return evaluate_all(options);
}

}  // namespace flagen::apps
