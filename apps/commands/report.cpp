// flagen report: one HTML page with the curves, scatter plots and loci of a run.

#include <boost/program_options.hpp>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/exit_code.h"
#include "apps/options/command_line.h"
#include "apps/report/report.h"
#include "flagen/atomic_file.h"
#include "flagen/error.h"

namespace flagen::apps {

namespace fs = std::filesystem;
namespace po = boost::program_options;

int run_report(const std::vector<std::string>& arguments) {
    std::vector<std::string> positional;
    report::ReportOptions options;
    std::string out;
    CommandLine line("report RUN [--predictions FILE] [--out report.html] [options]",
                     "Writes one self-contained HTML page about a run folder: training curves, results beside the baselines,\n"
                     "predicted against observed expression, correlations of samples and genes, a locus, the model's cost and\n"
                     "its configuration. What is missing is said on the page.");
    line.add_positional("run", &positional, 1);
    line.options().add_options()
        ("out,o", po::value(&out), "page to write (default: report.html in the run folder)")
        ("predictions", po::value(&options.predictions)->composing(),
         "file of flagen predict, of genes or tracks; may be given twice (default: predictions.h5, tracks.h5 in the run folder)")
        ("locus", po::value(&options.locus), "region to draw, 1-based, as chr1:1-20000 (default: held-out genes)");
    if (!line.parse(arguments)) {
        return kExitOk;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, positional.size() == 1, "expected one run folder (usage: flagen report RUN)");
    options.run_folder = positional[0];
    const std::string page = report::build_report(options);
    if (out.empty()) {
        out = (fs::path(options.run_folder) / "report.html").string();
    }
    if (fs::path(out).has_parent_path()) {
        fs::create_directories(fs::path(out).parent_path());
    }
    write_file_atomically(out, page);
    std::fprintf(stderr, "%s: %zu bytes\n", out.c_str(), page.size());
    return kExitOk;
}

}  // namespace flagen::apps
