// flagen predict: the expression of genes into HDF5.

#include <boost/program_options.hpp>
#include <cstdio>
#include <filesystem>
#include <span>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "apps/command.h"
#include "apps/exit_code.h"
#include "apps/options/command_line.h"
#include "apps/runtime/build_info.h"
#include "apps/runtime/gene_data.h"
#include "apps/runtime/predictor.h"
#include "apps/runtime/progress.h"
#include "apps/runtime/run_record.h"
#include "apps/runtime/stop_signal.h"
#include "apps/runtime/threads.h"
#include "apps/runtime/trained_model.h"
#include "flagen/atomic_file.h"
#include "flagen/data/prediction_store.h"
#include "flagen/error.h"

namespace flagen::apps {
namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

struct PredictOptions {
    std::vector<std::string> positional;
    std::string out;
    std::string fasta;
    std::string genes_file;
    std::string split;
    std::string shifts;
    std::vector<std::string> overrides;
    std::int64_t threads = 0;
    bool dry_run = false;
};

// Gene ids, one a line; blank lines and '#' comments are skipped.
std::vector<std::int64_t> rows_of_list(const std::string& path, const data::GeneTargets& targets) {
    std::unordered_map<std::string, std::int64_t> row_of;
    for (std::size_t i = 0; i < targets.spans.size(); ++i) {
        row_of.emplace(targets.spans[i].id, static_cast<std::int64_t>(i));
    }
    std::vector<std::int64_t> rows;
    std::istringstream in(read_whole_file(path, UserFault::kInputFile));
    std::int64_t number = 0;
    for (std::string id; std::getline(in, id);) {
        ++number;
        if (!id.empty() && id.back() == '\r') {
            id.pop_back();
        }
        if (id.empty() || id.front() == '#') {
            continue;
        }
        const auto found = row_of.find(id);
        if (found == row_of.end()) {
            throw_user_error(UserFault::kInputFile, "gene is not in the expression table and annotation: ", id, " (",
                             path, ":", number, ")");
        }
        rows.push_back(found->second);
    }
    return rows;
}

std::vector<std::int64_t> chosen_rows(const PredictOptions& options, const GeneData& data) {
    if (!options.genes_file.empty()) {
        return rows_of_list(options.genes_file, data.targets);
    }
    std::vector<std::int64_t> rows;
    for (std::size_t i = 0; i < data.splits.size(); ++i) {
        if (options.split == "all" || options.split == genomics::split_name(data.splits[i])) {
            rows.push_back(static_cast<std::int64_t>(i));
        }
    }
    return rows;
}

std::vector<data::PredictedGene> describe_genes(const GeneData& data, const std::vector<std::int64_t>& rows,
                                                const GenePrediction& prediction) {
    std::vector<data::PredictedGene> genes;
    genes.reserve(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto row = static_cast<std::size_t>(rows[i]);
        const auto& span = data.targets.spans[row];
        const auto& assignment = prediction.assignments[i];
        genes.push_back({span.id, genomics::split_name(data.splits[row]), span.contig,
                         genomics::strand_symbol(span.strand), span.start_bp, span.end_bp, assignment.window_start_bp,
                         assignment.status});
    }
    return genes;
}

std::string join(const std::vector<std::int64_t>& numbers) {
    std::string text;
    for (const std::int64_t number : numbers) {
        if (!text.empty()) {
            text += ',';
        }
        text += std::to_string(number);
    }
    return text;
}

data::Attributes describe_run(const TrainedModel& trained, const InputDigests& inputs, const std::string& command_line) {
    const RunConfig& config = trained.config;
    return {
        {"flagen_version", std::string(short_version())},
        {"cmdline", command_line},
        {"created_utc", utc_now()},
        {"model", trained.checkpoint},
        {"model_sha256", trained.model_sha256},
        {"model_step", trained.step},
        {"params_json", config.resolved_text()},
        {"genome_md5", inputs.genome_md5},
        {"targets_sha256", inputs.matrix_sha256},
        {"annotation_sha256", inputs.annotation_sha256},
        {"seq_length", config.data.windows.window_bp},
        {"transform", trained.transform.name()},
        {"scale", config.data.genes.value},
        {"strand_policy", std::string("sense: each gene is read on its own strand")},
        {"shifts", join(config.predict.shifts_bp)},
        {"ensemble_n", std::int64_t{1}},
    };
}

std::string output_path(const std::string& out) {
    return fs::is_directory(out) || fs::path(out).extension() != ".h5" ? (fs::path(out) / "predict.h5").string() : out;
}

int predict(const PredictOptions& options, const std::string& command_line) {
    std::vector<std::string> overrides = options.overrides;
    if (!options.fasta.empty()) {
        overrides.push_back("data.fasta=" + options.fasta);
    }
    if (!options.shifts.empty()) {
        overrides.push_back("predict.shifts=[" + options.shifts + "]");
    }
    const std::string config_path = options.positional.size() == 2 ? options.positional.front() : "";
    TrainedModel trained = TrainedModel::load(options.positional.back(), overrides, config_path);
    const GeneData data = GeneData::load(trained.config.data);
    FLAGEN_USER_CHECK(UserFault::kConfig, data.targets.samples == trained.samples,
                      "the model was trained on other samples than the expression table has: ",
                      trained.config.data.genes.matrix);
    const InputDigests inputs = InputDigests::of(trained.config.data, data);
    const auto rows = chosen_rows(options, data);
    FLAGEN_USER_CHECK(UserFault::kConfig, !rows.empty(), "no gene was chosen (--split ", options.split, ")");

    const std::string path = output_path(options.out);
    if (options.dry_run) {
        std::fprintf(stderr, "%zu genes x %zu samples, about %zu bytes into %s\n", rows.size(), trained.samples.size(),
                     rows.size() * trained.samples.size() * sizeof(float), path.c_str());
        return kExitOk;
    }
    if (fs::path(path).has_parent_path()) {
        fs::create_directories(fs::path(path).parent_path());
    }

    data::EvaluationOptions evaluation;
    evaluation.window_bp = trained.config.data.windows.window_bp;
    evaluation.stride_bp = trained.config.predict.stride_bp;
    evaluation.margin_bp = trained.config.data.windows.margin_bp;
    evaluation.start_shifts_bp = trained.config.predict.shifts_bp;
    const StopSignal stop;
    Progress progress("predict", "windows", 0);
    const auto prediction =
        predict_genes(trained.model, data.reference, data.targets.spans, rows, evaluation,
                      [&](std::int64_t done, std::int64_t total) {
                          progress.set_total(total);
                          progress.update(done);
                          return stop.received() == 0;
                      });
    progress.clear();
    if (!prediction.complete) {
        std::fprintf(stderr, "flagen: stopped by signal %d; nothing was written\n", stop.received());
        return kExitRequeue;
    }

    const auto genes = describe_genes(data, rows, prediction);
    const at::Tensor values = trained.transform.invert(prediction.values).contiguous();
    data::GenePredictionWriter writer(path, genes, trained.samples);
    writer.append(std::span(values.const_data_ptr<float>(), static_cast<std::size_t>(values.numel())));
    writer.finish(describe_run(trained, inputs, command_line));

    std::size_t num_failed = 0;
    for (const auto& gene : genes) {
        num_failed += gene.status == data::RowStatus::kBeyondWindow ? 1 : 0;
    }
    std::fprintf(stderr, "%s: %zu genes x %zu samples, %zu without a prediction\n", path.c_str(), genes.size(),
                 trained.samples.size(), num_failed);
    return num_failed > 0 ? kExitSomeRowsFailed : kExitOk;
}

}  // namespace

