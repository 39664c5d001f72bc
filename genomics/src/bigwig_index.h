#pragma once

#include <cstdint>
#include <vector>

#include "bigwig_file.h"

namespace flagen::genomics {

/// A data block as the index lists it: bases [start, end) of one contig.
struct BigWigBlock {
    std::uint64_t offset = 0;
    std::uint64_t size_bytes = 0;
    std::uint32_t start = 0;
    std::uint32_t end = 0;
};

/// Checks the header of the index (an R tree) at `offset`, and that its nodes and blocks on the way
/// to the last one lie in the file. A truncated file fails here.
void check_bigwig_index(const BigWigFile& file, std::uint64_t offset);

/// Replaces `blocks` by those that overlap [start, end) of a contig, in the index's order.
void find_bigwig_blocks(const BigWigFile& file, std::uint64_t index_offset, std::uint32_t contig,
                        std::uint32_t start, std::uint32_t end, std::vector<BigWigBlock>& blocks);

}  // namespace flagen::genomics
