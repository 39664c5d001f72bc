#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace flagen::testing {

/// Appends the bytes of `value`.
template <typename Value>
void put(std::string& bytes, Value value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

/// Writes the bytes of `value` over those at `offset`.
template <typename Value>
void put_at(std::string& bytes, std::size_t offset, Value value) {
    std::memcpy(bytes.data() + offset, &value, sizeof(value));
}

/// A bigWig section before compression: 24 bytes of header, then items.
struct SectionBytes {
    std::uint32_t contig;
    std::uint32_t start;
    std::uint32_t end;
    std::string bytes;
};

inline SectionBytes section_bytes(std::uint32_t contig, std::uint32_t start, std::uint32_t end,
                                  std::uint32_t step, std::uint32_t span, std::uint8_t type,
                                  std::uint16_t num_items) {
    SectionBytes section{contig, start, end, {}};
    put(section.bytes, contig);
    put(section.bytes, start);
    put(section.bytes, end);
    put(section.bytes, step);
    put(section.bytes, span);
    put(section.bytes, type);
    put(section.bytes, std::uint8_t{0});
    put(section.bytes, num_items);
    return section;
}

/// A whole bigWig file written byte by byte from the tables of the format's description, one leaf
/// for the contigs and one for the index, and where its parts lie.
struct BigWigBytes {
    std::string bytes;
    std::size_t tree = 0;
    std::size_t index = 0;
    std::vector<std::size_t> blocks;
};

inline constexpr std::size_t kTestKeyBytes = 8;

inline BigWigBytes bigwig_bytes(const std::vector<std::pair<std::string, std::uint32_t>>& contigs,
                                const std::vector<SectionBytes>& sections, bool compressed = true,
                                std::uint16_t version = 4) {
    constexpr std::uint32_t kMagic = 0x888FFC26;
    BigWigBytes file;
    std::string& out = file.bytes;
    out.assign(64 + 40, '\0');
    file.tree = out.size();
    put(out, std::uint32_t{0x78CA8C91});
    put(out, static_cast<std::uint32_t>(contigs.size()));
    put(out, static_cast<std::uint32_t>(kTestKeyBytes));
    put(out, std::uint32_t{8});
    put(out, std::uint64_t{contigs.size()});
    put(out, std::uint64_t{0});
    put(out, std::uint16_t{1});
    put(out, static_cast<std::uint16_t>(contigs.size()));
    for (std::uint32_t i = 0; i < contigs.size(); ++i) {
        std::string key = contigs[i].first;
        key.resize(kTestKeyBytes);
        out += key;
        put(out, i);
        put(out, contigs[i].second);
    }
    const std::size_t data = out.size();
    put(out, std::uint64_t{sections.size()});
    std::vector<std::size_t> sizes;
    for (const SectionBytes& section : sections) {
        file.blocks.push_back(out.size());
        std::string block = section.bytes;
        if (compressed) {
            uLongf size = compressBound(section.bytes.size());
            block.resize(size);
            if (compress(reinterpret_cast<Bytef*>(block.data()), &size,
                         reinterpret_cast<const Bytef*>(section.bytes.data()),
                         section.bytes.size()) != Z_OK) {
                throw std::runtime_error("compress failed");
            }
            block.resize(size);
        }
        sizes.push_back(block.size());
        out += block;
    }
    file.index = out.size();
    put(out, std::uint32_t{0x2468ACE0});
    put(out, std::uint32_t{256});
    put(out, std::uint64_t{sections.size()});
    out.append(16, '\0');
    put(out, std::uint64_t{file.index});
    put(out, std::uint64_t{1});
    put(out, std::uint16_t{1});
    put(out, static_cast<std::uint16_t>(sections.size()));
    for (std::size_t i = 0; i < sections.size(); ++i) {
        put(out, sections[i].contig);
        put(out, sections[i].start);
        put(out, sections[i].contig);
        put(out, sections[i].end);
        put(out, std::uint64_t{file.blocks[i]});
        put(out, std::uint64_t{sizes[i]});
    }
    if (version >= 4) {
        put(out, kMagic);
    }
    put_at(out, 0, kMagic);
    put_at(out, 4, version);
    put_at(out, 8, std::uint64_t{file.tree});
    put_at(out, 16, std::uint64_t{data});
    put_at(out, 24, std::uint64_t{file.index});
    put_at(out, 44, std::uint64_t{64});
    put_at(out, 52, std::uint32_t{compressed ? 32768U : 0U});
    return file;
}

}  // namespace flagen::testing
