#include "flagen/genomics/bigwig_reader.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "bigwig_file.h"
#include "bigwig_header.h"
#include "bigwig_index.h"
#include "bigwig_section.h"
#include "flagen/error.h"

namespace flagen::genomics {

struct BigWigReader::State {
    explicit State(const std::string& path)
        : file(path),
          header(read_bigwig_header(file)),
          contigs(read_bigwig_contigs(file, header)),
          sections(header.compressed) {
        for (std::size_t i = 0; i < contigs.size(); ++i) {
            numbers.emplace(contigs[i].name, static_cast<std::uint32_t>(i));
        }
        if (header.index_offset != 0) {
            check_bigwig_index(file, header.index_offset);
        }
        for (const std::uint64_t offset : header.zoom_index_offsets) {
            check_bigwig_index(file, offset);
        }
    }

    BigWigFile file;
    BigWigHeader header;
    std::vector<Contig> contigs;
    std::unordered_map<std::string, std::uint32_t> numbers;
    BigWigSections sections;
    std::vector<BigWigBlock> blocks;
};

BigWigReader::BigWigReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
BigWigReader::~BigWigReader() = default;
BigWigReader::BigWigReader(BigWigReader&&) noexcept = default;
BigWigReader& BigWigReader::operator=(BigWigReader&&) noexcept = default;

BigWigReader BigWigReader::open(const std::string& path) {
    return BigWigReader(std::make_unique<State>(path));
}

const std::string& BigWigReader::path() const { return state_->file.path(); }
const std::vector<Contig>& BigWigReader::contigs() const { return state_->contigs; }

std::optional<std::int64_t> BigWigReader::contig_length(const std::string& contig) const {
    const auto found = state_->numbers.find(contig);
    return found == state_->numbers.end() ? std::nullopt
                                          : std::optional(state_->contigs[found->second].length_bp);
}

void BigWigReader::intervals(const std::string& contig, std::int64_t start_bp, std::int64_t end_bp,
                             std::vector<BigWigInterval>& out) const {
    out.clear();
    const auto found = state_->numbers.find(contig);
    FLAGEN_CHECK(found != state_->numbers.end(), "contig is not in the bigWig file: ", contig, " (",
                 path(), ")");
    FLAGEN_CHECK(start_bp <= end_bp, "interval is reversed: ", start_bp, "..", end_bp);
    const std::uint32_t number = found->second;
    const std::int64_t start = std::max<std::int64_t>(start_bp, 0);
    const std::int64_t end = std::min(end_bp, state_->contigs[number].length_bp);
    if (start >= end || state_->header.index_offset == 0) {
        return;
    }
    find_bigwig_blocks(state_->file, state_->header.index_offset, number,
                       static_cast<std::uint32_t>(start), static_cast<std::uint32_t>(end),
                       state_->blocks);
    std::int64_t previous_end = 0;
    std::uint64_t bytes_read = 0;  // Bounds the work that an index can ask for.
    for (const BigWigBlock& block : state_->blocks) {
        bytes_read += block.size_bytes;
        if (bytes_read > state_->file.size_bytes()) {
            state_->file.fail("the index lists the data block at byte ", block.offset,
                              " more than once");
        }
        state_->sections.read(state_->file, block, number, start, end, previous_end, out);
    }
}

}  // namespace flagen::genomics
