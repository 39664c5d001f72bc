#include "bigwig_tree.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "bigwig_format.h"

namespace flagen::genomics {
namespace {

using bigwig::store;

constexpr std::size_t kChildren = 256;  // A node's children, as UCSC's tools choose it.

struct ItemSizes {
    std::size_t leaf = 0;
    std::size_t child = 0;
};

// Number of pieces of at most kChildren items.
std::size_t num_nodes(std::size_t num_items) {
    return std::max<std::size_t>((num_items + kChildren - 1) / kChildren, 1);
}

/// Appends the nodes of a balanced tree over `num_leaves` sorted items to `bytes`, the root first,
/// then level by level. bytes[0] will stand at `origin` in the file.
///
/// write_leaf(item, leaf) fills a leaf's item; write_child(item, first, last, offset) that of a
/// child over the leaves first .. last whose node stands at `offset`.
template <typename WriteLeaf, typename WriteChild>
void append_tree(std::vector<unsigned char>& bytes, std::uint64_t origin, std::size_t num_leaves,
                 const ItemSizes& sizes, const WriteLeaf& write_leaf,
                 const WriteChild& write_child) {
    std::vector<std::size_t> items = {num_leaves};  // By level, leaves first.
    std::vector<std::size_t> span = {1};            // Leaves below an item.
    while (items.back() > kChildren) {
        items.push_back(num_nodes(items.back()));
        span.push_back(span.back() * kChildren);
    }
    for (std::size_t level = items.size(); level-- > 0;) {
        const std::size_t item_bytes = level == 0 ? sizes.leaf : sizes.child;
        const std::size_t level_begin = bytes.size();
        const std::size_t level_bytes =
            num_nodes(items[level]) * bigwig::kNodeHeaderBytes + items[level] * item_bytes;
        const std::size_t child_item_bytes = level == 1 ? sizes.leaf : sizes.child;
        const std::size_t child_node_bytes =
            bigwig::kNodeHeaderBytes + kChildren * child_item_bytes;
        bytes.resize(level_begin + level_bytes);
        unsigned char* place = bytes.data() + level_begin;
        for (std::size_t node = 0; node < num_nodes(items[level]); ++node) {
            const std::size_t first = node * kChildren;
            const std::size_t count = std::min(kChildren, items[level] - first);
            store<std::uint8_t>(place, level == 0 ? 1 : 0);
            store(place + 2, static_cast<std::uint16_t>(count));
            place += bigwig::kNodeHeaderBytes;
            for (std::size_t i = first; i < first + count; ++i, place += item_bytes) {
                if (level == 0) {
                    write_leaf(place, i);
                } else {
                    const std::size_t last = std::min((i + 1) * span[level], num_leaves) - 1;
                    write_child(place, i * span[level], last,
                                origin + level_begin + level_bytes + i * child_node_bytes);
                }
            }
        }
    }
}

}  // namespace

std::vector<unsigned char> render_bigwig_contig_tree(const ContigTable& contigs,
                                                     std::uint64_t offset) {
    std::vector<std::size_t> order(contigs.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t left, std::size_t right) {
        return contigs.at(left).name < contigs.at(right).name;
    });
    std::size_t key_bytes = 0;
    for (const std::size_t number : order) {
        key_bytes = std::max(key_bytes, contigs.at(number).name.size());
    }
    const auto write_key = [&](unsigned char* item, std::size_t place) {
        const std::string& name = contigs.at(order[place]).name;
        std::copy(name.begin(), name.end(), item);
    };
    std::vector<unsigned char> bytes(bigwig::kContigTreeHeaderBytes);
    store(bytes.data(), bigwig::kContigTreeMagic);
    store(bytes.data() + 4, static_cast<std::uint32_t>(std::min(contigs.size(), kChildren)));
    store(bytes.data() + 8, static_cast<std::uint32_t>(key_bytes));
    store(bytes.data() + 12, std::uint32_t{8});
    store(bytes.data() + 16, static_cast<std::uint64_t>(contigs.size()));
    append_tree(
        bytes, offset, contigs.size(), {key_bytes + 8, key_bytes + 8},
        [&](unsigned char* item, std::size_t leaf) {
            write_key(item, leaf);
            store(item + key_bytes, static_cast<std::uint32_t>(order[leaf]));
            store(item + key_bytes + 4,
                  static_cast<std::uint32_t>(contigs.at(order[leaf]).length_bp));
        },
        [&](unsigned char* item, std::size_t first, std::size_t, std::uint64_t child) {
            write_key(item, first);
            store(item + key_bytes, child);
        });
    return bytes;
}

std::vector<unsigned char> render_bigwig_index(std::span<const BigWigIndexEntry> entries,
                                               std::uint64_t offset,
                                               std::uint32_t items_per_block) {
    const auto write_bounds = [&](unsigned char* item, std::size_t first, std::size_t last) {
        store(item, entries[first].contig);
        store(item + 4, entries[first].start);
        store(item + 8, entries[last].contig);
        store(item + 12, entries[last].end);
    };
    std::vector<unsigned char> bytes(bigwig::kIndexHeaderBytes);
    store(bytes.data(), bigwig::kIndexMagic);
    store(bytes.data() + 4, static_cast<std::uint32_t>(kChildren));
    store(bytes.data() + 8, static_cast<std::uint64_t>(entries.size()));
    if (!entries.empty()) {
        write_bounds(bytes.data() + 16, 0, entries.size() - 1);
    }
    store(bytes.data() + 32, offset);  // End of the data that the index is about.
    store(bytes.data() + 40, items_per_block);
    append_tree(
        bytes, offset, entries.size(), {bigwig::kIndexLeafBytes, bigwig::kIndexChildBytes},
        [&](unsigned char* item, std::size_t leaf) {
            write_bounds(item, leaf, leaf);
            store(item + 16, entries[leaf].offset);
            store(item + 24, static_cast<std::uint64_t>(entries[leaf].size_bytes));
        },
        [&](unsigned char* item, std::size_t first, std::size_t last, std::uint64_t child) {
            write_bounds(item, first, last);
            store(item + 16, child);
        });
    return bytes;
}

}  // namespace flagen::genomics
