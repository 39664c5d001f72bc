#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "flagen/genomics/interval.h"

namespace flagen::genomics {

enum class AnnotationFormat {
    kUnknown,  ///< No feature row has been read yet.
    kGtf,      ///< GTF 2.2: `key "value";` attributes, as Ensembl, GENCODE, UCSC and NCBI write it.
    kGff3,     ///< GFF3 1.26: `key=value,value;` attributes, percent-encoded.
};

/// One `key value` of column 9. A GFF3 key with several values gives one entry for each.
struct AnnotationAttribute {
    std::string key;
    std::string value;
};

/// One feature row. Coordinates are converted from the file's 1-based closed convention.
struct AnnotationRecord {
    static constexpr int kNoPhase = -1;

    std::string contig;
    std::string source;
    std::string type;           ///< Column 3, for example "gene", "exon", "CDS".
    std::int64_t start_bp = 0;  ///< First base, 0-based.
    std::int64_t end_bp = 0;    ///< One past the last base; past the contig end on circular ones.
    Strand strand = Strand::kUnknown;             ///< kUnknown for "." and "?".
    int phase = kNoPhase;                         ///< 0, 1, 2, or kNoPhase for ".".
    std::vector<AnnotationAttribute> attributes;  ///< In file order; keys may repeat.
    std::int64_t line_number = 0;                 ///< 1-based line of the file.

    /// Returns the first value of `key`, or nothing. Keys are case-sensitive. The view ends with
    /// the record.
    [[nodiscard]] std::optional<std::string_view> attribute(std::string_view key) const;

    /// Returns every value of `key` in file order.
    [[nodiscard]] std::vector<std::string_view> attribute_values(std::string_view key) const;
};

/// Streams the feature rows of a GTF or GFF3 file: plain, gzip or bgzip, LF or CRLF.
///
/// The content decides the format, not the name: a `##gff-version` directive, else column 9 of the
/// first feature. Comments, directives and blank lines are skipped; `##FASTA`, or a line that
/// starts with `>`, ends the features. In GFF3, columns 1 to 3 and the attributes are
/// percent-decoded after they are split (a `%` without two hex digits stays as it is), and every
/// attribute but ID, Name and Target is split at its commas. In GTF a `;` inside quotes belongs to
/// the value, and text is taken as it stands.
///
/// Strict: every row needs 9 tab-separated columns, 1 <= start <= end, a strand of + - . ?, a phase
/// of 0 1 2 . and a numeric score or ".".
///
/// Specifications: GFF3 1.26 of the Sequence Ontology project; GTF 2.2 of the Brent laboratory.
class AnnotationReader {
  public:
    /// @throws UserError (kInputFile) if the file cannot be opened or is a truncated bgzip file.
    explicit AnnotationReader(const std::string& path);
    ~AnnotationReader();
    AnnotationReader(AnnotationReader&&) noexcept;
    AnnotationReader& operator=(AnnotationReader&&) noexcept;

    /// Reads the next feature row into `record`; false at the end of the file.
    ///
    /// @throws UserError (kInputFile) naming the fault, the value, the file and the line.
    bool next(AnnotationRecord& record);

    /// Says the format; known once next() has returned true.
    [[nodiscard]] AnnotationFormat format() const;

    [[nodiscard]] const std::string& path() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace flagen::genomics
