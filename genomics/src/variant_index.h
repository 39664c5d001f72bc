#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flagen/genomics/interval.h"

namespace flagen::genomics {

/// A region to read, and where the one before it on the same contig ended: a record that begins
/// before that was given already.
struct VariantRegion {
    std::string contig;
    std::int64_t start_bp = 0;
    std::int64_t end_bp = 0;
    std::int64_t previous_end_bp = 0;
};

/// Sorts and joins the regions of each contig; contigs keep the order of their first region.
[[nodiscard]] std::vector<VariantRegion> join_regions(const std::vector<Interval>& regions);

/// Path of the index beside `path`: .csi, else .tbi, which BCF does not have.
///
/// @throws UserError (kInputFile) if there is none, or it is older than the file.
[[nodiscard]] std::string find_variant_index(const std::string& path, bool bcf);

/// Checks that counts and sizes in a .tbi or .csi agree with its bytes and that its offsets lie in
/// the file `path`. HTSlib 1.16 frees what it never set where counts do not.
///
/// @throws UserError (kInputFile) with `remedy`, a command, if they do not.
void check_variant_index(const std::string& path, const std::string& index_path,
                         const std::string& remedy);

/// An absolute path, which HTSlib cannot take for the name of a network scheme.
[[nodiscard]] std::string absolute_path(const std::string& path);

}  // namespace flagen::genomics
