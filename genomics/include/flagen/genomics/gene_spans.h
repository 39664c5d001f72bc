#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flagen/genomics/interval.h"
#include "flagen/genomics/range.h"

namespace flagen::genomics {

/// The bases of one gene as the chosen annotation rows give them.
struct GeneSpan {
    std::string id;             ///< Value of the id attribute.
    std::string contig;         ///< Name exactly as in the annotation.
    std::int64_t start_bp = 0;  ///< First base of the first piece.
    std::int64_t end_bp = 0;    ///< One past the last piece; past the contig end on circular ones.
    Strand strand = Strand::kUnknown;
    std::vector<Range> pieces;  ///< Rows of the chosen features, united: sorted, disjoint.

    [[nodiscard]] Interval interval() const { return {contig, start_bp, end_bp}; }
};

/// Counts of rows that load_gene_spans() met.
struct GeneSpanCounts {
    std::int64_t num_rows = 0;             ///< Rows of the chosen features that carried an id.
    std::int64_t num_rows_without_id = 0;  ///< Rows of the chosen features without one: skipped.
};

/// Reads the spans of all genes from the `features` rows (column 3) of a GTF or GFF3 file.
///
/// Rows with the same value of `id_attribute` make one span, at any place of the file; a row with
/// several values (GFF3 `Parent=a,b`) belongs to each. Spans come in the order of their first row.
/// With both arguments empty a GTF is read as exon / gene_id; a GFF3 must say both.
///
/// To pool over coding bases ask for {"CDS"}, over exons for {"exon"}, over the whole gene for
/// {"gene"} or {"gene", "pseudogene"}.
///
/// @throws UserError (kConfig) if no row has one of `features` (lists the types seen), or none of
///         those rows has `id_attribute` (lists the attributes seen), or a GFF3 lacks the choice.
/// @throws UserError (kInputFile) if rows of one id differ in contig or strand (names both lines),
///         and as AnnotationReader does.
[[nodiscard]] std::vector<GeneSpan> load_gene_spans(const std::string& path,
                                                    const std::vector<std::string>& features = {},
                                                    const std::string& id_attribute = {},
                                                    GeneSpanCounts* counts = nullptr);

}  // namespace flagen::genomics
