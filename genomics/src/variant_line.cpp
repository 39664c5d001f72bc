#include "variant_line.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "text_line_reader.h"

namespace flagen::genomics {
namespace {

constexpr std::array<const char*, 8> kNames = {"CHROM", "POS",  "ID",     "REF",
                                               "ALT",   "QUAL", "FILTER", "INFO"};
constexpr std::size_t kInfo = 7;

// Cuts the columns before INFO, and INFO; returns the number of columns of the whole line.
std::size_t split_columns(std::string_view line, std::vector<std::string_view>& columns) {
    columns.clear();
    while (columns.size() < kNames.size()) {
        const std::size_t end = line.find('\t');
        columns.push_back(line.substr(0, end));
        if (end == std::string_view::npos) {
            return columns.size();
        }
        line.remove_prefix(end + 1);
    }
    return columns.size() + 1 +
           static_cast<std::size_t>(std::count(line.begin(), line.end(), '\t'));
}

// Checks INFO/END, which HTSlib leaves out where it is no number.
void check_end(std::string_view info, const VariantPlace& place) {
    constexpr std::string_view kKey = "END=";
    while (!info.empty()) {
        const std::size_t size = std::min(info.find(';'), info.size());
        const std::string_view entry = info.substr(0, size);
        std::int64_t end = 0;
        if (entry.starts_with(kKey) && entry != "END=." &&
            !parse_position(entry.substr(kKey.size()), end)) {
            place.fail("INFO/END is not a whole number: ", quoted(entry.substr(kKey.size())));
        }
        info.remove_prefix(std::min(size + 1, info.size()));
    }
}

bool is_printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char letter) { return letter > 0x20 && letter < 0x7F; });
}

}  // namespace

void check_variant_line(std::string_view line, std::size_t num_columns, const VariantPlace& place,
                        std::vector<std::string_view>& columns) {
    const std::size_t found = split_columns(line, columns);
    if (found != num_columns) {
        place.fail("VCF line has ", found, " tab-separated columns, its header ", num_columns, ": ",
                   quoted(line));
    }
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (columns[i].empty()) {
            place.fail(kNames[i], " is empty: ", quoted(line));
        }
        if (i != kInfo && !is_printable(columns[i])) {
            place.fail(kNames[i], " holds a blank or a character that is not printable ASCII: ",
                       quoted(columns[i]));
        }
    }
    std::int64_t position = 0;
    if (!parse_position(columns[1], position)) {
        place.fail("POS is not a whole number from 0 to 2^53: ", quoted(columns[1]));
    }
    const std::string_view alt = columns[4];
    if (alt.starts_with(',') || alt.ends_with(',') || alt.find(",,") != std::string_view::npos) {
        place.fail("ALT holds an empty allele: ", quoted(alt));
    }
    double quality = 0.0;
    if (columns[5] != "." && (!parse_number(columns[5], quality) || !std::isfinite(quality))) {
        place.fail("QUAL is not a number: ", quoted(columns[5]));
    }
    check_end(columns[kInfo], place);
    if (line.find('\0') != std::string_view::npos) {
        place.fail("NUL byte inside a line: not a text file");
    }
}

}  // namespace flagen::genomics
