// flagen eval: how good predictions are, next to baselines computed in the same run.

#include <boost/program_options.hpp>
#include <cstdio>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/exit_code.h"
#include "apps/options/command_line.h"
#include "apps/options/run_config.h"
#include "apps/runtime/evaluator.h"
#include "apps/runtime/gene_data.h"
#include "apps/runtime/threads.h"
#include "flagen/atomic_file.h"
#include "flagen/data/prediction_store.h"
#include "flagen/error.h"

namespace flagen::apps {

namespace fs = std::filesystem;
namespace po = boost::program_options;

int run_eval(const std::vector<std::string>& arguments) {
    std::vector<std::string> positional;
    std::vector<std::string> overrides;
    std::string out;
    std::string split_list;
    std::int64_t threads = 0;
    bool no_baselines = false;
    CommandLine line("eval CONFIG predictions.h5 [--out eval.json] [options]",
                     "Compares a file of `flagen predict` with the measured expression that CONFIG names, next to the\n"
                     "training-mean constant and a k-mer ridge regression (k = 6; promoter and gene) fitted on the same\n"
                     "training genes. CONFIG may be the config.json of a run folder.");
    line.add_positional("files", &positional, 2);
    line.options().add_options()
        ("out,o", po::value(&out), "JSON file to write")
        ("split", po::value(&split_list)->default_value("valid,test"), "splits to score, as valid,test")
        ("no-baselines", po::bool_switch(&no_baselines), "score the predictions only")
        ("set", po::value(&overrides)->composing(), "change one value of the configuration")
        ("threads", po::value(&threads), "CPU threads (default: all cores)");
    if (!line.parse(arguments)) {
        return kExitOk;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, positional.size() == 2, "expected a configuration and a prediction file, found ",
                      positional.size(), " arguments (usage: flagen eval CONFIG predictions.h5)");
    set_threads(threads, line.given("threads"));
    const RunConfig config = RunConfig::load(positional[0], overrides);
    const auto predictions = data::read_gene_predictions(positional[1]);
    const GeneData data = GeneData::load(config.data);
    std::vector<std::string> splits;
    std::istringstream names(split_list);
    for (std::string name; std::getline(names, name, ',');) {
        splits.push_back(name);
    }
    const EvaluationScale scale = EvaluationScale::of(config.data.genes);
    const auto rows = evaluate(data, predictions, scale, splits, !no_baselines);
    std::fputs(evaluation_table(rows, scale.name).c_str(), stdout);
    if (!out.empty()) {
        if (fs::path(out).has_parent_path()) {
            fs::create_directories(fs::path(out).parent_path());
        }
        write_file_atomically(out, evaluation_json(rows, scale.name, predictions));
    }
    return kExitOk;
}

}  // namespace flagen::apps
