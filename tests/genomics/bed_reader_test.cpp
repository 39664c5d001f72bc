#include "flagen/genomics/bed_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "genomics/user_error_of.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

using testing::TempDir;

struct BadBed {
    const char* name;
    const char* text;
    const char* fault;
    int line;
};

class MalformedBed : public ::testing::TestWithParam<BadBed> {};

TEST_P(MalformedBed, IsAnErrorWithFileAndLine) {
    const TempDir dir;
    const std::string path = dir.write("bad.bed", GetParam().text);
    FLAGEN_EXPECT_USER_ERROR(
        read_bed(path), kInputFile, GetParam().fault,
        path + (GetParam().line == 0 ? std::string{} : ":" + std::to_string(GetParam().line)));
}

INSTANTIATE_TEST_SUITE_P(
    Row51, MalformedBed,
    ::testing::Values(
        BadBed{"EndBeforeStart", "c\t1\t5\nc\t9\t3\n", "end lies before start: 9..3", 2},
        BadBed{"NegativeStart", "c\t-1\t5\n", "start is negative: \"-1\"", 1},
        BadBed{"NegativeEnd", "c\t1\t-5\n", "end is negative: \"-5\"", 1},
        BadBed{"ZeroLength", "c\t7\t7\n", "interval is empty, start equals end: 7", 1},
        BadBed{"Spaces", "c 1 5\n", "separated by tabs, not blanks: \"c 1 5\"", 1},
        BadBed{"TwoColumns", "c\t1\n", "BED row has 2 tab-separated columns", 1},
        BadBed{"Fraction", "c\t1.5\t9\n", "start is not a whole number: \"1.5\"", 1},
        BadBed{"Exponent", "c\t1\t1e3\n", "end is not a whole number: \"1e3\"", 1},
        BadBed{"Text", "# c\nc\tfive\t9\n", "start is not a whole number: \"five\"", 2},
        BadBed{"PlusSign", "c\t+1\t9\n", "start is not a whole number: \"+1\"", 1},
        BadBed{"Overflow", "c\t1\t99999999999999999999\n", "end is not a whole number", 1},
        BadBed{"AlmostOverflow", "c\t1\t9223372036854775807\n", "end is not a whole number", 1},
        BadBed{"TrailingBlank", "c\t1\t9 \n", "end is not a whole number: \"9 \"", 1},
        BadBed{"EmptyContig", "\t1\t9\n", "contig name is empty", 1},
        BadBed{"BlankInContig", "c d\t1\t9\n", "contig name is empty or holds a blank", 1},
        BadBed{"BadScore", "c\t1\t9\tn\thigh\n", "score is not a number: \"high\"", 1},
        BadBed{"BadStrand", "c\t1\t9\tn\t0\tx\n", "strand is not one of + - .: \"x\"", 1},
        BadBed{"RaggedRows", "c\t1\t9\nc\t1\t9\tname\n", "BED row has 4 columns, the first row", 2},
        BadBed{"LineEndsOfOldMacs", "c\t1\t9\rc\t11\t19\r", "carriage return inside a line", 1},
        BadBed{"Empty", "", "BED file holds no interval", 0},
        BadBed{"CommentsOnly", "# a\ntrack name=x\n", "BED file holds no interval", 0}),
    [](const auto& test) { return test.param.name; });

TEST(BedReader, RejectsNulBytes) {
    const TempDir dir;
    const std::string path = dir.write("nul.bed", std::string("c\t1\t5\nc\t1\t\0009\n", 14));
    FLAGEN_EXPECT_USER_ERROR(read_bed(path), kInputFile, "NUL byte inside a line", path + ":2");
}

TEST(BedReader, SkipsTrackBrowserCommentAndBlankLines) {
    const TempDir dir;
    const auto records = read_bed(dir.write("a.bed",
                                            "browser position c:1-9\ntrack\ntrack name=\"x y\"\n"
                                            "# comment\n\nc\t1\t5\n  \n#\nc\t6\t8\n"));
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[0].interval, (Interval{"c", 1, 5}));
    EXPECT_EQ(records[1].interval, (Interval{"c", 6, 8}));
    EXPECT_EQ(records[1].line_number, 9);
}

