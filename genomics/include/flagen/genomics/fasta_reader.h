#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "flagen/genomics/reference_genome.h"

namespace flagen::genomics {

/// How a FASTA file is opened.
struct FastaOptions {
    std::vector<std::string> circular_contigs = {};  ///< Names of contigs without ends.
    bool allow_truncated_bgzf = false;  ///< Accept bgzip without its end-of-file block.
};

/// What the pass over a FASTA file found.
struct FastaSummary {
    std::int64_t num_bases = 0;              ///< Bases of all contigs.
    std::int64_t num_iupac_bases = 0;        ///< RYSWKMBDHV, all read as N.
    std::int64_t num_uracil_bases = 0;       ///< U, read as T.
    std::vector<std::string> empty_contigs;  ///< Records without a base, skipped.
    bool bgzip = false;                      ///< Compressed with bgzip.
    bool end_of_file_block_missing = false;  ///< Only with allow_truncated_bgzf.
    bool index_file_checked = false;         ///< A .fai stood beside the file and agrees with it.

    /// MD5, 32 lower-case hex digits, of the bases as fetch() delivers them (upper-case ACGTN), all
    /// contigs one after another in file order, without names or line ends. Where a file has
    /// neither U nor IUPAC codes, `grep -v '>' ref.fa | tr -d '\r\n' | tr a-z A-Z | md5sum`.
    std::string md5;
};

/// A FASTA file, plain or bgzip, read at random places.
///
/// open() reads the whole file once: every character is checked, every bgzip block's CRC is
/// verified, and the index is built in memory. Nothing is written, so a read-only folder will do. A
/// `.fai` beside the file is compared with what was found and must agree in full; a `.gzi` is not
/// used. Memory is bounded by the number of contigs and bgzip blocks, whatever the length of lines.
///
/// Format: names reach to the first blank of the '>' line; lines of one record are equally long but
/// for the last one (the faidx rule); CRLF and a missing final newline are accepted; blank lines
/// only between records. Records without bases are skipped and counted. Letters as ReferenceGenome
/// says; gaps ('-'), stops ('*'), digits, blanks and all else are errors that name the line.
class FastaReader final : public ReferenceGenome {
  public:
    /// @throws flagen::UserError (kInputFile) naming file, line and contig if the file cannot be
    ///         read, breaks the format, is damaged or plain gzip, or its .fai does not belong to
    ///         it; (kConfig) if a circular contig is unknown.
    [[nodiscard]] static FastaReader open(const std::string& path,
                                          const FastaOptions& options = {});

    FastaReader(FastaReader&&) noexcept;
    FastaReader& operator=(FastaReader&&) noexcept;
    ~FastaReader() override;

    [[nodiscard]] const std::string& path() const;
    [[nodiscard]] const FastaSummary& summary() const;
    [[nodiscard]] const ContigTable& contigs() const override;

    /// As ReferenceGenome::fetch(). Any number of threads may call it at once; each call borrows a
    /// file handle from a pool.
    ///
    /// @throws flagen::UserError (kInputFile) also if the file was changed after open().
    [[nodiscard]] std::string fetch(const Interval& interval) const override;

  private:
    struct State;
    explicit FastaReader(std::unique_ptr<State> state);

    std::unique_ptr<State> state_;
};

}  // namespace flagen::genomics
