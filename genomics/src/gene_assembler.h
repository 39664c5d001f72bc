#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "flagen/genomics/annotation_reader.h"
#include "flagen/genomics/gene_model.h"

namespace flagen::genomics {

/// Where a row lies and which line said so.
struct RowPlace {
    std::string contig;
    Strand strand = Strand::kUnknown;
    Range range;
    std::int64_t line_number = 0;
};

[[nodiscard]] RowPlace place_of(const AnnotationRecord& record);

/// First non-empty value among the attributes `keys`, or an empty string.
[[nodiscard]] std::string first_attribute(const AnnotationRecord& record,
                                          std::initializer_list<const char*> keys);

/// Builds genes out of rows that come in any order, keyed by names of the builder's choice.
///
/// A row's own span wins over the span of its parts; every row of a gene must lie on its contig
/// and strand.
class GeneAssembler {
  public:
    explicit GeneAssembler(std::string path) : path_(std::move(path)) {}

    /// Finds or adds the gene `key`. The reference ends with the next call.
    ///
    /// @throws UserError (kInputFile) if `place` disagrees with the gene's contig or strand.
    Gene& gene(const std::string& key, const RowPlace& place);

    /// Widens the gene's own span by a row of the gene itself.
    void add_gene_row(const std::string& key, const RowPlace& place);

    /// Finds or adds a transcript of a gene. The reference ends with the next call.
    Transcript& transcript(const std::string& key, const std::string& transcript_key,
                           const RowPlace& place);

    /// Widens the transcript's own span by a row of the transcript itself.
    void add_transcript_row(const std::string& key, const std::string& transcript_key,
                            const RowPlace& place);

    /// Adds an exon, or a coding piece.
    void add_exon(const std::string& key, const std::string& transcript_key, const RowPlace& place);
    void add_cds(const std::string& key, const std::string& transcript_key, const RowPlace& place);

    /// Genes in the order of their lowest line, parts sorted.
    [[nodiscard]] std::vector<Gene> take();

  private:
    struct Bounds {
        Range own;    ///< Of the rows of the thing itself; empty if there were none.
        Range parts;  ///< Of everything below it.

        [[nodiscard]] Range result() const { return own.end_bp > 0 ? own : parts; }
    };
    struct TranscriptDraft {
        Transcript transcript;
        Bounds bounds;
    };
    struct GeneDraft {
        Gene gene;
        Bounds bounds;
        std::int64_t first_line = 0;
        std::vector<TranscriptDraft> transcripts;
        std::map<std::string, std::size_t> transcript_rows;
    };

    GeneDraft& draft(const std::string& key, const RowPlace& place);
    TranscriptDraft& transcript_draft(const std::string& key, const std::string& transcript_key,
                                      const RowPlace& place);
    static void widen(Range& range, const Range& by);

    std::string path_;
    std::vector<GeneDraft> drafts_;
    std::map<std::string, std::size_t> rows_;
};

/// Reads all rows of `reader`, the first of which is in `record`, into genes of a GTF.
[[nodiscard]] std::vector<Gene> assemble_gtf(AnnotationReader& reader, AnnotationRecord& record);

/// As assemble_gtf() for GFF3; also says which attribute the ids come from.
[[nodiscard]] std::pair<std::vector<Gene>, std::string> assemble_gff3(AnnotationReader& reader,
                                                                      AnnotationRecord& record);

}  // namespace flagen::genomics
