#include "bigwig_section.h"

#include <zlib.h>

#include <algorithm>

#include "bigwig_format.h"

namespace flagen::genomics {
namespace {

using bigwig::load;

struct SectionHeader {
    std::uint32_t contig;
    std::uint32_t start;
    std::uint32_t step;
    std::uint32_t span;
    std::uint8_t type;
    std::uint16_t num_items;

    explicit SectionHeader(const unsigned char* bytes)
        : contig(load<std::uint32_t>(bytes)),
          start(load<std::uint32_t>(bytes + 4)),
          step(load<std::uint32_t>(bytes + 12)),
          span(load<std::uint32_t>(bytes + 16)),
          type(bytes[20]),
          num_items(load<std::uint16_t>(bytes + 22)) {}

    // Bytes of one item; 0 for an unknown type.
    [[nodiscard]] std::size_t item_bytes() const {
        switch (type) {
            case bigwig::kBedGraph:
                return bigwig::kBedGraphBytes;
            case bigwig::kVariableStep:
                return bigwig::kVariableStepBytes;
            case bigwig::kFixedStep:
                return bigwig::kFixedStepBytes;
            default:
                return 0;
        }
    }

    [[nodiscard]] BigWigInterval item(const unsigned char* bytes, std::size_t index) const {
        if (type == bigwig::kBedGraph) {
            return {load<std::uint32_t>(bytes), load<std::uint32_t>(bytes + 4),
                    load<float>(bytes + 8)};
        }
        if (type == bigwig::kVariableStep) {
            const std::int64_t from = load<std::uint32_t>(bytes);
            return {from, from + span, load<float>(bytes + 4)};
        }
        const std::int64_t from = start + static_cast<std::int64_t>(index) * step;
        return {from, from + span, load<float>(bytes)};
    }
};

}  // namespace

void BigWigSections::load(const BigWigFile& file, const BigWigBlock& block) {
    const std::size_t limit =
        compressed_ ? compressBound(bigwig::kMaxSectionBytes) : bigwig::kMaxSectionBytes;
    if (block.size_bytes == 0 || block.size_bytes > limit) {
        file.fail("the data block at byte ", block.offset, " has ", block.size_bytes,
                  " bytes, at most ", limit, " are possible");
    }
    file.read(block.offset, block.size_bytes, "data block", stored_);
    section_ = stored_;
    if (!compressed_) {
        return;
    }
    inflated_.resize(bigwig::kMaxSectionBytes);
    uLongf size = inflated_.size();
    if (uncompress(inflated_.data(), &size, stored_.data(), stored_.size()) != Z_OK) {
        file.fail("the data block at byte ", block.offset, " does not decompress");
    }
    section_ = {inflated_.data(), size};
}

void BigWigSections::read(const BigWigFile& file, const BigWigBlock& block, std::uint32_t contig,
                          std::int64_t start, std::int64_t end, std::int64_t& previous_end,
                          std::vector<BigWigInterval>& out) {
    load(file, block);
    if (section_.size() < bigwig::kSectionHeaderBytes) {
        file.fail("the data block at byte ", block.offset, " is shorter than its header");
    }
    const SectionHeader header(section_.data());
    const std::size_t item_bytes = header.item_bytes();
    if (item_bytes == 0 || header.contig != contig) {
        file.fail("the data block at byte ", block.offset, " has type ", int{header.type},
                  " and contig number ", header.contig, ", expected ", contig);
    }
    if (header.num_items * item_bytes > section_.size() - bigwig::kSectionHeaderBytes) {
        file.fail("the data block at byte ", block.offset, " claims ", header.num_items,
                  " items and has ", section_.size(), " bytes");
    }
    const unsigned char* bytes = section_.data() + bigwig::kSectionHeaderBytes;
    for (std::size_t i = 0; i < header.num_items; ++i, bytes += item_bytes) {
        const BigWigInterval item = header.item(bytes, i);
        if (item.start_bp < previous_end || item.end_bp <= item.start_bp) {
            file.fail("interval ", item.start_bp, "..", item.end_bp, " of contig number ", contig,
                      " is empty, reversed, or overlaps one that ends at ", previous_end);
        }
        if (item.start_bp < block.start || item.end_bp > block.end) {
            file.fail("interval ", item.start_bp, "..", item.end_bp, " of contig number ", contig,
                      " lies outside the ", block.start, "..", block.end, " that the index gives");
        }
        previous_end = item.end_bp;
        if (item.end_bp > start && item.start_bp < end) {
            out.push_back({std::max(item.start_bp, start), std::min(item.end_bp, end), item.value});
        }
    }
}

}  // namespace flagen::genomics
