#include "fasta_index.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <unordered_set>
#include <vector>

#include "flagen/error.h"

namespace flagen::genomics {
namespace {

constexpr std::size_t kMaxLineBytes = std::size_t{1} << 14U;

// Where a row stands, and the remedy that all faults of an index share.
struct IndexLine {
    const std::string& index_path;
    const std::string& fasta_path;
    std::int64_t number = 0;
};

[[noreturn]] void fail(const IndexLine& line, const std::string& fault) {
    throw_user_error(UserFault::kInputFile, fault, " (", line.index_path, ", line ", line.number,
                     "); delete the index or remake it: samtools faidx ", line.fasta_path);
}

// Text of an index as a message may show it: short, and without control characters.
std::string printable(std::string_view text) {
    std::string shown(text.substr(0, 100));
    for (char& c : shown) {
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7F') {
            c = '?';
        }
    }
    return shown;
}

std::vector<std::string_view> split_tabs(std::string_view text) {
    std::vector<std::string_view> fields;
    while (true) {
        const std::size_t tab = text.find('\t');
        fields.push_back(text.substr(0, tab));
        if (tab == std::string_view::npos) {
            return fields;
        }
        text.remove_prefix(tab + 1);
    }
}

std::int64_t parse_number(std::string_view text, const char* what, const std::string& name,
                          const IndexLine& line) {
    std::int64_t value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || result.ec != std::errc{} || result.ptr != text.data() + text.size() ||
        value < 0) {
        fail(line, "index of the FASTA has a bad " + std::string(what) + " \"" + printable(text) +
                       "\" for contig " + printable(name));
    }
    return value;
}

FastaRecord parse_row(std::string_view text, const IndexLine& line) {
    const auto fields = split_tabs(text);
    if (fields.size() == 6) {
        fail(line, "index is a FASTQ index (6 columns), not one of a FASTA");
    }
    if (fields.size() != 5 || fields[0].empty()) {
        fail(line, "index of the FASTA is malformed: a row needs 5 tab-separated columns, found " +
                       std::to_string(fields.size()));
    }
    FastaRecord row;
    row.name = std::string(fields[0]);
    row.length_bp = parse_number(fields[1], "length", row.name, line);
    row.offset_bytes = parse_number(fields[2], "offset", row.name, line);
    row.line_bases = parse_number(fields[3], "line_blen (bases per line)", row.name, line);
    row.line_bytes = parse_number(fields[4], "line_len (bytes per line)", row.name, line);
    if (row.length_bp > 0 && (row.line_bases == 0 || row.line_bytes < row.line_bases)) {
        fail(line, "index of the FASTA is malformed: line_blen " + std::to_string(row.line_bases) +
                       ", line_len " + std::to_string(row.line_bytes) + " for contig " +
                       printable(row.name));
    }
    return row;
}

void compare_value(std::int64_t in_index, std::int64_t in_file, const char* what,
                   const std::string& name, const IndexLine& line) {
    if (in_index != in_file) {
        fail(line, "index does not belong to this FASTA (stale or another file's): contig " +
                       printable(name) + " has " + what + " " + std::to_string(in_index) +
                       " in the index, " + std::to_string(in_file) + " in " + line.fasta_path);
    }
}

void compare_row(const FastaRecord& row, const FastaRecord& record, const IndexLine& line) {
    if (row.name != record.name) {
        fail(line, "index does not belong to this FASTA (stale or another file's): contig " +
                       printable(row.name) + " in the index, " + record.name + " in " +
                       line.fasta_path + " at line " + std::to_string(record.header_line));
    }
    compare_value(row.length_bp, record.length_bp, "length", row.name, line);
    compare_value(row.offset_bytes, record.offset_bytes, "offset", row.name, line);
    compare_value(row.line_bases, record.line_bases, "line_blen", row.name, line);
    const bool one_line = record.length_bp <= record.line_bases;
    if (!one_line || row.line_bytes > row.line_bases + 2) {
        compare_value(row.line_bytes, record.line_bytes, "line_len", row.name, line);
    }
}

}  // namespace

bool check_fasta_index(const std::string& fasta_path, const FastaContents& contents) {
    const std::string index_path = fasta_path + ".fai";
    std::error_code ignored;
    if (!std::filesystem::exists(index_path, ignored)) {
        return false;
    }
    std::ifstream in(index_path, std::ios::binary);
    FLAGEN_USER_CHECK(UserFault::kInputFile, in.is_open(),
                      "cannot open the index of the FASTA: ", index_path, " (",
                      std::strerror(errno), ")");
    IndexLine line{index_path, fasta_path};
    const std::unordered_set<std::string_view> empty(contents.empty_records.begin(),
                                                     contents.empty_records.end());
    std::vector<char> buffer(kMaxLineBytes);
    std::size_t next = 0;
    while (in.getline(buffer.data(), static_cast<std::streamsize>(buffer.size()))) {
        ++line.number;
        const auto size = static_cast<std::size_t>(in.gcount()) - (in.eof() ? 0 : 1);
        const FastaRecord row = parse_row({buffer.data(), size}, line);
        if (row.length_bp == 0 && empty.contains(row.name)) {
            continue;
        }
        if (next == contents.records.size()) {
            fail(line, "index does not belong to this FASTA (stale or another file's): contig " +
                           printable(row.name) + " is not in " + fasta_path);
        }
        compare_row(row, contents.records[next], line);
        ++next;
    }
    ++line.number;
    if (!in.eof() || in.bad()) {
        fail(line, "index of the FASTA is malformed: the line cannot be read or is longer than " +
                       std::to_string(kMaxLineBytes) + " bytes");
    }
    if (next != contents.records.size()) {
        fail(line,
             "index does not belong to this FASTA (stale or another file's): it ends before "
             "contig " +
                 contents.records[next].name);
    }
    return true;
}

}  // namespace flagen::genomics
