#include "bigwig_index.h"

#include <tuple>

#include "bigwig_format.h"

namespace flagen::genomics {
namespace {

using bigwig::load;

// 2^16 children a node: depth 4 holds more blocks than a file of 2^64 bytes; real trees have 2 to 5
// levels of 64 to 256 children.
constexpr int kMaxDepth = 24;

/// Bounds of a node's child or of a block, first and last contig with their bases.
struct Bounds {
    std::uint32_t first_contig;
    std::uint32_t start;
    std::uint32_t last_contig;
    std::uint32_t end;

    explicit Bounds(const unsigned char* item)
        : first_contig(load<std::uint32_t>(item)),
          start(load<std::uint32_t>(item + 4)),
          last_contig(load<std::uint32_t>(item + 8)),
          end(load<std::uint32_t>(item + 12)) {}

    [[nodiscard]] bool overlaps(std::uint32_t contig, std::uint32_t from, std::uint32_t to) const {
        return std::tie(first_contig, start) < std::tie(contig, to) &&
               std::tie(last_contig, end) > std::tie(contig, from);
    }
};

struct Node {
    bool leaf = false;
    std::uint16_t count = 0;
    std::size_t item_bytes = 0;
    std::vector<unsigned char> items;
};

void read_node(const BigWigFile& file, std::uint64_t offset, Node& node) {
    file.read(offset, bigwig::kNodeHeaderBytes, "node of the index", node.items);
    node.leaf = node.items[0] != 0;
    node.count = load<std::uint16_t>(node.items.data() + 2);
    node.item_bytes = node.leaf ? bigwig::kIndexLeafBytes : bigwig::kIndexChildBytes;
    file.read(offset + bigwig::kNodeHeaderBytes, node.count * node.item_bytes, "node of the index",
              node.items);
}

BigWigBlock block_of(const BigWigFile& file, const unsigned char* item) {
    const Bounds bounds(item);
    const BigWigBlock block{load<std::uint64_t>(item + 16), load<std::uint64_t>(item + 24),
                            bounds.start, bounds.end};
    if (!file.holds(block.offset, block.size_bytes)) {
        file.fail("the index lists a block of ", block.size_bytes, " bytes at byte ", block.offset,
                  " of ", file.size_bytes());
    }
    return block;
}

/// Finds blocks. All nodes together may cost no more bytes than the file has, so that an index with
/// loops ends.
class BlockSearch {
  public:
    BlockSearch(const BigWigFile& file, std::uint32_t contig, std::uint32_t start,
                std::uint32_t end, std::vector<BigWigBlock>& blocks)
        : file_(file), contig_(contig), start_(start), end_(end), blocks_(blocks) {}

    void visit(std::uint64_t offset, int depth) {
        Node node;
        read_node(file_, offset, node);
        bytes_read_ += bigwig::kNodeHeaderBytes + node.items.size();
        if (depth > kMaxDepth || bytes_read_ > file_.size_bytes()) {
            file_.fail("the index runs in a circle at byte ", offset);
        }
        for (std::size_t i = 0; i < node.count; ++i) {
            const unsigned char* item = node.items.data() + i * node.item_bytes;
            const Bounds bounds(item);
            if (!bounds.overlaps(contig_, start_, end_)) {
                continue;
            }
            if (!node.leaf) {
                visit(load<std::uint64_t>(item + 16), depth + 1);
                continue;
            }
            if (bounds.first_contig != bounds.last_contig) {
                file_.fail("the index lists a block over several contigs");
            }
            blocks_.push_back(block_of(file_, item));
        }
    }

  private:
    const BigWigFile& file_;
    std::uint32_t contig_;
    std::uint32_t start_;
    std::uint32_t end_;
    std::vector<BigWigBlock>& blocks_;
    std::uint64_t bytes_read_ = 0;
};

}  // namespace

void check_bigwig_index(const BigWigFile& file, std::uint64_t offset) {
    std::vector<unsigned char> header;
    file.read(offset, bigwig::kIndexHeaderBytes, "index", header);
    if (load<std::uint32_t>(header.data()) != bigwig::kIndexMagic) {
        file.fail("the index at byte ", offset, " has a wrong magic number");
    }
    Node node;
    std::uint64_t place = offset + bigwig::kIndexHeaderBytes;
    for (int depth = 0; depth <= kMaxDepth; ++depth) {
        read_node(file, place, node);
        if (node.count == 0) {
            return;
        }
        const unsigned char* last = node.items.data() + (node.count - 1U) * node.item_bytes;
        if (node.leaf) {
            static_cast<void>(block_of(file, last));
            return;
        }
        place = load<std::uint64_t>(last + 16);
    }
    file.fail("the index at byte ", offset, " runs in a circle");
}

void find_bigwig_blocks(const BigWigFile& file, std::uint64_t index_offset, std::uint32_t contig,
                        std::uint32_t start, std::uint32_t end, std::vector<BigWigBlock>& blocks) {
    blocks.clear();
    BlockSearch(file, contig, start, end, blocks)
        .visit(index_offset + bigwig::kIndexHeaderBytes, 0);
}

}  // namespace flagen::genomics
