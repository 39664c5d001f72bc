#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "flagen/genomics/contig_table.h"

namespace flagen::genomics {

/// A written block: bases [start, end) of one contig, and where its bytes lie.
struct BigWigIndexEntry {
    std::uint32_t contig = 0;
    std::uint32_t start = 0;
    std::uint32_t end = 0;
    std::uint32_t size_bytes = 0;
    std::uint64_t offset = 0;
};

/// The contig tree (a B+ tree by name) as it stands at `offset`; numbers are places in `contigs`.
[[nodiscard]] std::vector<unsigned char> render_bigwig_contig_tree(const ContigTable& contigs,
                                                                   std::uint64_t offset);

/// The index (an R tree) of blocks in ascending order as it stands at `offset`, behind its data.
[[nodiscard]] std::vector<unsigned char> render_bigwig_index(
    std::span<const BigWigIndexEntry> entries, std::uint64_t offset, std::uint32_t items_per_block);

}  // namespace flagen::genomics
