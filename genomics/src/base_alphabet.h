#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace flagen::genomics {

/// What normalise_bases() changed.
struct BaseCounts {
    std::int64_t num_iupac = 0;   ///< RYSWKMBDHV read as N.
    std::int64_t num_uracil = 0;  ///< U read as T.
};

/// The letter a FASTA letter is read as, 0 for characters that are none.
extern const std::array<char, 256> kNormalisedBase;

/// Upper-cases `size` letters in place, U to T, IUPAC codes to N, and adds to `counts`.
///
/// Returns the index of the first character that no FASTA sequence may hold, or `size`; what
/// follows it is left as it was.
[[nodiscard]] std::size_t normalise_bases(char* bases, std::size_t size, BaseCounts& counts);

/// A character as error texts show it: 'x' in quotes where printable, else "byte 0x00".
[[nodiscard]] std::string describe_character(char character);

}  // namespace flagen::genomics
