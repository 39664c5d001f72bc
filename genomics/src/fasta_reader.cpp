#include "flagen/genomics/fasta_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base_alphabet.h"
#include "fasta_file.h"
#include "fasta_index.h"
#include "fasta_scanner.h"
#include "flagen/error.h"

namespace flagen::genomics {
namespace {

ContigTable make_contigs(const std::vector<FastaRecord>& records, const FastaOptions& options,
                         const std::string& path) {
    std::vector<Contig> contigs;
    contigs.reserve(records.size());
    for (const FastaRecord& record : records) {
        contigs.push_back({record.name, record.length_bp, false});
    }
    const ContigTable linear(contigs);
    for (const std::string& name : options.circular_contigs) {
        const auto index = linear.find(name);
        if (!index) {
            const auto hint = linear.likely_alias(name);
            throw_user_error(UserFault::kConfig, "circular contig is not in the FASTA: ", name,
                             " (", path, ")", hint ? "; did you mean \"" + *hint + "\"?" : "");
        }
        contigs[*index].circular = true;
    }
    return ContigTable(std::move(contigs));
}

// Offset in the uncompressed file of base `position` of a record.
std::int64_t byte_of_base(const FastaRecord& record, std::int64_t position) {
    return record.offset_bytes + position / record.line_bases * record.line_bytes +
           position % record.line_bases;
}

// Moves the bases of raw file bytes, which begin at base `position`, together over the line ends.
// Returns their number; false bytes at line ends show as a wrong number or as wrong letters.
std::size_t drop_line_ends(std::string& raw, const FastaRecord& record, std::int64_t position) {
    const auto line_bases = static_cast<std::size_t>(record.line_bases);
    const auto line_end = static_cast<std::size_t>(record.line_bytes - record.line_bases);
    std::size_t column = static_cast<std::size_t>(position % record.line_bases);
    std::size_t in = 0;
    std::size_t out = 0;
    while (in < raw.size()) {
        const std::size_t piece = std::min(line_bases - column, raw.size() - in);
        std::memmove(raw.data() + out, raw.data() + in, piece);
        out += piece;
        in += piece;
        if (in < raw.size()) {
            if (in + line_end > raw.size() || raw[in + line_end - 1] != '\n') {
                return std::string::npos;
            }
            in += line_end;
        }
        column = 0;
    }
    return out;
}

}  // namespace

struct FastaReader::State {
    FastaFile file;
    FastaSummary summary;
    ContigTable contigs;
    std::vector<FastaRecord> records;
};

FastaReader::FastaReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
FastaReader::FastaReader(FastaReader&&) noexcept = default;
FastaReader& FastaReader::operator=(FastaReader&&) noexcept = default;
FastaReader::~FastaReader() = default;

FastaReader FastaReader::open(const std::string& path, const FastaOptions& options) {
    FastaFile file(path);
    const bool has_end = file.ends_with_eof_block();
    FLAGEN_USER_CHECK(UserFault::kInputFile, has_end || options.allow_truncated_bgzf,
                      "bgzip file has no end-of-file block, so it is likely truncated: ", path,
                      "; copy it again, or pass --allow-truncated to use what is there");
    FastaScanner scanner(path);
    file.read_all([&](const char* data, std::size_t size) { scanner.consume(data, size); });
    FastaContents contents = scanner.finish();

    FastaSummary summary;
    summary.index_file_checked = check_fasta_index(path, contents);
    summary.num_bases = contents.num_bases;
    summary.num_iupac_bases = contents.counts.num_iupac;
    summary.num_uracil_bases = contents.counts.num_uracil;
    summary.empty_contigs = std::move(contents.empty_records);
    summary.bgzip = file.is_bgzip();
    summary.end_of_file_block_missing = !has_end;
    summary.md5 = std::move(contents.md5);
    ContigTable contigs = make_contigs(contents.records, options, path);
    return FastaReader(std::make_unique<State>(State{
        std::move(file), std::move(summary), std::move(contigs), std::move(contents.records)}));
}

const std::string& FastaReader::path() const { return state_->file.path(); }
const FastaSummary& FastaReader::summary() const { return state_->summary; }
const ContigTable& FastaReader::contigs() const { return state_->contigs; }

std::string FastaReader::fetch(const Interval& interval) const {
    const FastaRecord& record = state_->records[checked_contig(interval, path())];
    if (interval.length_bp() == 0) {
        return {};
    }
    const std::int64_t first = byte_of_base(record, interval.start_bp);
    const std::int64_t last = byte_of_base(record, interval.end_bp - 1);
    std::string bases = state_->file.read(first, last + 1 - first);
    BaseCounts counts;
    const std::size_t size = drop_line_ends(bases, record, interval.start_bp);
    const bool sound = size == static_cast<std::size_t>(interval.length_bp()) &&
                       normalise_bases(bases.data(), size, counts) == size;
    FLAGEN_USER_CHECK(UserFault::kInputFile, sound,
                      "FASTA file was changed while it was in use: ", path(), ", contig ",
                      record.name, "; start again");
    bases.resize(size);
    return bases;
}

}  // namespace flagen::genomics
