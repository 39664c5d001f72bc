#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flagen/error.h"
#include "hts_handles.h"

namespace flagen::genomics {

/// Reads a text file line by line: plain, gzip or bgzip, told apart by content.
///
/// Drops LF and CRLF line ends and a UTF-8 byte order mark; the last line may lack its end. Every
/// fault of the file is a UserError (kInputFile) with file and line: NUL or a carriage return
/// inside a line, a line above the limit, a truncated or damaged gzip stream (checksums are
/// verified), a bgzip file without its end-of-file block.
class TextLineReader {
  public:
    /// A line above this is taken for damage or another kind of file; memory stays bounded.
    static constexpr std::size_t kMaxLineBytes = std::size_t{16} << 20;

    explicit TextLineReader(std::string path, std::size_t max_line_bytes = kMaxLineBytes);

    /// Moves to the next line; false at the end of the file. The view ends with the next call.
    bool next(std::string_view& line);

    /// 1-based number of the line that next() gave last; 0 before the first.
    [[nodiscard]] std::int64_t line_number() const { return line_number_; }
    [[nodiscard]] const std::string& path() const { return path_; }

    /// Throws the UserError "<parts> (<path>:<line>)" for the current line.
    template <typename... Parts>
    [[noreturn]] void fail(Parts&&... parts) const {
        throw_user_error(UserFault::kInputFile, std::forward<Parts>(parts)..., " (", path_, ":",
                         line_number_, ")");
    }

  private:
    bool refill();
    std::string_view finish_line(std::string_view line) const;

    std::string path_;
    std::size_t max_line_bytes_;
    BgzfHandle file_;
    std::vector<char> block_;
    std::size_t block_begin_ = 0;
    std::size_t block_end_ = 0;
    std::string pending_;  // Start of a line that began in an earlier block.
    std::int64_t line_number_ = 0;
};

/// Quotes a value for a message: control characters become '?', long values are cut.
[[nodiscard]] std::string quoted(std::string_view value);

/// Splits `line` at every `separator` into `fields`, which it clears first; empty fields count.
void split_fields(std::string_view line, char separator, std::vector<std::string_view>& fields);

/// Parses a decimal whole number of digits alone; false for anything else, signs included, and for
/// values above 2^53, which no contig reaches.
[[nodiscard]] bool parse_position(std::string_view text, std::int64_t& value);

/// Parses a decimal number with an optional sign; false if a part of `text` is left or the value
/// does not fit fp64. "inf" and "nan" parse.
[[nodiscard]] bool parse_number(std::string_view text, double& value);

}  // namespace flagen::genomics
