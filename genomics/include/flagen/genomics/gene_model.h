#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "flagen/genomics/interval.h"
#include "flagen/genomics/range.h"

namespace flagen::genomics {

/// One transcript of a gene. Exons and CDS are the file's rows, sorted ascending, on any strand.
struct Transcript {
    std::string id;
    std::string biotype;        ///< transcript_biotype, transcript_type, biotype, or the GFF3 type.
    std::int64_t start_bp = 0;  ///< First base, 0-based.
    std::int64_t end_bp = 0;    ///< One past the last base.
    std::vector<Range> exons;   ///< Empty where the file has none (bacterial GFF3).
    std::vector<Range> cds;     ///< With the stop codon in GFF3, without it in GTF.
};

/// One gene with its transcripts in file order.
struct Gene {
    std::string id;       ///< Value of GeneModel::id_attribute().
    std::string name;     ///< gene_name, gene or Name; empty if the file gives none.
    std::string biotype;  ///< gene_biotype, gene_type, biotype, or a GFF3 type other than "gene".
    std::string contig;
    std::int64_t start_bp = 0;  ///< Of the gene row; without one, of its parts.
    std::int64_t end_bp = 0;    ///< May pass the contig end on circular contigs.
    Strand strand = Strand::kUnknown;
    std::vector<Transcript> transcripts;

    [[nodiscard]] Interval interval() const { return {contig, start_bp, end_bp}; }

    /// Union of all exons; a transcript without exon rows counts by its CDS, without those by its
    /// own span; a gene without transcripts by its span.
    [[nodiscard]] std::vector<Range> exon_union() const;
    /// Union of all coding pieces; empty for a gene without CDS rows.
    [[nodiscard]] std::vector<Range> cds_union() const;
};

/// Genes, transcripts, exons and coding pieces of a GTF or GFF3 file.
///
/// GTF: rows are grouped by gene_id and transcript_id; `gene` and `transcript` rows may be absent.
/// GFF3: rows are joined by ID and Parent, children before or after their parents. A gene is a
/// parentless row of type gene, pseudogene or *_gene, or a parentless row of another type above (or
/// itself) an exon or CDS row. Exons and CDS belong to their Parent; where that is the gene itself
/// (NCBI's gene -> CDS) each CDS ID makes a transcript. Rows with one ID are one feature.
class GeneModel {
  public:
    /// @throws UserError (kInputFile) for a file without genes, rows of one gene on different
    ///         contigs or strands, an unknown or circular Parent, a GTF row without gene_id, and
    ///         as AnnotationReader does. Lines are named.
    [[nodiscard]] static GeneModel load(const std::string& path);

    /// In the order of their first row.
    [[nodiscard]] const std::vector<Gene>& genes() const { return genes_; }

    /// The gene with this id, or null. Valid as long as the model.
    [[nodiscard]] const Gene* find(const std::string& id) const;

    /// gene_id in GTF. In GFF3 the first of gene_id, locus_tag, ID that every gene has with a
    /// value of its own.
    [[nodiscard]] const std::string& id_attribute() const { return id_attribute_; }

    [[nodiscard]] std::size_t num_transcripts() const;

  private:
    GeneModel(std::vector<Gene> genes, std::string id_attribute);

    std::vector<Gene> genes_;
    std::string id_attribute_;
    std::unordered_map<std::string, std::size_t> rows_;
};

}  // namespace flagen::genomics
