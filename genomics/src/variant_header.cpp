#include "variant_header.h"

#include <string_view>
#include <unordered_set>
#include <utility>

#include "flagen/error.h"

namespace flagen::genomics {
namespace {

constexpr std::string_view kFormatLine = "##fileformat=";
constexpr std::string_view kVersion = "VCFv4.";
constexpr std::string_view kColumns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO";
constexpr std::size_t kMaxHeaderBytes = std::size_t{256} << 20;

void check_format_line(const TextLineReader& lines, std::string_view line) {
    if (!line.starts_with('#')) {
        lines.fail("VCF file has no header; it begins with ", quoted(line),
                   "; the first line must be ##fileformat=VCFv4.x");
    }
    if (!line.starts_with(kFormatLine)) {
        lines.fail("VCF header does not begin with ##fileformat=VCFv4.x but with ", quoted(line));
    }
    line.remove_prefix(kFormatLine.size());
    if (!line.starts_with(kVersion)) {
        lines.fail("VCF version is not one of VCFv4.x: ", quoted(line));
    }
}

void check_column_line(const TextLineReader& lines, std::string_view line,
                       std::vector<std::string_view>& columns) {
    if (!line.starts_with(kColumns)) {
        lines.fail(
            "VCF column line does not begin with CHROM, POS, ID, REF, ALT, QUAL, FILTER and "
            "INFO, separated by tabs: ",
            quoted(line));
    }
    split_fields(line, '\t', columns);
    if (columns.size() > 8 && columns[8] != "FORMAT") {
        lines.fail("ninth column of the VCF is not FORMAT: ", quoted(columns[8]));
    }
    std::unordered_set<std::string_view> seen;
    for (std::size_t i = 9; i < columns.size(); ++i) {
        if (columns[i].empty() || !seen.insert(columns[i]).second) {
            lines.fail("sample of the VCF has no name or stands twice: ", quoted(columns[i]));
        }
    }
}

// Copies contigs and samples out of HTSlib's dictionary.
void fill_lists(VariantHeader& header, const std::string& path) {
    const bcf_hdr_t* handle = header.handle.get();
    for (int i = 0; i < handle->n[BCF_DT_CTG]; ++i) {
        const bcf_idpair_t& pair = handle->id[BCF_DT_CTG][i];
        if (pair.key != nullptr && pair.val != nullptr) {
            header.contigs.push_back(
                {pair.key, static_cast<std::int64_t>(pair.val->info[0]), false});
        }
    }
    for (int i = 0; i < bcf_hdr_nsamples(handle); ++i) {
        FLAGEN_USER_CHECK(UserFault::kInputFile, handle->samples[i] != nullptr,
                          "header of the file is damaged: ", path);
        header.samples.emplace_back(handle->samples[i]);
    }
}

}  // namespace

VariantHeader read_vcf_header(TextLineReader& lines) {
    std::string_view line;
    std::string text;
    std::vector<std::string_view> columns;
    while (columns.empty()) {
        if (!lines.next(line)) {
            throw_user_error(
                UserFault::kInputFile,
                text.empty() ? "VCF file is empty: " : "VCF header has no #CHROM line: ",
                lines.path());
        }
        if (lines.line_number() == 1) {
            check_format_line(lines, line);
        }
        if (!line.starts_with("##")) {
            if (!line.starts_with('#')) {
                lines.fail("VCF header has no #CHROM line before ", quoted(line));
            }
            check_column_line(lines, line, columns);
        }
        if (text.size() + line.size() > kMaxHeaderBytes) {
            lines.fail("VCF header is longer than ", kMaxHeaderBytes, " bytes");
        }
        text.append(line).push_back('\n');
    }
    VariantHeader header;
    header.num_columns = columns.size();
    header.handle.reset(bcf_hdr_init("r"));
    FLAGEN_CHECK(header.handle != nullptr, "out of memory");
    if (bcf_hdr_parse(header.handle.get(), text.data()) != 0) {
        throw_user_error(UserFault::kInputFile, "VCF header cannot be parsed: ", lines.path(),
                         "; bcftools view -h names the line");
    }
    fill_lists(header, lines.path());
    return header;
}

VariantHeader read_bcf_header(htsFile* file, const std::string& path) {
    VariantHeader header;
    header.handle.reset(bcf_hdr_read(file));
    FLAGEN_USER_CHECK(UserFault::kInputFile, header.handle != nullptr,
                      "header of the BCF file is truncated or damaged: ", path,
                      "; copy or make it again");
    fill_lists(header, path);
    return header;
}

}  // namespace flagen::genomics
