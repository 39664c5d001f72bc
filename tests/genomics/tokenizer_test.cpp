#include "flagen/genomics/tokenizer.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

std::vector<std::uint8_t> encode(const std::string& bases) {
    std::vector<std::uint8_t> codes(bases.size() + 1, 77);
    encode_bases(bases, codes.data());
    EXPECT_EQ(codes.back(), 77) << "wrote past the end";
    codes.pop_back();
    return codes;
}

std::uint8_t code_of(char letter) {
    switch (letter) {
        case 'A':
        case 'a':
            return 0;
        case 'C':
        case 'c':
            return 1;
        case 'G':
        case 'g':
            return 2;
        case 'T':
        case 't':
        case 'U':
        case 'u':
            return 3;
        default:
            return 4;
    }
}

TEST(EncodeBases, HasTheFieldsCodes) {
    EXPECT_EQ(encode("ACGTN"), (std::vector<std::uint8_t>{0, 1, 2, 3, 4}));
    EXPECT_EQ(encode("acgun"), (std::vector<std::uint8_t>{0, 1, 2, 3, 4}));
}

TEST(EncodeBases, KnowsEveryByteAtEveryPlaceOfABlock) {
    for (std::size_t length = 1; length <= 70; ++length) {
        for (int byte = 0; byte < 256; byte += length < 66 ? 17 : 1) {
            for (const std::size_t at : {std::size_t{0}, length / 2, length - 1}) {
                std::string bases(length, 'C');
                bases[at] = static_cast<char>(byte);
                std::vector<std::uint8_t> expected(length, 1);
                expected[at] = code_of(static_cast<char>(byte));
                ASSERT_EQ(encode(bases), expected) << byte << " at " << at << " of " << length;
            }
        }
    }
}

TEST(EncodeBases, AcceptsNothing) { EXPECT_TRUE(encode("").empty()); }

TEST(DecodeBases, InvertsEncoding) {
    const std::vector<std::uint8_t> codes = {3, 0, 4, 2, 1, 9};
    EXPECT_EQ(decode_bases(codes), "TANGCN");
    const std::string bases = "ACGTNNACGTTTGAC";
    EXPECT_EQ(decode_bases(encode(bases)), bases);
}

TEST(CountN, CountsCodesAboveT) {
    EXPECT_EQ(count_n(std::vector<std::uint8_t>{0, 4, 3, 4, 5}), 3);
    EXPECT_EQ(count_n({}), 0);
}

TEST(ReverseComplement, EqualsSamtoolsOnEveryIupacLetter) {
    FLAGEN_TOOL_OR_SKIP("samtools");
    const testing::TempDir dir;
    const std::string letters = "ACGTURYSWKMBDHVNacgturyswkmbdhvn";
    const std::string path = dir.write("t.fa", ">a\n" + letters + "\n");
    const std::string expected =
        testing::fasta_sequences(testing::tool_output("samtools faidx -i '" + path + "' a")).at(0);
    std::string bases = letters;
    reverse_complement(bases);
    EXPECT_EQ(bases, expected);
}

TEST(ReverseComplement, IsItsOwnInverse) {
    const std::string bases = testing::random_bases(1001, 4);
    std::string twice = bases;
    reverse_complement(twice);
    EXPECT_NE(twice, bases);
    reverse_complement(twice);
    EXPECT_EQ(twice, bases);
}

TEST(ReverseComplement, TurnsWhatIsNoLetterIntoN) {
    std::string bases = "A-C";
    reverse_complement(bases);
    EXPECT_EQ(bases, "GNT");
}

TEST(ReverseComplementCodes, EqualsEncodingOfTheReverseComplement) {
    for (const std::size_t length : {0, 1, 2, 31, 32, 33, 1000}) {
        std::string bases = testing::random_bases(length, length);
        std::vector<std::uint8_t> codes = encode(bases);
        reverse_complement_codes(codes);
        reverse_complement(bases);
        EXPECT_EQ(codes, encode(bases)) << length;
    }
}

}  // namespace
}  // namespace flagen::genomics
