#include "fasta_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "flagen/error.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

using std::string_literals::operator""s;

// Everything a scan of `text` in pieces of `piece` bytes says, as text: rows, counts, MD5, or
// fault.
std::string scan(const std::string& text, std::size_t piece) {
    try {
        FastaScanner scanner("t.fa");
        for (std::size_t at = 0; at < text.size(); at += piece) {
            scanner.consume(text.data() + at, std::min(piece, text.size() - at));
        }
        const FastaContents contents = scanner.finish();
        std::string result;
        for (const FastaRecord& record : contents.records) {
            result += record.name;
            for (const std::int64_t value :
                 {record.length_bp, record.offset_bytes, record.line_bases, record.line_bytes}) {
                result += "\t" + std::to_string(value);
            }
            result += "\n";
        }
        for (const std::string& name : contents.empty_records) {
            result += "empty " + name + "\n";
        }
        return result + std::to_string(contents.counts.num_iupac) + " " + contents.md5;
    } catch (const UserError& error) {
        return error.what();
    }
}

TEST(FastaScanner, MeasuresRecords) {
    EXPECT_THAT(scan(">a x\nACGTA\nACG\n>e\n>b\r\nACGTAC\r\nAY\r\n", 1000),
                ::testing::StartsWith("a\t8\t5\t5\t6\nb\t8\t22\t6\t8\nempty e\n1 "));
}

TEST(FastaScanner, SaysTheSameHoweverTheBytesArrive) {
    const std::vector<testing::TinyContig> genome = {
        {"a", testing::random_bases(100, 1)}, {"bb", "G"}, {"c", testing::random_bases(31, 2)}};
    const std::string strange = ">\n\r\0 \t-*@+;1UuRyNACGTz\xEF\x7F"s;
    std::mt19937_64 random(3);
    int num_faults = 0;
    for (int i = 0; i < 4000; ++i) {
        std::string text =
            testing::fasta_text(genome, 1 + random() % 40, i % 2 == 0 ? "\n" : "\r\n");
        for (std::uint64_t edits = random() % 3; edits > 0; --edits) {
            const std::size_t at = random() % text.size();
            switch (random() % 3) {
                case 0:
                    text[at] = strange[random() % strange.size()];
                    break;
                case 1:
                    text.insert(at, 1, strange[random() % strange.size()]);
                    break;
                default:
                    text.erase(at, 1);
            }
        }
        const std::string whole = scan(text, text.size());
        num_faults += static_cast<int>(whole.find("t.fa") != std::string::npos);
        for (const std::size_t piece : {1, 2, 7, 64}) {
            ASSERT_EQ(scan(text, piece), whole) << ::testing::PrintToString(text);
        }
    }
    EXPECT_GT(num_faults, 500);
    EXPECT_LT(num_faults, 3500);
}

}  // namespace
}  // namespace flagen::genomics
