// flagen train: a configuration and its data become a run folder.

#include <boost/program_options.hpp>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/exit_code.h"
#include "apps/options/command_line.h"
#include "apps/options/device_options.h"
#include "apps/options/run_config.h"
#include "apps/runtime/run_record.h"
#include "apps/runtime/threads.h"
#include "apps/runtime/trainer.h"
#include "flagen/error.h"

namespace flagen::apps {

namespace po = boost::program_options;

namespace {

// Gives each section with tracks its folder of `flagen data`, in order; none at all is possible too.
void set_data_folders(RunConfig& config, const std::vector<std::string>& folders) {
    std::vector<TrackTargetsConfig*> targets;
    std::string heads;
    for (DataConfig& section : config.data) {
        if (section.tracks) {
            targets.push_back(&*section.tracks);
            heads += (heads.empty() ? "" : ", ") + section.tracks->head;
        }
    }
    if (folders.empty()) {
        return;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, !targets.empty(),
                      "a data folder is for tracks, but data.targets has no entry of kind tracks: ", folders.front());
    FLAGEN_USER_CHECK(UserFault::kConfig, folders.size() == targets.size(), "expected ", targets.size(),
                      " data folders, in the order of the heads ", heads, ", found ", folders.size());
    for (std::size_t i = 0; i < folders.size(); ++i) {
        targets[i]->cache = folders[i];
    }
}

}  // namespace

int run_train(const std::vector<std::string>& arguments) {
    std::vector<std::string> positional;
    std::vector<std::string> overrides;
    std::string resume;
    std::int64_t threads = 0;
    std::int64_t max_steps = 0;
    TrainOptions options;
    DeviceOptions device;
    CommandLine line("train CONFIG [DATA_DIR..] --out DIR [options]",
                     "Trains the model of a configuration (JSON) and leaves checkpoints, metrics and records in DIR.\n"
                     "DATA_DIR is a folder of `flagen data`: tracks come from it, and it says which windows train; one for\n"
                     "each data section with tracks, in their order.\n"
                     "File names in a configuration are relative to the current folder. SIGINT, SIGTERM, SIGUSR1 and\n"
                     "SIGUSR2 save and leave with exit code 85; --resume auto goes on from there, bit for bit.");
    line.add_positional("config", &positional, -1);
    line.options().add_options()
        ("out,o", po::value(&options.out)->required(), "run folder to make")
        ("resume", po::value(&resume), "auto: go on from the newest valid checkpoint, if there is one")
        ("set", po::value(&overrides)->composing(), "change one value, as train.seed=7; may repeat")
        ("max-steps", po::value(&max_steps), "short for --set train.max_steps=N")
        ("threads", po::value(&threads), "CPU threads (default: all cores)")
        ("dry-run", po::bool_switch(&options.dry_run), "read and check everything, then stop");
    device.add_to(line);
    if (!line.parse(arguments)) {
        return kExitOk;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, !positional.empty(),
                      "expected a configuration file (usage: flagen train CONFIG [DATA_DIR..] --out DIR)");
    if (line.given("resume")) {
        FLAGEN_USER_CHECK(UserFault::kConfig, resume == "auto", "--resume must be auto, found ", resume);
        options.resume = ResumeMode::kAuto;
    }
    if (line.given("max-steps")) {
        overrides.push_back("train.max_steps=" + std::to_string(max_steps));
    }
    const DeviceRequest request = device.request(overrides);
    set_threads(threads, line.given("threads"));
    options.command_line = quoted_command("train", arguments);
    RunConfig config = RunConfig::load(positional[0], overrides);
    set_data_folders(config, {positional.begin() + 1, positional.end()});
    options.device = choose_device(request, {{&config.model, config.train.precision}});
    prepare_device(options.device);
    return train(config, options);
}

}  // namespace flagen::apps
