// flagen extract: the exact letters that a model receives, as FASTA.

#include <boost/program_options.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apps/command.h"
#include "apps/exit_code.h"
#include "apps/options/command_line.h"
#include "apps/runtime/region_list.h"
#include "flagen/atomic_file.h"
#include "flagen/error.h"
#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/fasta_reader.h"
#include "flagen/genomics/window.h"
#include "flagen/genomics/window_planner.h"

namespace flagen::apps {
namespace {

namespace po = boost::program_options;
using genomics::Interval;
using genomics::Strand;
using genomics::Window;

struct ExtractOptions {
    std::string fasta;
    std::string out;
    RegionSources regions;
    std::string alias;
    std::vector<std::string> circular;
    std::int64_t length_bp = 0;  // 0: the region's own length
    std::string shifts = "0";
    std::int64_t line_width = 60;
    bool reverse_complement = false;
    bool allow_truncated = false;
};

Strand opposite(Strand strand) {
    return strand == Strand::kReverse ? Strand::kForward : Strand::kReverse;
}

Window window_of(const ListedRegion& region, const ExtractOptions& options, std::int64_t shift_bp) {
    const Interval& interval = region.interval;
    const bool centred = options.length_bp > 0;
    const std::int64_t length = centred ? options.length_bp : interval.length_bp();
    // Borzoi's rule for BED regions: the middle rounds down.
    const std::int64_t start =
        centred ? (interval.start_bp + interval.end_bp) / 2 - length / 2 : interval.start_bp;
    return {interval.contig, start + shift_bp, length, region.strand};
}

void write_record(AtomicFile& file, const genomics::ReferenceGenome& reference, const Window& window,
                  std::int64_t line_width) {
    const auto sequence = genomics::fetch_window(reference, window);
    std::string text = ">";
    text += genomics::window_name(window);
    text += '\n';
    const auto width = static_cast<std::size_t>(line_width);
    for (std::size_t i = 0; i < sequence.bases.size(); i += width) {
        text += std::string_view(sequence.bases).substr(i, width);
        text += '\n';
    }
    file.write(text);
}

}  // namespace

int run_extract(const std::vector<std::string>& arguments) {
    ExtractOptions options;
    CommandLine line("extract --fasta F --out OUT.fa (--bed B | --locus R | --chrom C) [options]",
                     "Writes the exact letters that a model receives for each region: upper case, N where a\n"
                     "window reaches over a contig's end, reverse-complemented on the - strand. Records are\n"
                     "named contig:start-end:strand, 0-based and half-open.");
    line.options().add_options()
        ("fasta,f", po::value(&options.fasta)->required(), "genome, plain or bgzip FASTA")
        ("out,o", po::value(&options.out)->required(), "FASTA file to write")
        ("bed", po::value(&options.regions.bed), "regions; column 6 gives the strand")
        ("locus", po::value(&options.regions.loci)->composing(), "region contig:start-end, 1-based and closed; may repeat")
        ("chrom", po::value(&options.regions.contigs)->composing(), "whole contig; may repeat")
        ("length,l", po::value(&options.length_bp), "window length in bp, centred on the region (default: the region itself)")
        ("rc", po::bool_switch(&options.reverse_complement), "add the reverse complement of each window")
        ("shifts", po::value(&options.shifts)->default_value("0"), "shifts of the window's start in bp, as 0,8,16")
        ("width", po::value(&options.line_width)->default_value(60), "letters per line")
        ("alias", po::value(&options.alias), "table of contig aliases: alias <tab> name in the FASTA")
        ("circular", po::value(&options.circular)->composing(), "name of a circular contig; may repeat")
        ("allow-truncated", po::bool_switch(&options.allow_truncated), "accept bgzip without its end-of-file block");
    if (!line.parse(arguments)) {
        return kExitOk;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, options.line_width > 0, "--width must be at least 1, found ",
                      options.line_width);
    FLAGEN_USER_CHECK(UserFault::kConfig, !line.given("length") || options.length_bp > 0,
                      "--length must be at least 1, found ", options.length_bp);
    const auto shifts = parse_int_list(options.shifts, "--shifts");

    const auto reference = genomics::FastaReader::open(options.fasta, {options.circular, options.allow_truncated});
    const auto aliases =
        options.alias.empty() ? genomics::ContigAliases{} : genomics::ContigAliases::load(options.alias);
    const auto regions = list_regions(options.regions, reference.contigs(), aliases, UnknownContig::kError);
    AtomicFile file(options.out);
    for (const ListedRegion& region : regions) {
        for (const std::int64_t shift : shifts) {
            Window window = window_of(region, options, shift);
            if (window.strand == Strand::kUnknown) {
                window.strand = Strand::kForward;
            }
            write_record(file, reference, window, options.line_width);
            if (options.reverse_complement) {
                window.strand = opposite(window.strand);
                write_record(file, reference, window, options.line_width);
            }
        }
    }
    file.publish();
    return kExitOk;
}

}  // namespace flagen::apps
