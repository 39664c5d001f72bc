#include "flagen/genomics/tokenizer.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace flagen::genomics {
namespace {

constexpr std::size_t kBlock = 32;

constexpr std::uint8_t kAll = 0xFF;

constexpr std::uint8_t mask_if(bool condition) { return condition ? kAll : std::uint8_t{0}; }

// Bits 1 and 2 of A, C, G, T (U as T) are 0, 1, 3, 2 in either case; x ^ (x >> 1) puts them in
// order. Byte masks instead of branches, so that a loop over letters vectorises.
constexpr std::uint8_t encode_letter(std::uint8_t letter) {
    const std::uint8_t upper = letter & 0xDFU;
    const std::uint8_t bits = (letter >> 1U) & 3U;
    const std::uint8_t code = bits ^ static_cast<std::uint8_t>(bits >> 1U);
    const std::uint8_t is_base = mask_if(upper == 'A') | mask_if(upper == 'C') |
                                 mask_if(upper == 'G') | mask_if(upper == 'T') |
                                 mask_if(upper == 'U');
    return static_cast<std::uint8_t>((code & is_base) |
                                     (kBaseN & static_cast<std::uint8_t>(~is_base)));
}

constexpr std::array<std::uint8_t, 256> make_codes() {
    std::array<std::uint8_t, 256> codes{};
    for (std::size_t i = 0; i < codes.size(); ++i) {
        codes[i] = encode_letter(static_cast<std::uint8_t>(i));
    }
    return codes;
}

constexpr std::array<char, 256> make_complements() {
    std::array<char, 256> complements{};
    complements.fill('N');
    constexpr std::string_view kLetters = "ACGTURYSWKMBDHVN";
    constexpr std::string_view kComplements = "TGCAAYRSWMKVHDBN";
    for (std::size_t i = 0; i < kLetters.size(); ++i) {
        complements[static_cast<unsigned char>(kLetters[i])] = kComplements[i];
        complements[static_cast<unsigned char>(kLetters[i] | 0x20)] =
            static_cast<char>(kComplements[i] | 0x20);
    }
    return complements;
}

constexpr std::array<std::uint8_t, 256> kCodes = make_codes();
constexpr std::array<char, 256> kComplement = make_complements();

}  // namespace

void encode_bases(std::string_view bases, std::uint8_t* out) {
    const char* in = bases.data();
    std::size_t i = 0;
    // Blocks of a fixed length in a local array, since gcc's -O2 vectorises only loops whose trip
    // count it knows and whose operands cannot overlap.
    for (; i + kBlock <= bases.size(); i += kBlock) {
        std::array<std::uint8_t, kBlock> block;
        std::memcpy(block.data(), in + i, kBlock);
        for (std::uint8_t& letter : block) {
            letter = encode_letter(letter);
        }
        std::memcpy(out + i, block.data(), kBlock);
    }
    for (; i < bases.size(); ++i) {
        out[i] = kCodes[static_cast<unsigned char>(in[i])];
    }
}

std::string decode_bases(std::span<const std::uint8_t> codes) {
    static constexpr std::string_view kLetters = "ACGTN";
    std::string bases(codes.size(), 'N');
    for (std::size_t i = 0; i < codes.size(); ++i) {
        bases[i] = kLetters[std::min(codes[i], kBaseN)];
    }
    return bases;
}

std::int64_t count_n(std::span<const std::uint8_t> codes) {
    return std::count_if(codes.begin(), codes.end(),
                         [](std::uint8_t code) { return code >= kBaseN; });
}

void reverse_complement(std::string& bases) {
    std::reverse(bases.begin(), bases.end());
    for (char& base : bases) {
        base = kComplement[static_cast<unsigned char>(base)];
    }
}

void reverse_complement_codes(std::span<std::uint8_t> codes) {
    std::reverse(codes.begin(), codes.end());
    for (std::uint8_t& code : codes) {
        code = code < kBaseN ? static_cast<std::uint8_t>(kBaseN - 1 - code) : kBaseN;
    }
}

}  // namespace flagen::genomics
