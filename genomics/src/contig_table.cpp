#include "flagen/genomics/contig_table.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "flagen/error.h"

namespace flagen::genomics {
namespace {

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

// Value of a roman numeral of 1 to 39 in lower case, or 0.
int roman_value(const std::string& text) {
    static constexpr std::array<const char*, 10> kOnes = {"",  "i",  "ii",  "iii",  "iv",
                                                          "v", "vi", "vii", "viii", "ix"};
    static constexpr std::array<const char*, 4> kTens = {"", "x", "xx", "xxx"};
    for (int value = 1; value < 40; ++value) {
        const auto tens = static_cast<std::size_t>(value / 10);
        const auto ones = static_cast<std::size_t>(value % 10);
        if (text == std::string(kTens[tens]) + kOnes[ones]) {
            return value;
        }
    }
    return 0;
}

// Spellings of one contig that share a key are likely the same: "chrIV", "4"; "MT", "chrM".
std::string spelling_key(const std::string& name) {
    std::string key = lower(name);
    for (const char* prefix : {"chromosome", "chrom", "chr"}) {
        const std::string text = prefix;
        if (key.size() > text.size() && key.compare(0, text.size(), text) == 0) {
            key.erase(0, text.size());
            break;
        }
    }
    key.erase(0, key.find_first_not_of("_ "));
    for (const char* mitochondrion : {"m", "mt", "mito", "mitochondrion", "mtdna"}) {
        if (key == mitochondrion) {
            return "mitochondrion";
        }
    }
    // An accession's version: letters, digits, '.', digits.
    const std::size_t dot = key.rfind('.');
    if (dot != std::string::npos && dot > 3 && dot + 1 < key.size() &&
        key.find_first_not_of("0123456789", dot + 1) == std::string::npos &&
        std::isdigit(static_cast<unsigned char>(key[dot - 1])) != 0) {
        key.erase(dot);
    }
    key.erase(0, std::min(key.find_first_not_of('0'), key.size()));
    const int number = roman_value(key);
    return number > 0 ? std::to_string(number) : key;
}

}  // namespace

ContigTable::ContigTable(std::vector<Contig> contigs) : contigs_(std::move(contigs)) {
    index_.reserve(contigs_.size());
    for (std::size_t i = 0; i < contigs_.size(); ++i) {
        const Contig& contig = contigs_[i];
        FLAGEN_CHECK(!contig.name.empty(), "contig ", i, " has no name");
        FLAGEN_CHECK(contig.length_bp > 0, "contig ", contig.name, " has ", contig.length_bp,
                     " bases");
        FLAGEN_CHECK(index_.emplace(contig.name, i).second, "contig stands twice: ", contig.name);
    }
}

std::vector<std::string> ContigTable::names() const {
    std::vector<std::string> names;
    names.reserve(contigs_.size());
    for (const Contig& contig : contigs_) {
        names.push_back(contig.name);
    }
    return names;
}

std::int64_t ContigTable::total_length_bp() const {
    std::int64_t total = 0;
    for (const Contig& contig : contigs_) {
        total += contig.length_bp;
    }
    return total;
}

std::optional<std::size_t> ContigTable::find(const std::string& name) const {
    const auto found = index_.find(name);
    return found == index_.end() ? std::nullopt : std::optional(found->second);
}

const Contig& ContigTable::require(const std::string& name, const std::string& source) const {
    const auto index = find(name);
    if (index) {
        return contigs_[*index];
    }
    const auto hint = likely_alias(name);
    throw_user_error(UserFault::kInputFile, "contig is not in the FASTA: ", name, " (", source, ")",
                     hint ? "; likely \"" + *hint + "\" there: say so in an alias table" : "");
}

std::optional<std::string> ContigTable::likely_alias(const std::string& name) const {
    const std::string key = spelling_key(name);
    for (const Contig& contig : contigs_) {
        if (contig.name != name && spelling_key(contig.name) == key) {
            return contig.name;
        }
    }
    return std::nullopt;
}

Interval parse_region(const std::string& text, const ContigTable& contigs) {
    const auto whole = contigs.find(text);
    const bool braced = !text.empty() && text.front() == '{';
    if (whole && !braced) {
        const std::size_t colon = text.rfind(':');
        FLAGEN_USER_CHECK(UserFault::kConfig,
                          colon == std::string::npos || !contigs.find(text.substr(0, colon)),
                          "region can be read in two ways: \"", text, "\"; write {", text, "} or {",
                          text.substr(0, colon), "}", text.substr(colon));
        return {text, 0, contigs.at(*whole).length_bp};
    }
    Interval region = parse_region(text);
    const auto index = contigs.find(region.contig);
    if (!index) {
        const auto hint = contigs.likely_alias(region.contig);
        throw_user_error(UserFault::kConfig, "contig is not in the FASTA: ", region.contig,
                         " (region \"", text, "\")",
                         hint ? "; did you mean \"" + *hint + "\"?" : "");
    }
    if (region.end_bp == kContigEnd) {
        region.end_bp = contigs.at(*index).length_bp;
        FLAGEN_USER_CHECK(UserFault::kConfig, region.start_bp < region.end_bp,
                          "region starts after the end of its contig: \"", text, "\"; ",
                          region.contig, " has ", region.end_bp, " bp");
    }
    return region;
}

}  // namespace flagen::genomics
