#include "flagen/data/track_table.h"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "flagen/error.h"
#include "genomics/user_error_of.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"

namespace flagen::data {
namespace {

using ::flagen::testing::TempDir;
using ::testing::ElementsAre;

constexpr const char* kHeader =
    "\tidentifier\tfile\tclip\tclip_soft\tscale\tsum_stat\tstrand_pair\tdescription\n";

std::string row(int index, const std::string& identifier, int pair,
                const std::string& statistic = "sum", const std::string& scale = "0.3") {
    return std::to_string(index) + "\t" + identifier + "\t/x/" + identifier + ".bw\t768\t384\t" +
           scale + "\t" + statistic + "\t" + std::to_string(pair) + "\tRNA:liver\n";
}

// Rows as calico/baskerville publishes them in tests/data/tiny/hg38/targets_rna.txt: a subset whose
// indexes begin at 34, with pairs and an unstranded track.
TEST(TrackTableTest, ReadsASubsetOfAPublishedTable) {
    const TempDir folder;
    const std::string path = folder.write(
        "targets.txt",
        std::string(kHeader) +
            "34\tENCFF520NFI+\t/home/drk/rna/"
            "coverage+.w5\t384\t64\t0.3\tsum_sqrt\t35\tRNA:tracheal "
            "epithelial cell male adult (21 years) and male adult (68 years)\n"
            "35\tENCFF520NFI-\t/home/drk/rna/"
            "coverage-.w5\t384\t64\t0.3\tsum_sqrt\t34\tRNA:tracheal "
            "epithelial cell male adult (21 years) and male adult (68 years)\n"
            "40\tENCFF946ZPT\t/home/drk/rna/coverage.w5\t384\t64\t0.3\tsum_sqrt\t40\tRNA:with "
            "multiple sclerosis; CD14-positive monocyte\n"
            "64\ttabula174+\t/home/drk/rna3/coverage+.w5\t384\t64\t0.3059869193359048\tsum_sqrt\t65"
            "\tRNA3:Lymph_Node, memory b cell\n"
            "65\ttabula174-\t/home/drk/rna3/coverage-.w5\t384\t64\t0.3059869193359048\tsum_sqrt\t64"
            "\tRNA3:Lymph_Node, memory b cell\n");
    const TrackTable table = TrackTable::load(path);
    ASSERT_EQ(table.num_tracks(), 5);
    EXPECT_EQ(table.tracks[0].index, 34);
    EXPECT_EQ(table.tracks[0].strand_pair, 35);
    EXPECT_THAT(table.strand_pair_rows, ElementsAre(1, 0, 2, 4, 3));
    EXPECT_EQ(table.strand(0), '+');
    EXPECT_EQ(table.strand(1), '-');
    EXPECT_EQ(table.strand(2), '.');
    EXPECT_EQ(table.tracks[3].group, "RNA3");
    EXPECT_EQ(table.tracks[3].scale, 0.3059869193359048F);
    EXPECT_EQ(table.tracks[2].file, "/home/drk/rna/coverage.w5");
    EXPECT_EQ(table.tracks[2].clip, 384.0F);
    EXPECT_EQ(table.tracks[2].clip_soft, 64.0F);
    EXPECT_EQ(table.tracks[2].sum_stat, "sum_sqrt");
}

TEST(TrackTableTest, FillsInWhatMayBeAbsent) {
    const TempDir folder;
    const std::string path =
        folder.write("t.txt",
                     "\xEF\xBB\xBFindex\tfile\tsum_stat\tidentifier\tclip\textra\r\n"
                     "3\tb/x.bw\tavg\tone\t\tz\r\n\r\n7\t/a/y.bw\tavg_sqrt\ttwo\t2e1\t\r\n");
    const TrackTable table = TrackTable::load(path);
    ASSERT_EQ(table.num_tracks(), 2);
    EXPECT_EQ(table.tracks[0].file, (folder.path() / "b/x.bw").string());
    EXPECT_EQ(table.tracks[1].file, "/a/y.bw");
    EXPECT_EQ(table.tracks[0].sum_stat, "mean");
    EXPECT_EQ(table.tracks[1].sum_stat, "mean_sqrt");
    EXPECT_TRUE(std::isinf(table.tracks[0].clip));
    EXPECT_TRUE(std::isinf(table.tracks[0].clip_soft));
    EXPECT_EQ(table.tracks[1].clip, 20.0F);
    EXPECT_EQ(table.tracks[0].scale, 1.0F);
    EXPECT_EQ(table.tracks[0].strand_pair, 3);
    EXPECT_EQ(table.tracks[0].description, "one");
    EXPECT_EQ(TrackTable::load(path, {"/data/tracks"}).tracks[0].file, "/data/tracks/b/x.bw");
}

TEST(TrackTableTest, AGroupColumnReplacesTheAssay) {
    const TempDir folder;
    const std::string path =
        folder.write("t.txt",
                     "\tidentifier\tfile\tsum_stat\tdescription\tgroup\n"
                     "0\ta\ta.bw\tsum\tCAGE:x\tTSS\n1\tb\tb.bw\tsum\tCAGE:y\t\n"
                     "2\tc\tc.bw\tsum\tno colon\t\n");
    const TrackTable table = TrackTable::load(path);
    EXPECT_EQ(table.tracks[0].group, "TSS");
    EXPECT_EQ(table.tracks[1].group, "CAGE");
    EXPECT_EQ(table.tracks[2].group, "no colon");
}

TEST(TrackTableTest, TextReadsBackAndDigestLeavesFilesOut) {
    const TempDir folder;
    const std::string rows = row(1, "a+", 2, "sum_sqrt", "0.3059869193359048") + row(2, "a-", 1) +
                             row(9, "c", 9, "sum_exp75");
    const TrackTable table = TrackTable::load(folder.write("t.txt", kHeader + rows));
    const TrackTable again = TrackTable::load(folder.write("u.txt", table.to_text()));
    EXPECT_EQ(again.to_text(), table.to_text());
    EXPECT_EQ(again.tracks[0].scale, table.tracks[0].scale);
    EXPECT_EQ(again.strand_pair_rows, table.strand_pair_rows);
    std::string moved = rows;
    moved.replace(moved.find("/x/"), 3, "/y/");
    EXPECT_EQ(TrackTable::load(folder.write("v.txt", kHeader + moved)).digest(), table.digest());
    moved.replace(moved.find("\t768"), 4, "\t769");
    EXPECT_NE(TrackTable::load(folder.write("v.txt", kHeader + moved)).digest(), table.digest());
}

TEST(TrackTableTest, FaultsNameFileAndLine) {
    const TempDir folder;
    const auto load = [&](const std::string& text) {
        return TrackTable::load(folder.write("bad.txt", text));
    };
    const std::string good = row(0, "a+", 1) + row(1, "a-", 0);
    const auto bad_row = [&](const std::string& text) { return load(kHeader + good + text); };
    FLAGEN_EXPECT_USER_ERROR(TrackTable::load("/nowhere/t.txt"), kInputFile, "/nowhere/t.txt");
    FLAGEN_EXPECT_USER_ERROR(load(""), kInputFile, "bad.txt");
    FLAGEN_EXPECT_USER_ERROR(load(kHeader), kInputFile, "holds no track", "bad.txt");
    FLAGEN_EXPECT_USER_ERROR(load("a b c\n"), kInputFile, "no tab", "bad.txt:1");
    FLAGEN_EXPECT_USER_ERROR(load("\tidentifer\tfile\tsum_stat\n"), kInputFile, "\"identifier\"",
                             "did you mean \"identifer\"", "bad.txt:1");
    FLAGEN_EXPECT_USER_ERROR(load("\tidentifier\tfile\tfile\tsum_stat\n"), kInputFile, "twice");
    FLAGEN_EXPECT_USER_ERROR(load(kHeader + good + std::string("2\tx\0y", 5)), kInputFile, "NUL");
    FLAGEN_EXPECT_USER_ERROR(bad_row("2\tx\t/x\n"), kInputFile, "has 3", "header has 9",
                             "bad.txt:4");
    FLAGEN_EXPECT_USER_ERROR(bad_row("x" + row(2, "b", 2)), kInputFile, "index is not a whole",
                             "x2", "bad.txt:4");
    FLAGEN_EXPECT_USER_ERROR(bad_row("-" + row(2, "b", 2)), kInputFile, "index", "-2", "bad.txt:4");
    FLAGEN_EXPECT_USER_ERROR(bad_row(row(1, "b", 1)), kInputFile, "index stands twice: 1", "line 3",
                             "bad.txt:4");
    FLAGEN_EXPECT_USER_ERROR(bad_row(row(2, "", 2)), kInputFile, "identifier is empty", ":4");
    FLAGEN_EXPECT_USER_ERROR(bad_row(row(2, "b", 2, "median")), kInputFile, "median", ":4");
    FLAGEN_EXPECT_USER_ERROR(bad_row(row(2, "b", 2, "sum", "0")), kInputFile, "scale", "above 0");
    FLAGEN_EXPECT_USER_ERROR(bad_row(row(2, "b", 2, "sum", "-1")), kInputFile, "scale", ":4");
    FLAGEN_EXPECT_USER_ERROR(bad_row(row(2, "b", 2, "sum", "inf")), kInputFile, "scale", ":4");
    FLAGEN_EXPECT_USER_ERROR(bad_row(row(2, "b", 2, "sum", "nan")), kInputFile, "scale", ":4");
    FLAGEN_EXPECT_USER_ERROR(bad_row(row(2, "b", 2, "sum", "0,3")), kInputFile, "not a number",
                             "0,3", ":4");
}

TEST(TrackTableTest, StrandPairsMustBePairs) {
    const TempDir folder;
    const auto load = [&](const std::string& rows) {
        return TrackTable::load(folder.write("bad.txt", kHeader + rows));
    };
    FLAGEN_EXPECT_USER_ERROR(load(row(4, "a+", 5)), kInputFile, "not in the table: 5",
                             "both strands", "bad.txt:2");
    FLAGEN_EXPECT_USER_ERROR(load(row(0, "a+", 1) + row(1, "a-", 2) + row(2, "b+", 1)), kInputFile,
                             "whose own strand_pair is 2", "bad.txt:2");
    FLAGEN_EXPECT_USER_ERROR(load(row(0, "a+", 1) + row(1, "b", 0)), kInputFile,
                             "must end in + and -", "a+ and b", "bad.txt:2");
    FLAGEN_EXPECT_USER_ERROR(load(row(0, "a+", 1) + row(1, "b+", 0)), kInputFile,
                             "must end in + and -");
    // Collapsed to one strand, + rows a, b would hold the values of b-, a-.
    FLAGEN_EXPECT_USER_ERROR(
        load(row(0, "a+", 3) + row(1, "b+", 2) + row(2, "b-", 1) + row(3, "a-", 0)), kInputFile,
        "another order", "a-", "bad.txt:5");
    EXPECT_NO_THROW(load(row(0, "a+", 2) + row(1, "b+", 3) + row(2, "a-", 0) + row(3, "b-", 1)));
    EXPECT_NO_THROW(load(row(1, "a-", 0) + row(0, "a+", 1) + row(2, "c", 2)));
}

TEST(TrackTableTest, ReadsThePresetOfYeast) {
    FLAGEN_SHARED_DATA_OR_SKIP(tracks, "yeast_R64-1-1/tracks");
    const TrackTable table = TrackTable::load(
        std::string(FLAGEN_PRESETS) + "/yeast_stripe_targets.txt", {tracks});
    ASSERT_EQ(table.num_tracks(), 12);
    for (std::size_t i = 0; i < 12; ++i) {
        EXPECT_TRUE(std::filesystem::exists(table.tracks[i].file)) << table.tracks[i].file;
        EXPECT_EQ(table.strand(i), i % 2 == 0 ? '+' : '-');
        EXPECT_NE(table.tracks[i].file.find(i % 2 == 0 ? ".fwd.bw" : ".rev.bw"), std::string::npos);
    }
}

}  // namespace
}  // namespace flagen::data
