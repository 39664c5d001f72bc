#pragma once

#include <string>
#include <vector>

namespace flagen::apps::report {

/// What `flagen report` was asked for.
struct ReportOptions {
    std::string run_folder;
    /// Files of flagen predict, of genes, of tracks, or one of each. Empty: predictions.h5, predict.h5 and tracks.h5 of
    /// the run folder, those that there are.
    std::vector<std::string> predictions;
    std::string locus;  ///< "chr1:1-20,000", 1-based; empty: a stretch of the held-out genes.
};

/// The page of one run. Reads the run folder, its predictions, and the measurements that its configuration names;
/// what is missing or cannot be read is said on the page. Writes nothing.
///
/// @throws UserError if the folder is no run, a file named in the options cannot be read, or the locus does not parse.
[[nodiscard]] std::string build_report(const ReportOptions& options);

}  // namespace flagen::apps::report
