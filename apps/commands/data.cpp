// flagen data: windows of a genome and the measured tracks in them, ready for training.

#include <algorithm>
#include <boost/program_options.hpp>
#include <cstdint>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/exit_code.h"
#include "apps/options/command_line.h"
#include "apps/options/run_config.h"
#include "apps/runtime/data_builder.h"
#include "apps/runtime/run_data.h"
#include "apps/runtime/section_choice.h"
#include "flagen/error.h"

namespace flagen::apps {
namespace {

namespace po = boost::program_options;

// Names of one or more options, each of which may be a list, "XI,XVI".
std::vector<std::string> split_at_commas(const std::vector<std::string>& lists) {
    std::vector<std::string> names;
    for (const std::string& list : lists) {
        std::istringstream in(list);
        for (std::string name; std::getline(in, name, ',');) {
            if (!name.empty()) {
                names.push_back(name);
            }
        }
    }
    return names;
}

void check_layout(const CommandLine& line, const DataBuildOptions& options) {
    const bool by_contig = line.given("valid-chr") || line.given("test-chr");
    const int ways = (by_contig ? 1 : 0) + (line.given("folds") ? 1 : 0) + (line.given("windows") ? 1 : 0);
    FLAGEN_USER_CHECK(UserFault::kConfig, ways <= 1,
                      "choose one of --folds, --valid-chr with --test-chr, and --windows");
    FLAGEN_USER_CHECK(UserFault::kConfig, !line.given("folds") || options.layout.splits.num_folds >= 2,
                      "--folds must be at least 2, found ", options.layout.splits.num_folds);
    for (const char* name : {"stride", "stride-test", "gaps"}) {
        FLAGEN_USER_CHECK(UserFault::kConfig, !line.given("windows") || !line.given(name), "--", name,
                          " has no meaning where --windows lists the windows");
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, options.layout.stride_bp >= 0 && options.layout.eval_stride_bp >= 0,
                      "strides must be at least 1");
    FLAGEN_USER_CHECK(UserFault::kConfig,
                      options.layout.drop_at_unmappable >= 0.0 && options.layout.drop_at_unmappable <= 1.0,
                      "--unmap-share must lie in [0, 1], found ", options.layout.drop_at_unmappable);
}

// Options whose values a configuration gives.
constexpr const char* kOfConfiguration[] = {"fasta", "targets",   "track-folder", "length", "bin",   "crop",     "transform",
                                            "alias", "valid-chr", "test-chr",     "folds",  "break", "blacklist"};

// Takes genome, tracks, windows and splits of one data section, and the model's geometry.
void take_configuration(const CommandLine& line, const std::string& path, const std::string& head,
                        DataBuildOptions& options) {
    for (const char* name : kOfConfiguration) {
        FLAGEN_USER_CHECK(UserFault::kConfig, !line.given(name), "--", name, " comes from the configuration, ", path);
    }
    const RunConfig config = RunConfig::load(path);
    const DataConfig& section = config.data[choose_section(config, head, SectionUse::kTracks)];
    options.fasta = section.genome.fasta;
    options.alias = section.genome.alias;
    options.targets = section.tracks->table;
    options.track_folder = section.tracks->folder;
    options.transform = section.tracks->transform;
    options.blacklist = section.tracks->blacklist;
    options.geometry = window_geometry(config.model);
    options.layout.splits = section.splits;
}

}  // namespace

int run_data(const std::vector<std::string>& arguments) {
    DataBuildOptions options;
    std::vector<std::string> valid;
    std::vector<std::string> test;
    std::vector<std::string> positional;
    std::string head;
    std::int64_t threads = 0;
    data::WindowGeometry& geometry = options.geometry;
    data::WindowListOptions& layout = options.layout;
    CommandLine line("data CONFIG [--head NAME] --out DIR | --fasta F --targets T --transform new|old|none --out DIR [options]",
                     "Lays windows over a genome, bins the measured tracks in them and keeps both in DIR:\n"
                     "sequences.bed (output intervals), statistics.json, contigs.bed, targets.txt, and tracks.h5\n"
                     "with manifest.json. A build that was stopped or killed goes on when it is run again. CONFIG, as of\n"
                     "`flagen train`, gives genome, tracks, geometry and splits.");
    line.add_positional("config", &positional, 1);
    line.options().add_options()
        ("head", po::value(&head), "data section of CONFIG, where it has several with tracks")
        ("fasta,f", po::value(&options.fasta), "genome, plain or bgzip FASTA")
        ("targets,t", po::value(&options.targets), "table of tracks, Borzoi's targets.txt")
        ("track-folder", po::value(&options.track_folder), "folder of relative files in the table (default: the table's)")
        ("out,o", po::value(&options.out)->required(), "folder to make")
        ("length,l", po::value(&geometry.seq_length_bp)->default_value(geometry.seq_length_bp), "input of the model in bp")
        ("bin,w", po::value(&geometry.bin_bp)->default_value(geometry.bin_bp), "bin in bp")
        ("crop,c", po::value(&geometry.crop_bp)->default_value(geometry.crop_bp), "bp at each end of the input without output")
        ("transform", po::value(&options.transform), "of the targets: new (baskerville), old (Borzoi's paper), none")
        ("stride", po::value(&layout.stride_bp), "bp between windows of training and folds (default: the output)")
        ("stride-test", po::value(&layout.eval_stride_bp), "the same of valid and test (default: the output)")
        ("valid-chr", po::value(&valid)->composing(), "contigs of the validation, as XI or XI,X; may repeat")
        ("test-chr", po::value(&test)->composing(), "contigs of the test")
        ("folds", po::value(&layout.splits.num_folds), "label windows fold0, fold1, ... in place of a split")
        ("break", po::value(&layout.splits.fold_block_bp)->default_value(layout.splits.fold_block_bp), "contigs longer than this are halved before they are dealt to folds")
        ("windows", po::value(&options.windows), "BED file of output intervals, labels in column 4")
        ("gaps,g", po::value(&options.gaps), "BED file of assembly gaps: no window reaches in with its output")
        ("blacklist,b", po::value(&options.blacklist), "BED file of regions whose values are clipped to the window's median")
        ("unmap,u", po::value(&options.unmappable), "BED file of unmappable regions: drops windows")
        ("unmap-share", po::value(&layout.drop_at_unmappable)->default_value(layout.drop_at_unmappable), "share of a window that must be unmappable for that")
        ("alias", po::value(&options.alias), "table of contig aliases: alias <tab> name in the FASTA")
        ("f16", po::bool_switch(&options.half), "store f16 in place of f32")
        ("lists-only", po::bool_switch(&options.lists_only), "no tracks.h5: training bins the tracks as it goes")
        ("threads", po::value(&threads), "threads that bin and compress (default: all cores)")
        ("overwrite", po::bool_switch(&options.overwrite), "discard a build of other inputs that the folder holds")
        ("dry-run", po::bool_switch(&options.dry_run), "check all inputs and count, write nothing");
    if (!line.parse(arguments)) {
        return kExitOk;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, !line.given("threads") || (threads >= 1 && threads <= 1024),
                      "--threads must lie in 1 .. 1024, found ", threads);
    if (!line.given("threads")) {
        threads = std::max(1U, std::thread::hardware_concurrency());
    }
    options.num_threads = static_cast<int>(threads);
    layout.splits.valid_contigs = split_at_commas(valid);
    layout.splits.test_contigs = split_at_commas(test);
    check_layout(line, options);
    if (!positional.empty()) {
        take_configuration(line, positional.front(), head, options);
    }
    for (const auto& [name, value] : {std::pair{"fasta", &options.fasta},
                                      {"targets", &options.targets},
                                      {"transform", &options.transform}}) {
        FLAGEN_USER_CHECK(UserFault::kConfig, !value->empty(), "the option '--", name,
                          "' is required but missing, and no configuration gives it");
    }
    return build_data(options);
}

}  // namespace flagen::apps
