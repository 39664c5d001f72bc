// flagen predict: the expression of genes, or measured tracks over regions, into HDF5.

#include <boost/program_options.hpp>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/exit_code.h"
#include "apps/options/command_line.h"
#include "apps/options/device_options.h"
#include "apps/runtime/prediction_run.h"
#include "apps/runtime/section_choice.h"
#include "apps/runtime/threads.h"
#include "flagen/error.h"

namespace flagen::apps {
namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

std::string output_path(const std::string& out) {
    return fs::is_directory(out) || fs::path(out).extension() != ".h5" ? (fs::path(out) / "predict.h5").string() : out;
}

// Borzoi's scripts write a bigWig a track beside the HDF5 file.
std::string bigwig_folder(const std::string& path) {
    return (fs::path(path).parent_path() / "bigwig").string();
}

}  // namespace

int run_predict(const std::vector<std::string>& arguments) {
    PredictionRequest request;
    std::vector<std::string> positional;
    std::vector<std::string> ensemble;
    std::vector<std::string> overrides;
    std::string fasta;
    std::string head;
    std::string shifts;
    std::string untransform;
    std::int64_t threads = 0;
    bool bigwig = false;
    DeviceOptions device_options;
    CommandLine line("predict [CONFIG] MODEL --out OUT [options]",
                     "Predicts with a trained model and writes HDF5 (OUT.h5, or predict.h5 in the folder OUT). MODEL is\n"
                     "a run folder (its best checkpoint) or one checkpoint; CONFIG replaces the configuration that it\n"
                     "carries.\n"
                     "With --bed, --locus or --chrom: measured tracks over those regions, as they were measured (see\n"
                     "--untransform). A killed run goes on when the same command runs again.\n"
                     "Otherwise: genes of the model's annotation, each read on its own strand (--rc: on both) from the\n"
                     "window whose centre is nearest.");
    line.add_positional("model", &positional, 2);
    line.options().add_options()
        ("out,o", po::value(&request.out)->required(), "file or folder to write")
        ("fasta,f", po::value(&fasta), "genome (default: the model's)")
        ("head", po::value(&head), "head of a model of several data sections: whose tracks, or whose genome")
        ("ensemble", po::value(&ensemble)->composing(), "further model to average with; may repeat")
        ("split", po::value(&request.split)->default_value("all"), "genes of all | train | valid | test")
        ("genes", po::value(&request.genes_file), "file with gene ids, one a line, instead of --split")
        ("tracks", "tracks around the genes of --genes, instead of their expression")
        ("bed", po::value(&request.regions.bed), "regions; each is put in the middle of a window")
        ("locus", po::value(&request.regions.loci)->composing(), "region contig:start-end, 1-based and closed; may repeat")
        ("chrom", po::value(&request.regions.contigs)->composing(), "whole contig, tiled by windows; 'all' is every one")
        ("shifts", po::value(&shifts), "average over these shifts of the window's start, as 0,16")
        ("rc", po::bool_switch(&request.reverse_complement), "average with the reverse complement of each window")
        ("sum", po::bool_switch(&request.summed), "sum the bins of each region")
        ("untransform", po::value(&untransform)->default_value("full"), "full: tracks as measured; none: as trained")
        ("bigwig", po::bool_switch(&bigwig), "a bigWig a track too, in the folder bigwig beside OUT")
        ("max-n", po::value(&request.max_n)->default_value(0.25), "largest share of N in a window's bases")
        ("set", po::value(&overrides)->composing(), "change one value of the configuration")
        ("threads", po::value(&threads), "CPU threads (default: all cores)")
        ("dry-run", po::bool_switch(&request.dry_run), "check everything, print what would be written, and stop");
    device_options.add_to(line);
    if (!line.parse(arguments)) {
        return kExitOk;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, positional.size() == 1 || positional.size() == 2,
                      "expected one model, found ", positional.size(),
                      " arguments (usage: flagen predict [CONFIG] MODEL --out OUT)");
    const std::string& split = request.split;
    FLAGEN_USER_CHECK(UserFault::kConfig, split == "all" || split == "train" || split == "valid" || split == "test",
                      "--split must be all, train, valid or test, found ", split);
    FLAGEN_USER_CHECK(UserFault::kConfig, untransform == "full" || untransform == "none",
                      "--untransform must be full or none, found ", untransform);
    FLAGEN_USER_CHECK(UserFault::kConfig, request.max_n >= 0.0 && request.max_n <= 1.0,
                      "--max-n must be within 0 and 1, found ", request.max_n);
    FLAGEN_USER_CHECK(UserFault::kConfig, !(bigwig && request.summed), "--bigwig and --sum exclude each other");
    const bool tracks = !request.regions.empty() || line.given("tracks");
    FLAGEN_USER_CHECK(UserFault::kConfig, tracks || !(request.summed || bigwig),
                      "--sum and --bigwig are for tracks: give --bed, --locus or --chrom");

    const DeviceRequest device_request = device_options.request(overrides);
    set_threads(threads, line.given("threads"));
    const std::string config_path = positional.size() == 2 ? positional.front() : "";
    std::vector<TrainedModel> models;
    models.push_back(TrainedModel::load(positional.back(), overrides, config_path));
    for (const std::string& path : ensemble) {
        models.push_back(TrainedModel::load(path, overrides, config_path));
    }
    std::vector<DeviceLoad> loads;
    for (const TrainedModel& trained : models) {
        loads.push_back(trained.load_on_device());
    }
    request.device = choose_device(device_request, loads);
    prepare_device(request.device);
    for (TrainedModel& trained : models) {
        trained.move_to(request.device);
    }
    RunConfig& config = models.front().config;
    std::fprintf(stderr, "device %s, precision %s\n", request.device.text().c_str(),
                 models::precision_name(config.train.precision).c_str());
    request.shifts_bp = shifts.empty() ? config.predict.shifts_bp : parse_int_list(shifts, "--shifts");
    request.squashed = untransform == "none";
    request.out = output_path(request.out);
    request.command_line = quoted_command("predict", arguments);
    if (bigwig) {
        request.bigwig_folder = bigwig_folder(request.out);
    }
    const std::size_t section = choose_section(config, head, tracks ? SectionUse::kTracks : SectionUse::kGenes);
    FLAGEN_USER_CHECK(UserFault::kConfig, request.genes_file.empty() || config.data[section].genes.has_value(),
                      "--genes needs the genes of a data section, which that of head ", config.data[section].head(),
                      " has not");
    if (!fasta.empty()) {
        config.data[section].genome.fasta = fasta;
    }
    if (!request.dry_run && fs::path(request.out).has_parent_path()) {
        fs::create_directories(fs::path(request.out).parent_path());
    }
    RunData data = RunData::load(config.data[section], config.model, MeasuredTracks::kLeaveOut);
    const InputDigests inputs = InputDigests::of(config.data[section], data);
    PredictionRun run{std::move(models), section, std::move(data), inputs};
    return tracks ? predict_tracks_to_file(run, request) : predict_genes_to_file(run, request);
}

}  // namespace flagen::apps
