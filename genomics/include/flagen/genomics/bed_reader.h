#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flagen/genomics/interval.h"

namespace flagen::genomics {

/// One row of a BED file. Columns past the sixth are checked for number only and dropped.
struct BedRecord {
    Interval interval;
    std::string name;                  ///< Column 4; empty if absent.
    std::optional<double> score;       ///< Column 5; nothing if absent or ".".
    Strand strand = Strand::kUnknown;  ///< Column 6; kUnknown if absent or ".".
    std::int64_t line_number = 0;      ///< 1-based line of the file.
};

/// Streams a BED file of 3 or more columns: plain, gzip or bgzip.
///
/// | met in the file                                          | policy  |
/// |----------------------------------------------------------|---------|
/// | fewer than 3 columns, spaces instead of tabs             | error   |
/// | start or end negative, not a whole number, too large     | error   |
/// | end < start, end == start (no base to read)              | error   |
/// | empty contig or one with white space                     | error   |
/// | score not a number, strand other than + - .              | error   |
/// | rows with different numbers of columns                   | error   |
/// | NUL or other binary bytes, truncated or damaged gzip     | error   |
/// | lines of `track`, `browser`, `#`; blank lines            | skipped |
/// | CRLF line ends, a UTF-8 byte order mark                  | dropped |
///
/// Contig names and lengths are not known here: whoever has the genome checks them.
class BedReader {
  public:
    /// @throws UserError (kInputFile) if the file cannot be opened or is a truncated bgzip file.
    explicit BedReader(const std::string& path);
    ~BedReader();
    BedReader(BedReader&&) noexcept;
    BedReader& operator=(BedReader&&) noexcept;

    /// Reads the next row into `record`; false at the end of the file.
    ///
    /// @throws UserError (kInputFile) naming the fault, the value, the file and the line.
    bool next(BedRecord& record);

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

/// Reads all rows of a BED file in file order.
///
/// @throws UserError (kInputFile) as BedReader does, and if the file holds no row at all.
[[nodiscard]] std::vector<BedRecord> read_bed(const std::string& path);

}  // namespace flagen::genomics
