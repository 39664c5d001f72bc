#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flagen/error.h"

namespace flagen::data {

/// A small tab-separated table with a header, whole in memory. Every fault names file and line.
class TabSeparatedRows {
  public:
    /// @throws UserError (kInputFile) if the file cannot be read, is empty or holds a NUL byte.
    explicit TabSeparatedRows(const std::string& path);

    [[nodiscard]] const std::vector<std::string_view>& header() const { return header_; }
    /// Column of this name; -1 if there is none. @throws UserError if it stands twice.
    [[nodiscard]] std::int64_t column(std::string_view name) const;
    /// As column(); a missing one is an error.
    [[nodiscard]] std::int64_t require_column(std::string_view name) const;

    /// Moves to the next row that is not blank; false at the end.
    bool next();
    [[nodiscard]] std::int64_t line_number() const { return line_number_; }

    /// Field of the current row; empty for column -1.
    [[nodiscard]] std::string_view field(std::int64_t column) const;
    [[nodiscard]] std::int64_t whole_number(std::int64_t column) const;
    [[nodiscard]] double number(std::int64_t column) const;

    template <typename... Parts>
    [[noreturn]] void fail_at(std::int64_t line, Parts&&... parts) const {
        throw_user_error(UserFault::kInputFile, std::forward<Parts>(parts)..., " (", path_, ":",
                         line, ")");
    }
    template <typename... Parts>
    [[noreturn]] void fail(Parts&&... parts) const {
        fail_at(line_number_, std::forward<Parts>(parts)...);
    }

  private:
    [[nodiscard]] bool next_line(std::string_view& line);
    [[nodiscard]] std::string name_of(std::int64_t column) const;

    std::string path_;
    std::string contents_;
    std::size_t position_ = 0;
    std::int64_t line_number_ = 0;
    std::vector<std::string_view> header_;
    std::vector<std::string_view> fields_;
};

}  // namespace flagen::data
