#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace flagen::data {

/// How numbers are stored in a chunk.
enum class ElementType {
    kFloat32,  ///< IEEE, little-endian.
    kFloat16,  ///< The same; values are rounded to nearest, ties to even.
};

[[nodiscard]] std::size_t bytes_of(ElementType type);

/// Turns values into the bytes of one HDF5 chunk: shuffle, deflate, fletcher32, in this order, as
/// the library's own filters would. Any number of threads may do it at once, while the library
/// works in one: compression costs far more than writing does.
///
/// Source: HDF5 1.10, src/H5Zshuffle.c, H5Zdeflate.c, H5Zfletcher32.c and H5checksum.c.
[[nodiscard]] std::vector<std::uint8_t> encode_chunk(std::span<const float> values,
                                                     ElementType type, int deflate_level);

/// Undoes encode_chunk() into `values`, whose size says how many there are.
/// @throws UserError (kInputFile) naming `source` if the checksum or the sizes are wrong.
void decode_chunk(std::span<const std::uint8_t> encoded, ElementType type, std::span<float> values,
                  const std::string& source);

}  // namespace flagen::data
