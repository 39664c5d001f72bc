#include "flagen/data/gene_index.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <tuple>
#include <utility>

#include "flagen/error.h"
#include "flagen/genomics/tokenizer.h"

namespace flagen::data {
namespace {

using genomics::GeneSpan;
using genomics::Range;
using genomics::Split;
using genomics::Strand;
using genomics::Window;

/// Division that rounds down, for coordinates below zero.
std::int64_t floor_divide(std::int64_t value, std::int64_t divisor) {
    const std::int64_t quotient = value / divisor;
    return value % divisor < 0 ? quotient - 1 : quotient;
}

}  // namespace

void read_tokens(const genomics::ReferenceGenome& reference, const Window& window,
                 WindowExample& example) {
    const genomics::WindowSequence sequence = genomics::fetch_window(reference, window);
    example.tokens.resize(sequence.bases.size());
    genomics::encode_bases(sequence.bases, example.tokens.data());
    example.num_padded_bp = sequence.num_padded_bp;
}

GeneIndex::GeneIndex(std::vector<GeneSpan> genes, const std::vector<std::int64_t>& rows,
                     const genomics::ContigTable& contigs)
    : genes_(std::move(genes)) {
    for (const std::int64_t row : rows) {
        const GeneSpan& gene = genes_.at(static_cast<std::size_t>(row));
        const auto found = contigs.find(gene.contig);
        FLAGEN_CHECK(found.has_value(), "gene ", gene.id, " on unknown contig ", gene.contig);
        const genomics::Contig& contig = contigs.at(*found);
        FLAGEN_CHECK(gene.start_bp >= 0 && gene.start_bp < gene.end_bp, "span of gene ", gene.id);
        FLAGEN_CHECK(contig.circular ? gene.start_bp < contig.length_bp &&
                                           gene.end_bp - gene.start_bp <= contig.length_bp
                                     : gene.end_bp <= contig.length_bp,
                     "gene ", gene.id, " is off its contig ", gene.contig);
        FLAGEN_CHECK(gene.strand != Strand::kUnknown, "gene ", gene.id, " has no strand");
        ContigGenes& entry = contigs_[gene.contig];
        entry.ring_bp = contig.circular ? contig.length_bp : 0;
        entry.rows.push_back(row);
    }
    for (auto& [name, entry] : contigs_) {
        std::sort(entry.rows.begin(), entry.rows.end(), [this](std::int64_t a, std::int64_t b) {
            const GeneSpan& left = genes_[static_cast<std::size_t>(a)];
            const GeneSpan& right = genes_[static_cast<std::size_t>(b)];
            return std::tie(left.start_bp, a) < std::tie(right.start_bp, b);
        });
    }
}

std::optional<std::int64_t> GeneIndex::offset_in(const GeneSpan& gene, std::int64_t ring_bp,
                                                 const Window& window,
                                                 std::int64_t margin_bp) const {
    const std::int64_t gene_bp = gene.end_bp - gene.start_bp;
    const std::int64_t last = window.length_bp - margin_bp - gene_bp;  // of the offsets that fit
    std::int64_t offset = gene.start_bp - window.start_bp;
    if (ring_bp > 0) {
        // First copy at or after the margin, then one by one to the copy nearest the middle.
        offset -= floor_divide(offset - margin_bp, ring_bp) * ring_bp;
        const auto from_middle = [&](std::int64_t at) {
            return std::abs(2 * at + gene_bp - window.length_bp);
        };
        while (offset + ring_bp <= last && from_middle(offset + ring_bp) < from_middle(offset)) {
            offset += ring_bp;
        }
    }
    if (offset < margin_bp || offset > last) {
        return std::nullopt;
    }
    return offset;
}

PlacedGene GeneIndex::placed(std::int64_t row, std::int64_t offset_bp, const Window& window) const {
    const GeneSpan& gene = genes_[static_cast<std::size_t>(row)];
    const bool reverse = window.strand == Strand::kReverse;
    // Moves a range of the contig into window coordinates.
    const auto moved = [&](std::int64_t start_bp, std::int64_t end_bp) {
        const Range range{start_bp - gene.start_bp + offset_bp, end_bp - gene.start_bp + offset_bp};
        return reverse ? Range{window.length_bp - range.end_bp, window.length_bp - range.start_bp}
                       : range;
    };
    PlacedGene result;
    const Range span = moved(gene.start_bp, gene.end_bp);
    result.gene_index = row;
    result.start_bp = span.start_bp;
    result.end_bp = span.end_bp;
    result.strand = (gene.strand == Strand::kReverse) == reverse ? 1 : -1;
    result.pieces.reserve(gene.pieces.size());
    for (const Range& piece : gene.pieces) {
        result.pieces.push_back(moved(piece.start_bp, piece.end_bp));
    }
    if (reverse) {
        std::reverse(result.pieces.begin(), result.pieces.end());
    }
    return result;
}

std::vector<PlacedGene> GeneIndex::genes_in(const Window& window, std::int64_t margin_bp,
                                            StrandMode mode) const {
    std::vector<PlacedGene> result;
    const auto found = contigs_.find(window.contig);
    if (found == contigs_.end()) {
        return result;
    }
    const ContigGenes& entry = found->second;
    const bool reverse = window.strand == Strand::kReverse;
    const auto consider = [&](std::int64_t row) {
        const GeneSpan& gene = genes_[static_cast<std::size_t>(row)];
        if (mode == StrandMode::kSense && (gene.strand == Strand::kReverse) != reverse) {
            return;
        }
        const auto offset = offset_in(gene, entry.ring_bp, window, margin_bp);
        if (offset.has_value()) {
            result.push_back(placed(row, *offset, window));
        }
    };
    if (entry.ring_bp > 0) {
        std::for_each(entry.rows.begin(), entry.rows.end(), consider);
    } else {
        const auto first =
            std::partition_point(entry.rows.begin(), entry.rows.end(), [&](std::int64_t row) {
                return genes_[static_cast<std::size_t>(row)].start_bp < window.start_bp + margin_bp;
            });
        for (auto row = first; row != entry.rows.end(); ++row) {
            if (genes_[static_cast<std::size_t>(*row)].start_bp >= window.end_bp() - margin_bp) {
                break;
            }
            consider(*row);
        }
    }
    std::sort(result.begin(), result.end(), [](const PlacedGene& a, const PlacedGene& b) {
        return std::tie(a.start_bp, a.end_bp, a.gene_index) <
               std::tie(b.start_bp, b.end_bp, b.gene_index);
    });
    return result;
}

std::optional<PlacedGene> GeneIndex::place(std::int64_t row, const Window& window,
                                           std::int64_t margin_bp) const {
    const GeneSpan& gene = genes_.at(static_cast<std::size_t>(row));
    const auto found = contigs_.find(gene.contig);
    if (found == contigs_.end() || gene.contig != window.contig) {
        return std::nullopt;
    }
    const auto offset = offset_in(gene, found->second.ring_bp, window, margin_bp);
    if (!offset.has_value()) {
        return std::nullopt;
    }
    return placed(row, *offset, window);
}

std::vector<Split> splits_of_genes(const std::vector<GeneSpan>& genes,
                                   const genomics::SplitPlan& plan) {
    std::vector<Split> splits;
    splits.reserve(genes.size());
    for (const GeneSpan& gene : genes) {
        splits.push_back(plan.of_interval(gene.interval()));
    }
    return splits;
}

SplitCounts count_splits(const std::vector<Split>& splits) {
    const auto count = [&](Split split) { return std::count(splits.begin(), splits.end(), split); };
    return {count(Split::kTrain), count(Split::kValid), count(Split::kTest), count(Split::kNone)};
}

std::vector<std::int64_t> rows_of_split(const std::vector<Split>& splits, Split split) {
    std::vector<std::int64_t> rows;
    for (std::size_t row = 0; row < splits.size(); ++row) {
        if (splits[row] == split) {
            rows.push_back(static_cast<std::int64_t>(row));
        }
    }
    return rows;
}

}  // namespace flagen::data
