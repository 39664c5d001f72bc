#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base_alphabet.h"
#include "hts_handles.h"

namespace flagen::genomics {

/// One record of a FASTA file with its geometry, as a row of a .fai gives it.
struct FastaRecord {
    std::string name;
    std::int64_t length_bp = 0;
    std::int64_t offset_bytes = 0;  ///< Of the first base, in the uncompressed file.
    std::int64_t line_bases = 0;    ///< Bases of every line but the last.
    std::int64_t line_bytes = 0;    ///< The same with the line end.
    std::int64_t header_line = 0;   ///< Number of the '>' line, from 1.
};

/// What a FASTA file holds.
struct FastaContents {
    std::vector<FastaRecord> records;        ///< With bases, in file order.
    std::vector<std::string> empty_records;  ///< Names of records without bases.
    std::int64_t num_bases = 0;
    BaseCounts counts;
    std::string md5;  ///< As FastaSummary::md5.
};

/// Validates the text of a FASTA file that arrives piece by piece, and measures its records.
///
/// Keeps one batch of bases, whatever the length of lines and records. Every fault is a UserError
/// (kInputFile) that names file, line and contig.
class FastaScanner {
  public:
    explicit FastaScanner(std::string path);

    /// Takes the next `size` bytes.
    void consume(const char* data, std::size_t size);

    /// Ends the file. Call once, last.
    [[nodiscard]] FastaContents finish();

  private:
    enum class State { kLineStart, kName, kDescription, kSequence };

    const char* start_line(const char* at);
    const char* read_name(const char* at, const char* end);
    const char* read_description(const char* at, const char* end);
    const char* read_sequence(const char* at, const char* end);
    void begin_record();
    void end_header();
    void end_record();
    void append_bases(const char* bases, std::size_t size);
    void store_bases(const char* bases, std::size_t size);
    void end_sequence_line(bool newline);
    void check_line_may_follow();
    void flush_bases();
    [[noreturn]] void fail_before_first_record(char first) const;
    [[noreturn]] void fail_at_base(std::int64_t index, char letter) const;
    [[noreturn]] void fail(std::int64_t line, const std::string& fault,
                           const std::string& remedy = {}) const;

    std::string path_;
    FastaContents contents_;
    Md5Handle md5_;
    std::unordered_map<std::string, std::int64_t> header_lines_;

    State state_ = State::kLineStart;
    std::int64_t offset_bytes_ = 0;  // Of the piece being consumed.
    std::int64_t line_ = 1;

    bool in_record_ = false;
    FastaRecord record_;
    std::int64_t bases_in_line_ = 0;
    bool pending_return_ = false;  // A '\r' that must be followed by '\n'.
    bool blank_seen_ = false;      // A blank line stands after the record's header.
    bool short_seen_ = false;      // A line that can only be the record's last.
    std::vector<char> batch_;      // Bases of record_ not yet checked; ends at record_.length_bp.
    std::size_t batch_size_ = 0;
};

}  // namespace flagen::genomics
