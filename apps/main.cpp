#include <htslib/hts_log.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/exit_code.h"
#include "apps/runtime/build_info.h"
#include "apps/runtime/device.h"
#include "flagen/error.h"

namespace {

using flagen::apps::Command;

constexpr std::array<Command, 7> kCommands{{
    {"data", "lay windows over a genome and bin measured tracks", flagen::apps::run_data},
    {"train", "learn expression from windows of DNA", flagen::apps::run_train},
    {"predict", "predict the expression of genes into HDF5", flagen::apps::run_predict},
    {"eval", "say how good a model is, next to baselines", flagen::apps::run_eval},
    {"report", "draw a run as one HTML page", flagen::apps::run_report},
    {"extract", "write the windows that a model sees as FASTA", flagen::apps::run_extract},
    {"info", "show what a configuration or a checkpoint holds", flagen::apps::run_info},
}};

void print_help(std::FILE* stream) {
    std::fputs("usage: flagen <command> [options]\n\ncommands:\n", stream);
    for (const Command& command : kCommands) {
        std::fprintf(stream, "  %-9s %s\n", command.name, command.summary);
    }
    std::fputs("\n`flagen <command> --help` lists the options of a command; `flagen --version` the versions.\n",
               stream);
}

int dispatch(int argc, char** argv) {
    const std::string name = argc > 1 ? argv[1] : "";
    if (name == "--help" || name == "-h" || name == "help") {
        print_help(stdout);
        return flagen::apps::kExitOk;
    }
    if (name == "--version") {
        std::fputs(flagen::apps::version_text().c_str(), stdout);
        return flagen::apps::kExitOk;
    }
    for (const Command& command : kCommands) {
        if (name == command.name) {
            return command.run(std::vector<std::string>(argv + 2, argv + argc));
        }
    }
    print_help(stderr);
    if (!name.empty()) {
        std::fprintf(stderr, "\nflagen: unknown command: %s\n", name.c_str());
    }
    return flagen::apps::kExitConfig;
}

}  // namespace

// The only place that turns exceptions into exit codes.
int main(int argc, char** argv) {
    hts_set_log_level(HTS_LOG_OFF);  // our own messages name file, line and remedy
    try {
        return dispatch(argc, argv);
    } catch (const flagen::UserError& error) {
        std::fprintf(stderr, "flagen: %s\n", error.what());
        return error.fault() == flagen::UserFault::kConfig ? flagen::apps::kExitConfig
                                                           : flagen::apps::kExitBadInput;
    } catch (const flagen::apps::DeviceError& error) {
        std::fprintf(stderr, "flagen: %s\n", error.what());
        return flagen::apps::kExitInternal;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "flagen: internal error: %s\n(%s)\n", error.what(),
                     flagen::apps::short_version().c_str());
        return flagen::apps::kExitInternal;
    }
}
