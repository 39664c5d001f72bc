#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/interval.h"

namespace flagen::genomics {

/// Genotypes of all samples at one record, from FORMAT/GT.
struct VariantGenotypes {
    static constexpr std::int32_t kMissing = -1;  ///< '.'
    static constexpr std::int32_t kNoAllele =
        -2;  ///< Past the alleles of a sample of lower ploidy.

    std::int64_t ploidy = 0;  ///< Of the sample with most alleles.

    /// [samples, ploidy] row-major: 0 is REF, i the i-th ALT, or one of the constants above.
    std::vector<std::int32_t> alleles;

    /// [samples] 1 if every separator is '|', and for haploid calls, which have none.
    std::vector<std::uint8_t> phased;
};

/// One record of a VCF or BCF file.
struct VariantRecord {
    std::string contig;

    /// POS as a 0-based position: the first base of REF. POS 0 (before the first base, a telomere)
    /// gives -1, and nothing says that a position lies on the contig: whoever has the genome
    /// checks.
    std::int64_t start_bp = 0;

    std::string id;                 ///< Empty if '.'; several ids stay joined by ';'.
    std::string ref;                ///< As in the file: case, N and IUPAC codes are kept.
    std::vector<std::string> alts;  ///< As in the file, symbolic and breakends too; empty if '.'.
    std::optional<float> quality;   ///< QUAL; nothing if '.'.
    std::vector<std::string> filters;  ///< FILTER, "PASS" among them; empty if '.'.

    /// INFO/END as a 0-based, half-open end (the number itself, which the file counts from 1 and
    /// includes). May lie before start_bp if the file says so.
    std::optional<std::int64_t> end_bp;

    /// Nothing if the record has no GT, the file no samples, or they were not asked for.
    std::optional<VariantGenotypes> genotypes;

    std::uint64_t row = 0;         ///< Place among the records that next() gave, from 0.
    std::int64_t line_number = 0;  ///< 1-based line of VCF text; 0 in BCF and region queries.
};

/// How a VCF or BCF file is read.
struct VariantOptions {
    bool genotypes = true;  ///< Decode FORMAT/GT; without it files of many samples read faster.
};

/// A local VCF (plain, gzip, bgzip) or BCF file, through HTSlib; told apart by content.
///
/// Format: the VCF specification, versions 4.x (samtools/hts-specs). HTSlib reads much silently as
/// something else ("five" as position 0, an empty REF as '.'), so each text line is checked first.
///
/// | met in the file                                                  | policy           |
/// |------------------------------------------------------------------|------------------|
/// | no ##fileformat=VCFv4.x, no #CHROM line, repeated sample         | error            |
/// | too few or too many columns, empty fields, empty REF or ALT      | error            |
/// | POS, END or QUAL not a number, POS or END negative or above 2^53 | error            |
/// | contig absent from a header that lists contigs                   | error            |
/// | blanks, control or non-ASCII characters in the first 7 columns   | error            |
/// | lines above 64 MiB, NUL, damaged or truncated gzip, bgzip or BCF | error            |
/// | a header without contigs                                         | accepted         |
/// | unsorted records, POS 0, POS past the contig, odd alleles        | kept as they are |
/// | undeclared FILTER, INFO and FORMAT tags, CRLF, byte order mark   | accepted         |
///
/// Errors name the file with line or record number. One thread at a time per object. HTSlib's own
/// messages are switched off for the whole process by the first open().
class VariantReader {
  public:
    /// Reads the header.
    ///
    /// @throws UserError (kInputFile) if the file cannot be read or its header is malformed.
    [[nodiscard]] static VariantReader open(const std::string& path,
                                            const VariantOptions& options = {});

    ~VariantReader();
    VariantReader(VariantReader&&) noexcept;
    VariantReader& operator=(VariantReader&&) noexcept;

    [[nodiscard]] const std::string& path() const;

    /// Contigs of the header in its order, perhaps none; length_bp is 0 where it gives no length.
    [[nodiscard]] const std::vector<Contig>& contigs() const;

    [[nodiscard]] const std::vector<std::string>& samples() const;

    /// Reads the next record into `record`; false at the end. All records in file order, or those
    /// of set_regions().
    ///
    /// @throws UserError (kInputFile) naming the fault, the value, and the file with its line.
    bool next(VariantRecord& record);

    /// Restricts next() to records that overlap `regions` by REF or up to INFO/END, as
    /// `bcftools view -r` does, and starts from the first. Each record comes once: regions of one
    /// contig are sorted and joined, contigs keep the order of their first region.
    ///
    /// @throws UserError (kInputFile) if the file is not compressed with bgzip, has no index
    ///         (.csi or .tbi), an older one or another file's, or does not know a contig.
    void set_regions(const std::vector<Interval>& regions);

  private:
    struct State;
    explicit VariantReader(std::unique_ptr<State> state);

    std::unique_ptr<State> state_;
};

}  // namespace flagen::genomics
