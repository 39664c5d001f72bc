#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flagen/data/window_list.h"

namespace flagen::apps {

/// What `flagen data` was asked to make.
struct DataBuildOptions {
    std::string fasta;
    std::string targets;       ///< targets.txt
    std::string track_folder;  ///< That relative files of the table count from; empty: the table's.
    std::string out;           ///< Folder to make or to go on with.
    std::string alias;         ///< Table of contig aliases, or empty.
    std::string transform;     ///< old, new or none.
    data::WindowGeometry geometry;
    data::WindowListOptions layout;
    std::string windows;  ///< BED file of windows in place of `layout`, or empty.
    std::string gaps;     ///< BED files, or empty.
    std::string blacklist;
    std::string unmappable;
    int num_threads = 1;
    bool half = false;       ///< Store f16.
    bool lists_only = false; ///< No tracks.h5: tracks are binned as they are read.
    bool overwrite = false;  ///< Discard a build of other inputs that the folder holds.
    bool dry_run = false;    ///< Check and count, write nothing.
};

/// Makes a data folder: sequences.bed, statistics.json, targets.txt, contigs.bed and, unless
/// lists_only, tracks.h5 with manifest.json. Tells on stdout what it found.
///
/// Returns an ExitCode: kExitRequeue if a signal stopped the build, which goes on when it is run
/// again. A finished folder of the same inputs is left as it is. No other build runs in the folder
/// while this one looks at it and writes.
///
/// @throws UserError as the readers do; (kConfig) if another build runs there, or if the folder
///         holds a cache of other inputs, finished or not: the message lists what changed, and
///         nothing was written.
int build_data(const DataBuildOptions& options);

}  // namespace flagen::apps
