#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "flagen/data/window_example.h"
#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/gene_spans.h"
#include "flagen/genomics/split_plan.h"
#include "flagen/genomics/window.h"

namespace flagen::data {

/// Which genes a window scores.
enum class StrandMode {
    kSense,  ///< Only genes whose sense strand is the one read.
    kBoth,
};

/// Finds the genes that lie wholly inside the usable part of a window.
///
/// A gene at [a, b) counts in a window of L bases if margin <= a and b <= L - margin, in window
/// coordinates. On a circular contig a gene is looked for all round; where a window longer than the
/// ring holds it more than once, the copy nearest the window's middle counts (tie: the first).
///
/// Immutable after construction, so any number of threads may ask.
class GeneIndex {
  public:
    /// Indexes `genes[i]` for each i of `rows`. Spans name contigs of `contigs`, lie on them
    /// (end_bp may pass the end of a circular one) and have a strand.
    /// @throws Error if one does not.
    GeneIndex(std::vector<genomics::GeneSpan> genes, const std::vector<std::int64_t>& rows,
              const genomics::ContigTable& contigs);

    /// Genes of `window`, ascending by (start_bp, end_bp, gene_index) as read.
    [[nodiscard]] std::vector<PlacedGene> genes_in(const genomics::Window& window,
                                                   std::int64_t margin_bp, StrandMode mode) const;

    /// One gene in one window, or nothing if it does not lie wholly in the usable part.
    [[nodiscard]] std::optional<PlacedGene> place(std::int64_t row, const genomics::Window& window,
                                                  std::int64_t margin_bp) const;

    [[nodiscard]] const std::vector<genomics::GeneSpan>& genes() const { return genes_; }

  private:
    struct ContigGenes {
        std::int64_t ring_bp = 0;        // 0 for a linear contig
        std::vector<std::int64_t> rows;  // ascending by start_bp
    };

    /// Where the gene begins in forward window coordinates, if it lies in the usable part.
    [[nodiscard]] std::optional<std::int64_t> offset_in(const genomics::GeneSpan& gene,
                                                        std::int64_t ring_bp,
                                                        const genomics::Window& window,
                                                        std::int64_t margin_bp) const;
    [[nodiscard]] PlacedGene placed(std::int64_t row, std::int64_t offset_bp,
                                    const genomics::Window& window) const;

    std::vector<genomics::GeneSpan> genes_;
    std::unordered_map<std::string, ContigGenes> contigs_;
};

/// Genes by split. A gene belongs to the split that holds it whole; one that crosses a border
/// belongs to none.
struct SplitCounts {
    std::int64_t train = 0;
    std::int64_t valid = 0;
    std::int64_t test = 0;
    std::int64_t straddling = 0;  ///< In no split.
};

/// Split of every gene, in order.
[[nodiscard]] std::vector<genomics::Split> splits_of_genes(
    const std::vector<genomics::GeneSpan>& genes, const genomics::SplitPlan& plan);

[[nodiscard]] SplitCounts count_splits(const std::vector<genomics::Split>& splits);

/// Rows of the genes that belong to `split`, ascending.
[[nodiscard]] std::vector<std::int64_t> rows_of_split(const std::vector<genomics::Split>& splits,
                                                      genomics::Split split);

}  // namespace flagen::data
