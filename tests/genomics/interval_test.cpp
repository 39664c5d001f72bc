#include "flagen/genomics/interval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "flagen/error.h"
#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/fasta_reader.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

using ::testing::HasSubstr;

std::string region_error(const std::string& text) {
    try {
        static_cast<void>(parse_region(text));
    } catch (const UserError& error) {
        EXPECT_EQ(error.fault(), UserFault::kConfig);
        EXPECT_THAT(error.what(), HasSubstr("\"" + text + "\""));
        return error.what();
    }
    ADD_FAILURE() << "accepted: " << text;
    return {};
}

TEST(ParseRegion, ConvertsOneBasedClosedToZeroBasedHalfOpen) {
    EXPECT_EQ(parse_region("chr1:1-1"), (Interval{"chr1", 0, 1}));
    EXPECT_EQ(parse_region("chr1:1,001-2,000"), (Interval{"chr1", 1000, 2000}));
    EXPECT_EQ(parse_region("chr1:1,001-2,000").length_bp(), 1000);
}

TEST(ParseRegion, LeavesTheEndOpenWithoutOne) {
    EXPECT_EQ(parse_region("chr1"), (Interval{"chr1", 0, kContigEnd}));
    EXPECT_EQ(parse_region("chr1:1,001"), (Interval{"chr1", 1000, kContigEnd}));
}

TEST(ParseRegion, TakesNamesWithColonsInBraces) {
    EXPECT_EQ(parse_region("{HLA-A*01:01}:5-9"), (Interval{"HLA-A*01:01", 4, 9}));
    EXPECT_EQ(parse_region("{HLA-A*01:01}"), (Interval{"HLA-A*01:01", 0, kContigEnd}));
    EXPECT_EQ(parse_region("HLA-A*01:01:5-9"), (Interval{"HLA-A*01:01", 4, 9}));
}

TEST(ParseRegion, RejectsPositionZero) {
    EXPECT_THAT(region_error("chr1:0-10"), HasSubstr("start 0, but positions count from 1"));
    EXPECT_THAT(region_error("chr1:0"), HasSubstr("start 0"));
}

TEST(ParseRegion, RejectsReversedRegion) {
    EXPECT_THAT(region_error("chr1:10-9"), HasSubstr("ends before it starts"));
}

TEST(ParseRegion, RejectsWhatIsNotANumber) {
    for (const char* text :
         {"chr1:", "chr1:a-b", "chr1:1-", "chr1:-5", "chr1:1-2-3", "chr1:,1-2", "chr1:1,-2",
          "chr1:1,,2-3", "chr1: 1-2", "chr1:1e3-2e3", "chr1:+1-2"}) {
        EXPECT_THAT(region_error(text), HasSubstr("bad")) << text;
    }
    EXPECT_THAT(region_error("chr1:1-99999999999999999999"), HasSubstr("too large"));
    EXPECT_THAT(region_error("chr1:1-9223372036854775807"), HasSubstr("too large"));
}

TEST(ParseRegion, RejectsWhatNamesNoContig) {
    EXPECT_THAT(region_error(""), HasSubstr("names no contig"));
    EXPECT_THAT(region_error(":1-2"), HasSubstr("names no contig"));
    EXPECT_THAT(region_error("{}:1-2"), HasSubstr("names no contig"));
    EXPECT_THAT(region_error("{chr1:1-2"), HasSubstr("closing brace"));
    EXPECT_THAT(region_error("{chr1}x"), HasSubstr("after the brace"));
}

TEST(ParseRegionWithContigs, ResolvesNamesAndEnds) {
    const ContigTable contigs({{"chr1", 500, false}, {"HLA:01:01", 70, false}});
    EXPECT_EQ(parse_region("chr1", contigs), (Interval{"chr1", 0, 500}));
    EXPECT_EQ(parse_region("chr1:11", contigs), (Interval{"chr1", 10, 500}));
    EXPECT_EQ(parse_region("HLA:01:01", contigs), (Interval{"HLA:01:01", 0, 70}));
    EXPECT_EQ(parse_region("HLA:01:01:5-9", contigs), (Interval{"HLA:01:01", 4, 9}));
}

TEST(ParseRegionWithContigs, KeepsAnEndPastTheContig) {
    const ContigTable contigs({{"chr1", 500, false}});
    EXPECT_EQ(parse_region("chr1:401-600", contigs), (Interval{"chr1", 400, 600}));
}

TEST(ParseRegionWithContigs, RejectsUnknownContigWithTheLikelyOne) {
    const ContigTable contigs({{"chr1", 500, false}});
    try {
        static_cast<void>(parse_region("1:1-10", contigs));
        FAIL();
    } catch (const UserError& error) {
        EXPECT_THAT(error.what(), HasSubstr("contig is not in the FASTA: 1 (region \"1:1-10\")"));
        EXPECT_THAT(error.what(), HasSubstr("did you mean \"chr1\"?"));
    }
}

TEST(ParseRegionWithContigs, RejectsWhatReadsInTwoWays) {
    const ContigTable contigs({{"c", 500, false}, {"c:1-10", 70, false}});
    EXPECT_THROW(static_cast<void>(parse_region("c:1-10", contigs)), UserError);
    EXPECT_EQ(parse_region("{c}:1-10", contigs), (Interval{"c", 0, 10}));
    EXPECT_EQ(parse_region("{c:1-10}", contigs), (Interval{"c:1-10", 0, 70}));
}

TEST(ParseRegionWithContigs, RejectsAnOpenRegionPastTheEnd) {
    const ContigTable contigs({{"chr1", 500, false}});
    EXPECT_THROW(static_cast<void>(parse_region("chr1:501", contigs)), UserError);
}

TEST(ParseRegionWithContigs, ReadsRegionsAsSamtoolsDoes) {
    FLAGEN_TOOL_OR_SKIP("samtools");
    const testing::TempDir dir;
    const std::string path = dir.write("a.fa", testing::fasta_text(testing::tiny_genome()));
    const FastaReader reader = FastaReader::open(path);
    for (const std::string region : {"chrI:1-1", "chrI:1,001-2,000", "chrII:35,990", "plasmid",
                                     "{chrI}:60-61", "one:1-1", "chrII:1-36,000"}) {
        const std::string text =
            testing::tool_output("samtools faidx " + path + " '" + region + "'");
        std::string expected = testing::fasta_sequences(text).at(0);
        for (char& base : expected) {
            base = static_cast<char>(base & 0xDF);
        }
        EXPECT_EQ(reader.fetch(parse_region(region, reader.contigs())), expected) << region;
    }
}

TEST(Strand, HasOneSymbolEach) {
    EXPECT_EQ(strand_symbol(Strand::kForward), '+');
    EXPECT_EQ(strand_symbol(Strand::kReverse), '-');
    EXPECT_EQ(strand_symbol(Strand::kUnknown), '.');
}

}  // namespace
}  // namespace flagen::genomics
