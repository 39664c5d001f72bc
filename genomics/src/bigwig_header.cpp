#include "bigwig_header.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_set>

#include "bigwig_format.h"
#include "text_line_reader.h"

namespace flagen::genomics {
namespace {

using bigwig::load;

// Longer names are taken for damage; UCSC's tools stop at 255 letters.
constexpr std::uint32_t kMaxKeyBytes = 4096;
constexpr int kMaxTreeDepth = 32;

// Checks that a table of at least `size` bytes may begin at `offset`.
void check_offset(const BigWigFile& file, std::uint64_t offset, std::uint64_t size,
                  const char* what) {
    if (offset < bigwig::kHeaderBytes || !file.holds(offset, size)) {
        file.fail("the header puts ", what, " at byte ", offset, " of ", file.size_bytes());
    }
}

void read_zoom_headers(const BigWigFile& file, std::uint16_t num_levels, BigWigHeader& header) {
    std::vector<unsigned char> bytes;
    file.read(bigwig::kHeaderBytes, num_levels * bigwig::kZoomHeaderBytes, "table of zoom levels",
              bytes);
    for (std::size_t i = 0; i < num_levels; ++i) {
        const unsigned char* field = bytes.data() + i * bigwig::kZoomHeaderBytes;
        const auto index_offset = load<std::uint64_t>(field + 16);
        check_offset(file, load<std::uint64_t>(field + 8), 4, "data of a zoom level");
        check_offset(file, index_offset, bigwig::kIndexHeaderBytes, "the index of a zoom level");
        header.zoom_index_offsets.push_back(index_offset);
    }
}

/// Reads the B+ tree of contig names. Each node costs bytes of the file; all of them together may
/// cost no more than the file has, so that a tree with loops ends.
class ContigTree {
  public:
    ContigTree(const BigWigFile& file, std::uint64_t offset) : file_(file) {
        std::vector<unsigned char> bytes;
        file.read(offset, bigwig::kContigTreeHeaderBytes, "contig table", bytes);
        if (load<std::uint32_t>(bytes.data()) != bigwig::kContigTreeMagic) {
            file.fail("the contig table at byte ", offset, " has a wrong magic number");
        }
        key_bytes_ = load<std::uint32_t>(bytes.data() + 8);
        const auto value_bytes = load<std::uint32_t>(bytes.data() + 12);
        const auto count = load<std::uint64_t>(bytes.data() + 16);
        if (key_bytes_ == 0 || key_bytes_ > kMaxKeyBytes || value_bytes != 8) {
            file.fail("the contig table has keys of ", key_bytes_, " and values of ", value_bytes,
                      " bytes");
        }
        if (count == 0 || count > file.size_bytes() / (key_bytes_ + 8)) {
            file.fail("the contig table claims ", count, " contigs");
        }
        contigs_.resize(count);
        read_node(offset + bigwig::kContigTreeHeaderBytes, 0);
        if (num_read_ != count) {
            file.fail("the contig table claims ", count, " contigs and holds ", num_read_);
        }
    }

    [[nodiscard]] std::vector<Contig>& contigs() { return contigs_; }

  private:
    void read_node(std::uint64_t offset, int depth) {
        std::vector<unsigned char> bytes;
        file_.read(offset, bigwig::kNodeHeaderBytes, "node of the contig table", bytes);
        const bool leaf = bytes[0] != 0;
        const auto count = load<std::uint16_t>(bytes.data() + 2);
        const std::size_t item_bytes = key_bytes_ + 8;
        file_.read(offset + bigwig::kNodeHeaderBytes, count * item_bytes,
                   "node of the contig table", bytes);
        bytes_read_ += bigwig::kNodeHeaderBytes + count * item_bytes;
        if (depth > kMaxTreeDepth || bytes_read_ > file_.size_bytes()) {
            file_.fail("the contig table runs in a circle at byte ", offset);
        }
        for (std::size_t i = 0; i < count; ++i) {
            const unsigned char* item = bytes.data() + i * item_bytes;
            if (leaf) {
                add_contig(item);
            } else {
                read_node(load<std::uint64_t>(item + key_bytes_), depth + 1);
            }
        }
    }

    void add_contig(const unsigned char* item) {
        const std::string_view key(reinterpret_cast<const char*>(item), key_bytes_);
        const std::string_view name = key.substr(0, key.find('\0'));
        const auto number = load<std::uint32_t>(item + key_bytes_);
        const auto length = load<std::uint32_t>(item + key_bytes_ + 4);
        const bool printable = std::all_of(name.begin(), name.end(), [](char letter) {
            return static_cast<unsigned char>(letter) > 0x20 && letter != 0x7F;
        });
        if (name.empty() || !printable) {
            file_.fail("contig number ", number, " has the name ", quoted(name));
        }
        if (number >= contigs_.size() || !contigs_[number].name.empty()) {
            file_.fail("contig ", name, " has the number ", number, ", which is taken or above ",
                       contigs_.size() - 1);
        }
        if (length == 0) {
            file_.fail("contig ", name, " has no base");
        }
        if (!names_.emplace(name).second) {
            file_.fail("contig ", name, " stands twice in the contig table");
        }
        contigs_[number] = {std::string(name), length, false};
        ++num_read_;
    }

    const BigWigFile& file_;
    std::size_t key_bytes_ = 0;
    std::vector<Contig> contigs_;
    std::unordered_set<std::string> names_;
    std::uint64_t num_read_ = 0;
    std::uint64_t bytes_read_ = 0;
};

}  // namespace

BigWigHeader read_bigwig_header(const BigWigFile& file) {
    std::vector<unsigned char> bytes;
    file.read(0, bigwig::kHeaderBytes, "header", bytes);
    BigWigHeader header;
    header.version = load<std::uint16_t>(bytes.data() + 4);
    const auto num_zoom_levels = load<std::uint16_t>(bytes.data() + 6);
    header.contig_tree_offset = load<std::uint64_t>(bytes.data() + 8);
    const auto data_offset = load<std::uint64_t>(bytes.data() + 16);
    header.index_offset = load<std::uint64_t>(bytes.data() + 24);
    const auto summary_offset = load<std::uint64_t>(bytes.data() + 44);
    header.compressed = load<std::uint32_t>(bytes.data() + 52) != 0;
    if (header.version == 0 || header.version > bigwig::kVersion) {
        file.fail("the header gives format version ", header.version, ", 1 to ", bigwig::kVersion,
                  " are known");
    }
    check_offset(file, header.contig_tree_offset, bigwig::kContigTreeHeaderBytes,
                 "the contig table");
    check_offset(file, data_offset, 4, "the data");
    if (header.index_offset != 0) {
        check_offset(file, header.index_offset, bigwig::kIndexHeaderBytes, "the index");
    }
    if (summary_offset != 0) {
        check_offset(file, summary_offset, bigwig::kSummaryBytes, "the summary");
    }
    read_zoom_headers(file, num_zoom_levels, header);
    if (header.version >= bigwig::kVersion) {
        file.read(file.size_bytes() - 4, 4, "closing magic number", bytes);
        if (load<std::uint32_t>(bytes.data()) != bigwig::kMagic) {
            file.fail("it does not end with the magic number, so it is likely truncated");
        }
    }
    return header;
}

std::vector<Contig> read_bigwig_contigs(const BigWigFile& file, const BigWigHeader& header) {
    return std::move(ContigTree(file, header.contig_tree_offset).contigs());
}

}  // namespace flagen::genomics
