#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bigwig_file.h"
#include "bigwig_index.h"
#include "flagen/genomics/bigwig_reader.h"

namespace flagen::genomics {

/// Reads data blocks and decodes their sections, every item checked.
class BigWigSections {
  public:
    explicit BigWigSections(bool compressed) : compressed_(compressed) {}

    /// Appends the items of `block` that overlap [start, end) to `out`, clipped to it.
    /// `previous_end` is where the contig's items before this block end; it moves to the end of
    /// this block's.
    void read(const BigWigFile& file, const BigWigBlock& block, std::uint32_t contig,
              std::int64_t start, std::int64_t end, std::int64_t& previous_end,
              std::vector<BigWigInterval>& out);

  private:
    void load(const BigWigFile& file, const BigWigBlock& block);

    bool compressed_;
    std::vector<unsigned char> stored_;    // As in the file.
    std::vector<unsigned char> inflated_;  // Sized once; only the front is used.
    std::span<const unsigned char> section_;
};

}  // namespace flagen::genomics
