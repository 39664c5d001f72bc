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
#include "apps/options/device_options.h"
#include "apps/options/run_config.h"
#include "apps/runtime/section_choice.h"
#include "apps/runtime/section_evaluation.h"
#include "apps/runtime/threads.h"
#include "apps/runtime/trained_model.h"
#include "flagen/atomic_file.h"
#include "flagen/data/prediction_store.h"
#include "flagen/error.h"
#include "flagen/json_object.h"

namespace flagen::apps {
namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

struct EvalOptions {
    std::vector<std::string> positional;
    std::vector<std::string> overrides;
    std::string out;
    std::string head;  // empty: all
    EvaluationRequest request;
    DeviceRequest device;
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

RunData load_data(const DataConfig& section, const models::ModelConfig& model, MeasuredTracks measured) {
    RunData data = RunData::load(section, model, measured);
    for (const std::string& warning : data.warnings) {
        std::fprintf(stderr, "flagen: %s\n", warning.c_str());
    }
    return data;
}

// Where eval.json goes, and the folder of the files beside it.
struct OutputPaths {
    explicit OutputPaths(const std::string& out) {
        const bool is_file = fs::path(out).extension() == ".json";
        folder = is_file ? fs::path(out).parent_path() : fs::path(out);
        json = is_file ? fs::path(out) : folder / "eval.json";
    }
    fs::path folder;
    fs::path json;
};

void write_json(const EvalOptions& options, const JsonObject& root) {
    const OutputPaths paths(options.out);
    if (!paths.folder.empty()) {
        fs::create_directories(paths.folder);
    }
    write_file_atomically(paths.json.string(), root.dump(2) + "\n");
}

int evaluate_file(const EvalOptions& options, const std::string& path) {
    FLAGEN_USER_CHECK(UserFault::kConfig, options.positional.size() == 2,
                      "a prediction file needs the configuration before it: flagen eval CONFIG ", path);
    const RunConfig config = RunConfig::load(options.positional.front(), options.overrides);
    const auto predictions = data::read_gene_predictions(path);
    const DataConfig& section = config.data[choose_section(config, options.head, SectionUse::kGenes)];
    const RunData data = load_data(section, config.model, MeasuredTracks::kLeaveOut);
    SectionEvaluation result;
    evaluate_genes(section, data, predictions, options.request, result);
    std::fputs(section_text(data, result).c_str(), stdout);
    if (!options.out.empty()) {
        JsonObject root;
        write_section_scores(root, data, result);
        write_json(options, root);
    }
    return kExitOk;
}

int evaluate_model(const EvalOptions& options, const std::string& path) {
    const std::string config_path = options.positional.size() == 2 ? options.positional.front() : "";
    TrainedModel trained = TrainedModel::load(path, options.overrides, config_path);
    const RunDevice device = choose_device(options.device, {trained.load_on_device()});
    prepare_device(device);
    trained.move_to(device);
    const RunConfig& config = trained.config;
    std::fprintf(stderr, "device %s, precision %s\n", device.text().c_str(),
                 models::precision_name(config.train.precision).c_str());
    EvaluationRequest request = options.request;
    if (request.shifts_bp.empty()) {
        request.shifts_bp = config.predict.shifts_bp;
    }
    std::vector<std::size_t> sections;
    for (std::size_t i = 0; i < config.data.size(); ++i) {
        if (options.head.empty() || i == section_named(config, options.head)) {
            sections.push_back(i);
        }
    }
    JsonObject root;
    for (const std::size_t i : sections) {
        const DataConfig& section = config.data[i];
        const RunData data = load_data(section, config.model, MeasuredTracks::kRead);
        const SectionEvaluation result = evaluate_section(trained, section, data, request);
        std::printf("%s%s", i == sections.front() ? "" : "\n", section_text(data, result).c_str());
        write_section_scores(root, data, result);
        if (!options.out.empty()) {
            const fs::path folder = OutputPaths(options.out).folder;
            write_section_files((sections.size() > 1 ? folder / section.head() : folder).string(), data, result);
        }
        if (data.tracks) {
            root.set("rc", request.reverse_complement);
            root.set("shifts", int_list_text(request.shifts_bp));
        }
    }
    root.set("model_sha256", trained.model_sha256);
    root.set("device", device.device.str());
    root.set("precision", models::precision_name(config.train.precision));
    root.set("step", trained.step);
    if (!options.out.empty()) {
        write_json(options, root);
    }
    return kExitOk;
}

}  // namespace

int run_eval(const std::vector<std::string>& arguments) {
    EvalOptions options;
    EvaluationRequest& request = options.request;
    std::string split_list;
    std::string shifts;
    std::int64_t threads = 0;
    bool no_baselines = false;
    DeviceOptions device;
    CommandLine line("eval [CONFIG] MODEL | CONFIG predictions.h5 [--out OUT] [options]",
                     "Scores a model (a run folder or a checkpoint), or a file of `flagen predict`, on held-out parts of\n"
                     "the genome, next to baselines fitted on the training part: for genes the training mean and a\n"
                     "k-mer ridge regression (k = 6; promoter and gene), for tracks the mean profile around gene\n"
                     "starts. Prints the scale beside every number. A model of several data sections is scored on each.");
    line.add_positional("files", &options.positional, 2);
    line.options().add_options()
        ("out,o", po::value(&options.out), "JSON file to write, or a folder for eval.json, acc_SPLIT.txt and genes_SPLIT/ (the "
                                           "last two in a folder a head, where there are several)")
        ("head", po::value(&options.head), "score one data section of several, by its head")
        ("split", po::value(&split_list)->default_value("valid,test"), "splits to score, as valid,test")
        ("shifts", po::value(&shifts), "average over these shifts of the window's start, as 0,16")
        ("rc", po::bool_switch(&request.reverse_complement), "average tracks with the reverse strand's")
        ("gtf,g", po::value(&request.gtf), "GTF whose exons give the genes' coverage by tracks (default: the run's genes)")
        ("no-baselines", po::bool_switch(&no_baselines), "score the predictions only")
        ("set", po::value(&options.overrides)->composing(), "change one value of the configuration")
        ("threads", po::value(&threads), "CPU threads (default: all cores)");
    device.add_to(line);
    if (!line.parse(arguments)) {
        return kExitOk;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, !options.positional.empty(),
                      "expected a model, or a configuration and a prediction file (usage: flagen eval MODEL)");
    options.device = device.request(options.overrides);
    set_threads(threads, line.given("threads"));
    request.splits = split_names(split_list);
    request.with_baselines = !no_baselines;
    if (!shifts.empty()) {
        request.shifts_bp = parse_int_list(shifts, "--shifts");
    }
    const std::string& last = options.positional.back();
    return fs::is_regular_file(last) ? evaluate_file(options, last) : evaluate_model(options, last);
}

}  // namespace flagen::apps
