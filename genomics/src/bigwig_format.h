#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace flagen::genomics::bigwig {

// Numbers of the bigWig format (Kent et al. 2010, supplement, tables 5 to 20). All fields are
// little-endian in the files that we read and write.
static_assert(std::endian::native == std::endian::little, "bigWig code is little-endian");

inline constexpr std::uint32_t kMagic = 0x888FFC26;
inline constexpr std::uint32_t kBigBedMagic = 0x8789F2EB;
inline constexpr std::uint32_t kContigTreeMagic = 0x78CA8C91;
inline constexpr std::uint32_t kIndexMagic = 0x2468ACE0;

/// Newest format version; from it on a file ends with its magic number.
inline constexpr std::uint16_t kVersion = 4;

inline constexpr std::size_t kHeaderBytes = 64;
inline constexpr std::size_t kZoomHeaderBytes = 24;
inline constexpr std::size_t kSummaryBytes = 40;
inline constexpr std::size_t kContigTreeHeaderBytes = 32;
inline constexpr std::size_t kIndexHeaderBytes = 48;
inline constexpr std::size_t kNodeHeaderBytes = 4;   ///< Of both trees: leaf flag, pad, u16 count.
inline constexpr std::size_t kIndexLeafBytes = 32;   ///< Bounds, offset and size of a block.
inline constexpr std::size_t kIndexChildBytes = 24;  ///< Bounds and offset of a node.
inline constexpr std::size_t kSectionHeaderBytes = 24;
inline constexpr std::size_t kZoomRecordBytes = 32;

/// Kinds of sections and the bytes of one item of each.
inline constexpr std::uint8_t kBedGraph = 1;      ///< start, end, value
inline constexpr std::uint8_t kVariableStep = 2;  ///< start, value
inline constexpr std::uint8_t kFixedStep = 3;     ///< value
inline constexpr std::size_t kBedGraphBytes = 12;
inline constexpr std::size_t kVariableStepBytes = 8;
inline constexpr std::size_t kFixedStepBytes = 4;

/// Largest section: its item count has 16 bits.
inline constexpr std::size_t kMaxSectionBytes =
    kSectionHeaderBytes + std::numeric_limits<std::uint16_t>::max() * kBedGraphBytes;

/// Reads a field of type `Value` at `bytes`, which need not be aligned.
template <typename Value>
[[nodiscard]] Value load(const unsigned char* bytes) {
    Value value;
    std::memcpy(&value, bytes, sizeof(value));
    return value;
}

/// Writes `value` at `bytes`, which need not be aligned.
template <typename Value>
void store(unsigned char* bytes, Value value) {
    std::memcpy(bytes, &value, sizeof(value));
}

}  // namespace flagen::genomics::bigwig
