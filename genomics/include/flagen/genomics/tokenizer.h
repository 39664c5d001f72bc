#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace flagen::genomics {

/// Codes of bases as models read them: A 0, C 1, G 2, T 3, N 4.
inline constexpr std::uint8_t kBaseN = 4;
inline constexpr std::uint8_t kNumBaseCodes = 5;

/// Writes the code of each letter to `out`, which holds bases.size() bytes.
///
/// Case is dropped and U is T; every other letter is N. Vectorises; allocates nothing.
void encode_bases(std::string_view bases, std::uint8_t* out);

/// The letters "ACGTN" of the codes; a code above 4 is N.
[[nodiscard]] std::string decode_bases(std::span<const std::uint8_t> codes);

/// Number of N in `codes` (codes of 4 and above).
[[nodiscard]] std::int64_t count_n(std::span<const std::uint8_t> codes);

/// Reverses `bases` in place and complements each letter; IUPAC codes have their complements (R and
/// Y, K and M, B and V, D and H), case is kept, U becomes A, any other character N.
void reverse_complement(std::string& bases);

/// As reverse_complement(), on codes: 0..3 become 3 - code, N stays N.
void reverse_complement_codes(std::span<std::uint8_t> codes);

}  // namespace flagen::genomics
