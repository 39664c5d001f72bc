#pragma once

#include <cstdint>
#include <vector>

#include "bigwig_file.h"
#include "flagen/genomics/contig_table.h"

namespace flagen::genomics {

/// The places that a bigWig's header names, all inside the file.
struct BigWigHeader {
    std::uint16_t version = 0;
    std::uint64_t contig_tree_offset = 0;
    std::uint64_t index_offset = 0;  ///< 0 in files without a value that libBigWig wrote.
    bool compressed = false;         ///< Data blocks are zlib streams.
    std::vector<std::uint64_t> zoom_index_offsets;
};

/// Reads the fixed header, the zoom headers and the total summary.
[[nodiscard]] BigWigHeader read_bigwig_header(const BigWigFile& file);

/// Reads the contig tree; the place in the result is the contig's number in index and data.
[[nodiscard]] std::vector<Contig> read_bigwig_contigs(const BigWigFile& file,
                                                      const BigWigHeader& header);

}  // namespace flagen::genomics