TEST(BedReader, KeepsContigsThatBeginLikeKeywords) {
    const TempDir dir;
    const auto records = read_bed(dir.write("a.bed", "track\t1\t5\ntrack2\t1\t5\nbrowser\t1\t5\n"));
    ASSERT_EQ(records.size(), 3U);
    EXPECT_EQ(records[0].interval.contig, "track");
    EXPECT_EQ(records[1].interval.contig, "track2");
}

TEST(BedReader, ReadsSixColumnsAndDropsTheRest) {
    const TempDir dir;
    const auto records =
        read_bed(dir.write("twelve.bed",
                           "c\t0\t100\tgene a\t960.5\t-\t10\t90\t255,0,0\t2\t10,20\t0,80\n"
                           "c\t200\t300\t\t.\t+\t200\t200\t0\t1\t100\t0\n"));
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[0].name, "gene a");
    EXPECT_EQ(records[0].score, 960.5);
    EXPECT_EQ(records[0].strand, Strand::kReverse);
    EXPECT_EQ(records[1].name, "");
    EXPECT_EQ(records[1].score, std::nullopt);
    EXPECT_EQ(records[1].strand, Strand::kForward);
}

TEST(BedReader, ReadsThreeToFiveColumns) {
    const TempDir dir;
    for (const std::string tail : {"", "\tname", "\tname\t7", "\tname\t7\t."}) {
        const auto records = read_bed(dir.write("n.bed", "c\t0\t100" + tail));
        ASSERT_EQ(records.size(), 1U);
        EXPECT_EQ(records[0].interval, (Interval{"c", 0, 100}));
        EXPECT_EQ(records[0].strand, Strand::kUnknown);
        EXPECT_EQ(records[0].name, tail.empty() ? "" : "name");
    }
}

TEST(BedReader, NormalisesCrlfAndByteOrderMark) {
    const TempDir dir;
    const auto records = read_bed(dir.write("w.bed",
                                            "\xEF\xBB\xBF"
                                            "c\t1\t5\ta\r\nd\t2\t6\tb\r\n"));
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[0].interval, (Interval{"c", 1, 5}));
    EXPECT_EQ(records[1].name, "b");
}

TEST(BedReader, ReadsPlainGzipAndBgzipAlike) {
    FLAGEN_TOOL_OR_SKIP("bgzip");
    const TempDir dir;
    std::string text;
    for (int i = 0; i < 30'000; ++i) {
        text += "contig" + std::to_string(i % 7) + "\t" + std::to_string(i) + "\t" +
                std::to_string(i + 10) + "\n";
    }
    const std::string plain = dir.write("a.bed", text);
    testing::tool_output("gzip -kc '" + plain + "' > '" + plain + ".gz'");
    testing::tool_output("bgzip -c '" + plain + "' > '" + plain + ".bgz'");
    const auto expected = read_bed(plain);
    ASSERT_EQ(expected.size(), 30'000U);
    for (const std::string& path : {plain + ".gz", plain + ".bgz"}) {
        const auto records = read_bed(path);
        ASSERT_EQ(records.size(), expected.size());
        for (std::size_t i = 0; i < records.size(); ++i) {
            ASSERT_EQ(records[i].interval, expected[i].interval);
        }
    }
}

TEST(BedReader, NamesAFileThatIsAbsentOrAFolder) {
    const TempDir dir;
    FLAGEN_EXPECT_USER_ERROR(read_bed((dir.path() / "no.bed").string()), kInputFile,
                             "cannot open file: ", "no.bed", "No such file");
    FLAGEN_EXPECT_USER_ERROR(read_bed(dir.path().string()), kInputFile, "is a folder");
}

TEST(BedReader, CountsAsAwkDoes) {
    FLAGEN_SHARED_DATA_OR_SKIP(path, "yeast_R64-1-1/windows_524288.bed");
    std::int64_t total = 0;
    std::int64_t genes = 0;
    const auto records = read_bed(path);
    for (const BedRecord& record : records) {
        total += record.interval.length_bp();
        genes += static_cast<std::int64_t>(record.score.value());
    }
    const std::string expected = testing::tool_output(
        "awk -F'\\t' '{n++; bp += $3 - $2; genes += $5} END {printf \"%d %d %d\", n, bp, genes}' "
        "'" +
        path + "'");
    EXPECT_EQ(
        std::to_string(records.size()) + " " + std::to_string(total) + " " + std::to_string(genes),
        expected);
}

}  // namespace
}  // namespace flagen::genomics
