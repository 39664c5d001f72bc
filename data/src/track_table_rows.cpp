#include "track_table_rows.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "flagen/atomic_file.h"
#include "flagen/problems.h"

namespace flagen::data {
namespace {

void split_at_tabs(std::string_view line, std::vector<std::string_view>& fields) {
    fields.clear();
    std::size_t begin = 0;
    for (std::size_t tab = line.find('\t'); tab != std::string_view::npos;
         tab = line.find('\t', begin)) {
        fields.push_back(line.substr(begin, tab - begin));
        begin = tab + 1;
    }
    fields.push_back(line.substr(begin));
}

}  // namespace

TabSeparatedRows::TabSeparatedRows(const std::string& path)
    : path_(path), contents_(read_whole_file(path, UserFault::kInputFile)) {
    if (contents_.starts_with("\xEF\xBB\xBF")) {
        position_ = 3;
    }
    FLAGEN_USER_CHECK(UserFault::kInputFile, contents_.find('\0') == std::string::npos,
                      "NUL byte in a text table, or not a text file: ", path_);
    std::string_view line;
    FLAGEN_USER_CHECK(UserFault::kInputFile, next_line(line) && !line.empty(),
                      "table has no header: ", path_);
    split_at_tabs(line, header_);
    if (header_.size() < 2) {
        fail("header holds no tab; columns are separated by tabs: \"", line, "\"");
    }
}

bool TabSeparatedRows::next_line(std::string_view& line) {
    if (position_ >= contents_.size()) {
        return false;
    }
    const std::size_t end = std::min(contents_.find('\n', position_), contents_.size());
    line = std::string_view(contents_).substr(position_, end - position_);
    if (line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    position_ = end + 1;
    ++line_number_;
    return true;
}

bool TabSeparatedRows::next() {
    std::string_view line;
    while (next_line(line)) {
        if (line.find_first_not_of(" \t") == std::string_view::npos) {
            continue;
        }
        split_at_tabs(line, fields_);
        if (fields_.size() != header_.size()) {
            fail("row has ", fields_.size(), " tab-separated fields, the header has ",
                 header_.size());
        }
        return true;
    }
    return false;
}

std::int64_t TabSeparatedRows::column(std::string_view name) const {
    std::int64_t found = -1;
    for (std::size_t i = 1; i < header_.size(); ++i) {
        if (header_[i] == name) {
            if (found >= 0) {
                fail_at(1, "column stands twice: ", name);
            }
            found = static_cast<std::int64_t>(i);
        }
    }
    return found;
}

std::int64_t TabSeparatedRows::require_column(std::string_view name) const {
    const std::int64_t found = column(name);
    if (found < 0) {
        std::vector<std::string> names(header_.begin() + 1, header_.end());
        fail_at(1, "table has no column \"", name, "\"", did_you_mean(std::string(name), names));
    }
    return found;
}

std::string TabSeparatedRows::name_of(std::int64_t column) const {
    const std::string_view name = header_[static_cast<std::size_t>(column)];
    return name.empty() ? "index" : std::string(name);
}

std::string_view TabSeparatedRows::field(std::int64_t column) const {
    return column < 0 ? std::string_view{} : fields_[static_cast<std::size_t>(column)];
}

std::int64_t TabSeparatedRows::whole_number(std::int64_t column) const {
    const std::string_view text = field(column);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
        fail(name_of(column), " is not a whole number: \"", text, "\"");
    }
    return value;
}

double TabSeparatedRows::number(std::int64_t column) const {
    const std::string_view text = field(column);
    double value = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
        fail(name_of(column), " is not a number: \"", text, "\"");
    }
    return value;
}

}  // namespace flagen::data
