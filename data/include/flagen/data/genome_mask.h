#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/interval.h"
#include "flagen/genomics/range.h"

namespace flagen::data {

/// Stretches of a genome out of a BED file: gaps, unmappable regions, a blacklist.
///
/// Rows on contigs that the genome lacks are left out and counted: lists of a whole assembly are
/// used with FASTA files of a part of it.
class GenomeMask {
  public:
    /// Nothing masked.
    GenomeMask() = default;

    /// Reads `path` and widens every row by `padding_bp` on both sides, within its contig.
    ///
    /// @throws UserError (kInputFile) as read_bed() does; if a row reaches past its contig (a list
    ///         of another assembly), or if no row at all lies on a contig of the genome.
    [[nodiscard]] static GenomeMask load(const std::string& path,
                                         const genomics::ContigTable& contigs,
                                         const genomics::ContigAliases& aliases = {},
                                         std::int64_t padding_bp = 0);

    [[nodiscard]] bool empty() const { return ranges_.empty(); }
    /// Masked ranges of contig `index` of the table: united, ascending.
    [[nodiscard]] std::span<const genomics::Range> on(std::size_t index) const;
    /// Those of them that share a base with [start_bp, end_bp), whole.
    [[nodiscard]] std::span<const genomics::Range> overlapping(std::size_t index,
                                                               std::int64_t start_bp,
                                                               std::int64_t end_bp) const;
    /// All ranges as intervals, contigs in the order of the table.
    [[nodiscard]] std::vector<genomics::Interval> intervals(
        const genomics::ContigTable& contigs) const;

    [[nodiscard]] std::int64_t num_rows() const { return num_rows_; }
    [[nodiscard]] std::int64_t num_rows_on_unknown_contigs() const { return num_unknown_; }
    /// SHA-256 of the ranges; the empty text for no mask.
    [[nodiscard]] std::string digest() const;

  private:
    std::vector<std::vector<genomics::Range>> ranges_;  ///< By contig; empty without a file.
    std::int64_t num_rows_ = 0;
    std::int64_t num_unknown_ = 0;
};

}  // namespace flagen::data
