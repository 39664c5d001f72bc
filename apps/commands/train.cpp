// flagen train: a configuration and its data become a run folder.

#include <boost/program_options.hpp>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/exit_code.h"
#include "apps/options/command_line.h"
#include "apps/options/run_config.h"
#include "apps/runtime/run_record.h"
#include "apps/runtime/threads.h"
#include "apps/runtime/trainer.h"
#include "flagen/error.h"

namespace flagen::apps {

namespace po = boost::program_options;

int run_train(const std::vector<std::string>& arguments) {
    std::vector<std::string> positional;
    std::vector<std::string> overrides;
    std::string resume;
    std::int64_t threads = 0;
    std::int64_t max_steps = 0;
    TrainOptions options;
    CommandLine line("train CONFIG [DATA_DIR] --out DIR [options]",
                     "Trains the model of a configuration (JSON) and leaves checkpoints, metrics and records in DIR.\n"
                     "DATA_DIR is a folder of `flagen data`: tracks come from it, and it says which windows train.\n"
                     "File names in a configuration are relative to the current folder. SIGINT, SIGTERM, SIGUSR1 and\n"
                     "SIGUSR2 save and leave with exit code 85; --resume auto goes on from there, bit for bit.");
    line.add_positional("config", &positional, 2);
    line.options().add_options()
        ("out,o", po::value(&options.out)->required(), "run folder to make")
        ("resume", po::value(&resume), "auto: go on from the newest valid checkpoint, if there is one")
        ("set", po::value(&overrides)->composing(), "change one value, as train.seed=7; may repeat")
        ("max-steps", po::value(&max_steps), "short for --set train.max_steps=N")
        ("threads", po::value(&threads), "CPU threads (default: all cores)")
        ("dry-run", po::bool_switch(&options.dry_run), "read and check everything, then stop");
    if (!line.parse(arguments)) {
        return kExitOk;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, positional.size() == 1 || positional.size() == 2,
                      "expected a configuration file, and a data folder if there is one, found ", positional.size(),
                      " arguments (usage: flagen train CONFIG [DATA_DIR] --out DIR)");
    if (line.given("resume")) {
        FLAGEN_USER_CHECK(UserFault::kConfig, resume == "auto", "--resume must be auto, found ", resume);
        options.resume = ResumeMode::kAuto;
    }
    if (line.given("max-steps")) {
        overrides.push_back("train.max_steps=" + std::to_string(max_steps));
    }
    set_threads(threads, line.given("threads"));
    options.command_line = quoted_command("train", arguments);
    RunConfig config = RunConfig::load(positional[0], overrides);
    if (positional.size() == 2) {
        FLAGEN_USER_CHECK(UserFault::kConfig, config.data.tracks.has_value(),
                          "a data folder is for tracks, but data.targets has no entry of kind tracks: ", positional[1]);
        config.data.tracks->cache = positional[1];
    }
    return train(config, options);
}

}  // namespace flagen::apps