int run_predict(const std::vector<std::string>& arguments) {
    PredictOptions options;
    CommandLine line("predict [CONFIG] MODEL --out OUT [options]",
                     "Predicts genes of the model's annotation and writes them to HDF5 (OUT.h5, or predict.h5 in the\n"
                     "folder OUT). MODEL is a run folder (its best checkpoint) or one checkpoint; CONFIG replaces the\n"
                     "configuration that it carries. Each gene is read on its own strand from the window whose centre\n"
                     "is nearest.");
    line.add_positional("model", &options.positional, 2);
    line.options().add_options()
        ("out,o", po::value(&options.out)->required(), "file or folder to write")
        ("fasta,f", po::value(&options.fasta), "genome (default: the model's)")
        ("split", po::value(&options.split)->default_value("all"), "all | train | valid | test")
        ("genes", po::value(&options.genes_file), "file with gene ids, one a line, instead of --split")
        ("shifts", po::value(&options.shifts), "average over these shifts of the window's start, as 0,16")
        ("set", po::value(&options.overrides)->composing(), "change one value of the configuration")
        ("threads", po::value(&options.threads), "CPU threads (default: all cores)")
        ("dry-run", po::bool_switch(&options.dry_run), "check everything, print what would be written, and stop");
    if (!line.parse(arguments)) {
        return kExitOk;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, options.positional.size() == 1 || options.positional.size() == 2,
                      "expected one model, found ", options.positional.size(),
                      " arguments (usage: flagen predict [CONFIG] MODEL --out OUT)");
    const std::string& split = options.split;
    FLAGEN_USER_CHECK(UserFault::kConfig, split == "all" || split == "train" || split == "valid" || split == "test",
                      "--split must be all, train, valid or test, found ", split);
    if (!options.shifts.empty()) {
        static_cast<void>(parse_int_list(options.shifts, "--shifts"));
    }
    set_threads(options.threads, line.given("threads"));
    return predict(options, quoted_command("predict", arguments));
}

}  // namespace flagen::apps
