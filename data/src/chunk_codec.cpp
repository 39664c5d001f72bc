#include "chunk_codec.h"

#include <c10/util/Half.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "flagen/error.h"

namespace flagen::data {
namespace {

static_assert(std::endian::native == std::endian::little,
              "values are copied as they lie in memory");

constexpr std::size_t kChecksumBytes = 4;

// Fletcher's checksum over big-endian 16-bit words, as HDF5 computes it on every machine.
std::uint32_t fletcher32(std::span<const std::uint8_t> bytes) {
    std::uint32_t sum1 = 0;
    std::uint32_t sum2 = 0;
    const auto fold = [](std::uint32_t sum) { return (sum & 0xffffU) + (sum >> 16U); };
    std::size_t at = 0;
    const std::size_t even = bytes.size() / 2 * 2;
    while (at < even) {
        const std::size_t stop = std::min(even, at + 720);  // 360 words keep sum2 below 2^32
        for (; at < stop; at += 2) {
            sum1 += static_cast<std::uint32_t>(bytes[at]) << 8U | bytes[at + 1];
            sum2 += sum1;
        }
        sum1 = fold(sum1);
        sum2 = fold(sum2);
    }
    if (even < bytes.size()) {
        sum1 += static_cast<std::uint32_t>(bytes[even]) << 8U;
        sum2 += sum1;
        sum1 = fold(sum1);
        sum2 = fold(sum2);
    }
    return fold(sum2) << 16U | fold(sum1);
}

// Byte 0 of all elements, then byte 1 of all, ...
template <typename T>
std::vector<std::uint8_t> shuffled(const std::vector<T>& values) {
    std::vector<std::uint8_t> out(values.size() * sizeof(T));
    const auto* in = reinterpret_cast<const std::uint8_t*>(values.data());
    for (std::size_t byte = 0; byte < sizeof(T); ++byte) {
        std::uint8_t* to = out.data() + byte * values.size();
        for (std::size_t i = 0; i < values.size(); ++i) {
            to[i] = in[i * sizeof(T) + byte];
        }
    }
    return out;
}

template <typename T>
void unshuffle(const std::vector<std::uint8_t>& bytes, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::uint8_t element[sizeof(T)];
        for (std::size_t byte = 0; byte < sizeof(T); ++byte) {
            element[byte] = bytes[byte * values.size() + i];
        }
        T value;
        std::memcpy(&value, element, sizeof(T));
        values[i] = static_cast<float>(value);
    }
}

std::vector<std::uint8_t> shuffled_bytes(std::span<const float> values, ElementType type) {
    if (type == ElementType::kFloat32) {
        return shuffled(std::vector<float>(values.begin(), values.end()));
    }
    std::vector<c10::Half> halves;
    halves.reserve(values.size());
    for (const float value : values) {
        halves.emplace_back(value);
    }
    return shuffled(halves);
}

}  // namespace

std::size_t bytes_of(ElementType type) { return type == ElementType::kFloat32 ? 4 : 2; }

std::vector<std::uint8_t> encode_chunk(std::span<const float> values, ElementType type,
                                       int deflate_level) {
    const std::vector<std::uint8_t> raw = shuffled_bytes(values, type);
    uLongf size = compressBound(raw.size());
    std::vector<std::uint8_t> encoded(size + kChecksumBytes);
    const int status = compress2(encoded.data(), &size, raw.data(), raw.size(), deflate_level);
    FLAGEN_CHECK_EQ(status, Z_OK, "zlib");
    const std::uint32_t checksum = fletcher32({encoded.data(), size});
    std::memcpy(encoded.data() + size, &checksum, kChecksumBytes);
    encoded.resize(size + kChecksumBytes);
    return encoded;
}

void decode_chunk(std::span<const std::uint8_t> encoded, ElementType type, std::span<float> values,
                  const std::string& source) {
    FLAGEN_USER_CHECK(UserFault::kInputFile, encoded.size() > kChecksumBytes,
                      "chunk is too short: ", source);
    const std::size_t size = encoded.size() - kChecksumBytes;
    std::uint32_t checksum = 0;
    std::memcpy(&checksum, encoded.data() + size, kChecksumBytes);
    FLAGEN_USER_CHECK(UserFault::kInputFile, checksum == fletcher32(encoded.first(size)),
                      "damaged data, the checksum is wrong: ", source);
    std::vector<std::uint8_t> raw(values.size() * bytes_of(type));
    uLongf found = raw.size();
    const int status = uncompress(raw.data(), &found, encoded.data(), size);
    FLAGEN_USER_CHECK(UserFault::kInputFile, status == Z_OK && found == raw.size(),
                      "damaged data, a chunk does not decompress: ", source);
    if (type == ElementType::kFloat32) {
        unshuffle<float>(raw, values);
    } else {
        unshuffle<c10::Half>(raw, values);
    }
}

}  // namespace flagen::data
