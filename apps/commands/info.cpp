// flagen info: what a configuration, a checkpoint or a prediction file holds.

#include <boost/program_options.hpp>
#include <cstdio>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "apps/command.h"
#include "apps/exit_code.h"
#include "apps/options/command_line.h"
#include "apps/options/run_config.h"
#include "apps/runtime/trained_model.h"
#include "flagen/data/prediction_store.h"
#include "flagen/data/track_prediction_store.h"
#include "flagen/error.h"
#include "flagen/models/model_summary.h"

namespace flagen::apps {
namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

void print_model(const models::ExpressionModel& model, std::int64_t num_genes) {
    std::fputs(models::summarise(model, num_genes).to_text().c_str(), stdout);
}

// The tracks heads that were trained, and on what.
void print_heads(const TrainedModel& trained) {
    for (const DataConfig& section : trained.config.data) {
        if (section.tracks) {
            std::printf("head %s: %lld tracks, transform %s, genome %s\n", section.tracks->head.c_str(),
                        static_cast<long long>(trained.tracks.at(section.tracks->head).num_tracks()),
                        section.tracks->transform.c_str(), section.genome.fasta.c_str());
        }
    }
}

void print_predictions(const std::string& path) {
    data::Attributes attributes;
    if (data::holds_track_predictions(path)) {
        const data::TrackPredictionReader reader(path);
        std::printf("%s: %zu regions x %lld bins x %zu tracks\n", path.c_str(), reader.regions().size(),
                    static_cast<long long>(reader.num_bins()), reader.tracks().ids.size());
        attributes = reader.attributes();
    } else {
        const auto predictions = data::read_gene_predictions(path);
        std::printf("%s: %zu genes x %zu samples\n", path.c_str(), predictions.genes.size(), predictions.samples.size());
        attributes = predictions.attributes;
    }
    for (const auto& [name, value] : attributes) {
        std::visit([&name](const auto& v) {
            if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::string>) {
                // Whole configurations are attributes too: one line of each is enough here.
                std::printf("  %s: %s\n", name.c_str(), v.substr(0, v.find('\n')).c_str());
            } else {
                std::printf("  %s: %s\n", name.c_str(), std::to_string(v).c_str());
            }
        }, value);
    }
}

}  // namespace

int run_info(const std::vector<std::string>& arguments) {
    std::vector<std::string> positional;
    std::vector<std::string> overrides;
    std::int64_t num_samples = 100;
    std::int64_t num_genes = 300;
    CommandLine line("info CONFIG | RUN | CHECKPOINT | predictions.h5",
                     "Prints a configuration with all its defaults and what its model costs per window, the step\n"
                     "and size of a checkpoint, or the attributes of a prediction file.");
    line.add_positional("what", &positional, 1);
    line.options().add_options()
        ("set", po::value(&overrides)->composing(), "change one value of a configuration, as train.seed=7")
        ("samples", po::value(&num_samples)->default_value(100), "samples of the expression table (configurations only)")
        ("genes", po::value(&num_genes)->default_value(300), "genes a window is taken to hold, for the cost");
    if (!line.parse(arguments)) {
        return kExitOk;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, positional.size() == 1, "expected one file or folder (usage: flagen info CONFIG)");
    FLAGEN_USER_CHECK(UserFault::kConfig, num_samples > 0 && num_genes > 0, "--samples and --genes must be at least 1");
    const std::string& path = positional[0];
    if (fs::is_directory(path)) {
        const TrainedModel trained = TrainedModel::load(path, overrides);
        std::printf("%s: step %lld, %zu samples, weights sha256 %s\n", trained.checkpoint.c_str(),
                    static_cast<long long>(trained.step), trained.samples.size(), trained.model_sha256.c_str());
        print_heads(trained);
        print_model(trained.model, num_genes);
        return kExitOk;
    }
    if (fs::path(path).extension() == ".h5") {
        print_predictions(path);
        return kExitOk;
    }
    const RunConfig config = RunConfig::load(path, overrides);
    std::fputs(config.resolved_text().c_str(), stdout);
    for (const std::string& key : config.ignored_keys) {
        std::fprintf(stderr, "flagen: key without effect here: %s\n", key.c_str());
    }
    print_model(models::ExpressionModel(config.model, num_samples), num_genes);
    return kExitOk;
}

}  // namespace flagen::apps
