#include "base_alphabet.h"

#include <cstdio>
#include <cstring>
#include <string_view>

namespace flagen::genomics {
namespace {

constexpr std::size_t kBlock = 32;

constexpr std::array<char, 256> make_table() {
    std::array<char, 256> table{};
    for (const char c : std::string_view("ACGTN")) {
        table[static_cast<unsigned char>(c)] = c;
        table[static_cast<unsigned char>(c | 0x20)] = c;
    }
    table['U'] = table['u'] = 'T';
    for (const char c : std::string_view("RYSWKMBDHV")) {
        table[static_cast<unsigned char>(c)] = 'N';
        table[static_cast<unsigned char>(c | 0x20)] = 'N';
    }
    return table;
}

constexpr std::uint8_t mask_unless(bool condition) {
    return condition ? std::uint8_t{0} : std::uint8_t{0xFF};
}

// Upper-cases one block; false, with the block untouched, if it is not all of ACGTN in either case.
// The fixed trip count and the local arrays let gcc's -O2 vectorise the loop.
bool upper_case_block(char* block) {
    std::array<std::uint8_t, kBlock> letters;
    std::array<std::uint8_t, kBlock> strange;
    std::memcpy(letters.data(), block, kBlock);
    for (std::size_t i = 0; i < kBlock; ++i) {
        letters[i] &= 0xDFU;
        strange[i] = mask_unless(letters[i] == 'A');
        strange[i] &= mask_unless(letters[i] == 'C');
        strange[i] &= mask_unless(letters[i] == 'G');
        strange[i] &= mask_unless(letters[i] == 'T');
        strange[i] &= mask_unless(letters[i] == 'N');
    }
    std::array<std::uint64_t, kBlock / sizeof(std::uint64_t)> words;
    std::memcpy(words.data(), strange.data(), kBlock);
    if ((words[0] | words[1] | words[2] | words[3]) != 0) {
        return false;
    }
    std::memcpy(block, letters.data(), kBlock);
    return true;
}

}  // namespace

const std::array<char, 256> kNormalisedBase = make_table();

std::size_t normalise_bases(char* bases, std::size_t size, BaseCounts& counts) {
    std::size_t i = 0;
    while (i < size) {
        if (size - i >= kBlock && upper_case_block(bases + i)) {
            i += kBlock;
            continue;
        }
        const std::size_t stop = size - i >= kBlock ? i + kBlock : size;
        for (; i < stop; ++i) {
            const char letter = bases[i];
            const char base = kNormalisedBase[static_cast<unsigned char>(letter)];
            if (base == 0) {
                return i;
            }
            const char upper = static_cast<char>(letter & 0xDF);
            counts.num_iupac += static_cast<std::int64_t>(base == 'N' && upper != 'N');
            counts.num_uracil += static_cast<std::int64_t>(upper == 'U');
            bases[i] = base;
        }
    }
    return size;
}

std::string describe_character(char character) {
    const auto byte = static_cast<unsigned char>(character);
    std::array<char, 16> text{};
    if (byte == ' ') {
        return "a space";
    }
    if (byte > 0x20 && byte < 0x7F) {
        std::snprintf(text.data(), text.size(), "'%c'", character);
    } else {
        std::snprintf(text.data(), text.size(), "byte 0x%02X", byte);
    }
    return text.data();
}

}  // namespace flagen::genomics
