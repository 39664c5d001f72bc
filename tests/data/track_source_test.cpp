#include "flagen/data/track_source.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "data/bigwig_fixture.h"
#include "flagen/error.h"
#include "genomics/user_error_of.h"
#include "support/shared_data.h"

namespace flagen::data {
namespace {

using ::flagen::testing::read_numbers;
using ::flagen::testing::run_python;
using ::flagen::testing::table_of;
using ::flagen::testing::TempDir;
using ::flagen::testing::write_bigwig;
using ::testing::ElementsAre;

constexpr const char* kContigs = "[('a', 1000), ('b', 300)]";

const genomics::ContigTable& some_contigs() {
    static const genomics::ContigTable contigs(
        {{"a", 1000, false}, {"b", 300, false}, {"only_in_genome", 50, false}});
    return contigs;
}

/// A source of one file, transform none, and what it reads.
std::vector<float> read_one(const std::string& path, const std::string& contig, std::int64_t start,
                            std::int64_t bins, std::int64_t bin_bp,
                            const std::string& statistic = "sum") {
    const TrackTable table = table_of({path}, statistic);
    const auto source =
        open_track_source(table, TrackTransform::make("none", table), bin_bp, some_contigs());
    std::vector<float> values(static_cast<std::size_t>(bins));
    source->read(contig, start, bins, values);
    return values;
}

class TrackSourceTest : public ::testing::Test {
  protected:
    void SetUp() override { FLAGEN_PYBIGWIG_OR_SKIP(); }
    [[nodiscard]] std::string file(const std::string& name) const {
        return (folder_.path() / name).string();
    }
    TempDir folder_;
};

TEST_F(TrackSourceTest, PoolsByHand) {
    write_bigwig(file("x.bw"), kContigs, "a 5 12 2\na 12 13 0.5\na 25 58 1\na 990 1000 4\nb 0 1 7");
    // Bins of 10: [5, 10) gives 10; [10, 12) 4 and 0.5; [25, 30) 5; 10; 10; [50, 58) 8.
    EXPECT_THAT(read_one(file("x.bw"), "a", 0, 6, 10), ElementsAre(10, 4.5, 5, 10, 10, 8));
    EXPECT_THAT(read_one(file("x.bw"), "a", 0, 2, 10, "mean"), ElementsAre(1.0F, 0.45F));
    // A start inside of intervals, before the contig, and an end past it.
    EXPECT_THAT(read_one(file("x.bw"), "a", 7, 2, 10), ElementsAre(10.5, 2));
    EXPECT_THAT(read_one(file("x.bw"), "a", -25, 4, 10), ElementsAre(0, 0, 0, 19.0F - 4.5F));
    EXPECT_THAT(read_one(file("x.bw"), "a", 985, 3, 10), ElementsAre(20, 20, 0));
    EXPECT_THAT(read_one(file("x.bw"), "b", -10, 2, 10), ElementsAre(0, 7));
    EXPECT_THAT(read_one(file("x.bw"), "a", -500, 2, 10), ElementsAre(0, 0));
    EXPECT_THAT(read_one(file("x.bw"), "a", 5000, 2, 10), ElementsAre(0, 0));
    EXPECT_THAT(read_one(file("x.bw"), "a", 0, 1, 1000), ElementsAre(14.0F + 0.5F + 33.0F + 40.0F));
    EXPECT_TRUE(read_one(file("x.bw"), "a", 0, 0, 10).empty());
}

TEST_F(TrackSourceTest, NanAndInfinityAreZeroAndCounted) {
    write_bigwig(file("x.bw"), kContigs, "a 0 5 1\na 5 9 nan\na 9 10 2\na 10 13 inf\na 13 20 1");
    const TrackTable table = table_of({file("x.bw"), file("x.bw")});
    const auto source =
        open_track_source(table, TrackTransform::make("none", table), 10, some_contigs());
    std::vector<float> values(4);
    source->read("a", 0, 2, values);
    EXPECT_THAT(values, ElementsAre(7, 7, 7, 7));
    EXPECT_EQ(source->counts(), (TrackReadCounts{2 * 7, 0, 0}));
}

TEST_F(TrackSourceTest, AMissingContigIsZeroCountedAndToldOnce) {
    write_bigwig(file("x.bw"), "[('a', 1000)]", "a 0 5 1");
    write_bigwig(file("y.bw"), kContigs, "b 0 5 1");
    const TrackTable table = table_of({file("x.bw"), file("y.bw")});
    const auto source =
        open_track_source(table, TrackTransform::make("none", table), 5, some_contigs());
    std::vector<float> values(2, -1.0F);
    source->read("b", 0, 1, values);
    EXPECT_THAT(values, ElementsAre(0, 5));
    source->read("only_in_genome", 0, 1, values);
    EXPECT_THAT(values, ElementsAre(0, 0));
    EXPECT_EQ(source->counts().missing_contig_reads, 3);
    const auto& missing = source->missing_contigs();
    ASSERT_EQ(missing.size(), 2U);
    EXPECT_EQ(missing[0].contig, "b");
    EXPECT_EQ(missing[0].num_tracks, 1);
    EXPECT_EQ(missing[0].example, file("x.bw"));
    EXPECT_EQ(missing[1].contig, "only_in_genome");
    EXPECT_EQ(missing[1].num_tracks, 2);
    FLAGEN_EXPECT_USER_ERROR(source->read("chrB", 0, 1, values), kInputFile, "chrB");
}

TEST_F(TrackSourceTest, RefusesFilesOfAnotherGenome) {
    const auto open = [&](const genomics::ContigAliases& aliases = {}) {
        const TrackTable table = table_of({file("x.bw")});
        return open_track_source(table, TrackTransform::make("none", table), 5, some_contigs(),
                                 aliases);
    };
    FLAGEN_EXPECT_USER_ERROR(open(), kInputFile, file("x.bw"));
    write_bigwig(file("x.bw"), "[('a', 999)]", "a 0 5 1");
    FLAGEN_EXPECT_USER_ERROR(open(), kInputFile, "a has 999 bp", "1000", file("x.bw"));
    write_bigwig(file("x.bw"), "[('chra', 1000)]", "chra 0 5 1");
    FLAGEN_EXPECT_USER_ERROR(open(), kInputFile, "no contig", "chra", "alias");
    const auto aliases = genomics::ContigAliases::load(folder_.write("alias.tsv", "chra\ta\n"));
    std::vector<float> values(1);
    open(aliases)->read("a", 0, 1, values);
    EXPECT_EQ(values[0], 5.0F);
}

TEST_F(TrackSourceTest, RootsOfNegativeValuesAreRefusedWithTheirPlace) {
    write_bigwig(file("x.bw"), kContigs, "a 0 20 1\na 20 30 -0.5");
    const TrackTable table = table_of({file("x.bw")}, "sum_sqrt");
    const auto source =
        open_track_source(table, TrackTransform::make("old", table), 10, some_contigs());
    std::vector<float> values(4);
    FLAGEN_EXPECT_USER_ERROR(source->read("a", 0, 4, values), kInputFile, "t0", "a:20",
                             file("x.bw"), "old", "-5");
}

// Windows, values and blacklists at random; the medians are numpy's.
TEST_F(TrackSourceTest, ClipsTheBlacklistToTheMedianOfTheWindow) {
    std::mt19937_64 random(4);
    std::string rows;
    for (std::int64_t at = 0; at < 1000;) {
        const auto length = static_cast<std::int64_t>(1 + random() % 30);
        const bool gap = at > 500 && random() % 3 == 0;  // the first half has data everywhere
        if (!gap) {
            rows += "a " + std::to_string(at) + " " +
                    std::to_string(std::min<std::int64_t>(at + length, 1000)) + " " +
                    std::to_string(random() % 50) + "\n";
        }
        at += length;
    }
    write_bigwig(file("x.bw"), kContigs, rows);
    const std::string bed =
        folder_.write("black.bed", "a\t100\t130\na\t200\t210\na\t215\t300\na\t985\t990\n");
    const TrackTable table = table_of({file("x.bw")});
    const auto source =
        open_track_source(table, TrackTransform::make("none", table), 10, some_contigs(), {}, bed);
    const std::string script = R"(
import numpy as np, pyBigWig, sys
b = pyBigWig.open(sys.argv[1])
start, bins = int(sys.argv[2]), int(sys.argv[3])
end = start + 10 * bins
v = np.nan_to_num(np.array(b.values('a', max(start, 0), min(end, 1000)), 'f8'))
m = np.percentile(v, 50) if bins >= 8 else 0.0
lo = max(start, 0)
for s, e in ((100, 130), (200, 210), (215, 300), (985, 990)):
    s, e = max(0, s - 20 - lo), min(len(v), max(0, e + 20 - lo))
    v[s:e] = np.clip(v[s:e], -m, m)
full = np.zeros(10 * bins)
full[lo - start:lo - start + len(v)] = v
full.reshape(bins, 10).sum(1).tofile(sys.argv[4])
)";
    std::int64_t windows_with_median = 0;
    for (const auto& [start, bins] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {0, 50}, {90, 8}, {95, 30}, {110, 8}, {150, 7}, {-40, 30}, {400, 70}, {170, 83}}) {
        run_python(script, {file("x.bw"), std::to_string(start), std::to_string(bins), file("o")});
        const auto expected = read_numbers<double>(file("o"));
        std::vector<float> found(static_cast<std::size_t>(bins));
        source->read("a", start, bins, found);
        for (std::size_t i = 0; i < found.size(); ++i) {
            EXPECT_FLOAT_EQ(found[i], static_cast<float>(expected[i])) << start << " bin " << i;
            windows_with_median += found[i] > 0 ? 1 : 0;
        }
    }
    EXPECT_GT(source->counts().clipped_bases, 0);
    EXPECT_GT(windows_with_median, 100);
}

// More threads and files than may stay open; every thread sees what one thread saw.
TEST_F(TrackSourceTest, ThreadsShareAPoolThatIsTooSmall) {
    std::vector<std::string> files;
    for (int i = 0; i < 20; ++i) {
        files.push_back(file("t" + std::to_string(i) + ".bw"));
        write_bigwig(files.back(), kContigs, "a 0 700 " + std::to_string(i) + "\nb 5 200 1.5");
    }
    const TrackTable table = table_of(files);
    BigWigTrackOptions options;
    options.bin_bp = 20;
    options.max_open_files = 3;
    const BigWigTrackSource source(table, TrackTransform::make("none", table), some_contigs(),
                                   options);
    std::vector<float> expected(40 * 20);
    source.read("a", -30, 40, expected);
    EXPECT_EQ(expected[5 * 20 + 7], 140.0F);
    std::vector<std::thread> threads;
    std::vector<std::vector<float>> found(4, std::vector<float>(expected.size()));
    for (auto& values : found) {
        threads.emplace_back([&source, &values] {
            for (int repeat = 0; repeat < 20; ++repeat) {
                source.read("a", -30, 40, values);
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (const auto& values : found) {
        EXPECT_EQ(values, expected);
    }
}

// Real tracks: 1-bp counts over the whole genome and 75-bp coverage of three contigs, against
// pyBigWig's values base by base, with windows that reach over contig ends.
TEST(TrackSourceYeastTest, AgreesWithPyBigWig) {
    FLAGEN_SHARED_DATA_OR_SKIP(tracks, "yeast_R64-1-1/tracks");
    FLAGEN_PYBIGWIG_OR_SKIP();
    const TempDir folder;
    const TrackTable table = TrackTable::load(
        folder.write("targets.txt",
                     "\tidentifier\tfile\tclip\tclip_soft\tscale\tsum_stat\tstrand_pair\n"
                     "0\tS+\tSTRIPEseq_WT_1.fwd.bw\t768\t384\t1\tsum\t1\n"
                     "1\tS-\tSTRIPEseq_WT_1.rev.bw\t768\t384\t1\tsum\t0\n"
                     "2\tR+\ttidyCoverage_RNA.fwd.bw\t768\t384\t0.3\tsum_sqrt\t3\n"
                     "3\tR-\ttidyCoverage_RNA.rev.bw\t768\t384\t0.3\tsum_sqrt\t2\n"
                     "4\tM\ttidyCoverage_MNase.bw\t\t\t\tmean\t\n"
                     "5\tP\ttidyCoverage_PolII.bw\t128\t32\t2\tmean\t\n"),
        {tracks});
    EXPECT_THAT(table.strand_pair_rows, ElementsAre(1, 0, 3, 2, 4, 5));
    const genomics::ContigTable contigs({{"I", 230'218, false},
                                         {"II", 813'184, false},
                                         {"IV", 1'531'933, false},
                                         {"XVI", 948'066, false},
                                         {"Mito", 85'779, false}});
    const std::string script = R"(
import numpy as np, pyBigWig, sys
folder, contig, start, bins, w, out, mode = sys.argv[1:]
start, bins, w = int(start), int(bins), int(w)
files = [('STRIPEseq_WT_1.fwd.bw', 's'), ('STRIPEseq_WT_1.rev.bw', 's'), ('tidyCoverage_RNA.fwd.bw', 's'),
         ('tidyCoverage_RNA.rev.bw', 's'), ('tidyCoverage_MNase.bw', 'm'), ('tidyCoverage_PolII.bw', 'm')]
columns = []
for name, how in files:
    b = pyBigWig.open(folder + '/' + name)
    full = np.zeros(bins * w)
    if contig in b.chroms():
        lo, hi = max(start, 0), min(start + bins * w, b.chroms()[contig])
        if lo < hi:
            full[lo - start:hi - start] = np.nan_to_num(np.array(b.values(contig, lo, hi), 'f8'))
    full = full.reshape(bins, w)
    columns.append(full.sum(1) if how == 's' else full.mean(1))
u = np.stack(columns, 1)
if mode == 'new':
    def soft(v, cs, c):
        return np.clip(np.where(v > cs, cs - 1 + np.sqrt(np.maximum(v - cs, 0) + 1), v), -c, c)
    s = np.float64(np.float32(0.3))
    u[:, 0:2] = soft(u[:, 0:2], 384, 768)
    u[:, 2:4] = soft(-1 + np.sqrt(1 + s * u[:, 2:4]), 384, 768)
    u[:, 4] = np.minimum(u[:, 4], 65504)
    u[:, 5] = soft(2 * u[:, 5], 32, 128)
u.tofile(out)
)";
    struct Place {
        std::string contig;
        std::int64_t start, bins, bin_bp;
    };
    const std::string out = (folder.path() / "o").string();
    for (const Place& at : {Place{"IV", 500'000, 6144, 32}, Place{"XVI", -70'003, 6144, 32},
                            Place{"XVI", 900'001, 3000, 32}, Place{"I", 200'000, 1000, 128},
                            Place{"II", 812'000, 500, 7}, Place{"Mito", 0, 85'779, 1}}) {
        for (const std::string mode : {"none", "new"}) {
            run_python(script, {tracks, at.contig, std::to_string(at.start),
                                std::to_string(at.bins), std::to_string(at.bin_bp), out, mode});
            const auto expected = read_numbers<double>(out);
            const auto source =
                open_track_source(table, TrackTransform::make(mode, table), at.bin_bp, contigs);
            std::vector<float> found(static_cast<std::size_t>(at.bins) * 6);
            ASSERT_EQ(expected.size(), found.size());
            source->read(at.contig, at.start, at.bins, found);
            std::size_t non_zero = 0;
            for (std::size_t i = 0; i < found.size(); ++i) {
                ASSERT_NEAR(found[i], expected[i], 2e-6 * std::abs(expected[i]) + 1e-6)
                    << at.contig << ":" << at.start << " bin " << i / 6 << " track " << i % 6;
                non_zero += found[i] != 0.0F ? 1 : 0;
            }
            EXPECT_GT(non_zero, 20U) << at.contig;
        }
    }
}

TEST(TrackSourceYeastTest, HumanWindowsAreReadInTrainingUnits) {
    FLAGEN_SHARED_DATA_OR_SKIP(tracks, "human_hg38_windows/tracks");
    FLAGEN_PYBIGWIG_OR_SKIP();
    const TempDir folder;
    const TrackTable table = TrackTable::load(
        std::string(FLAGEN_PRESETS) + "/human_windows_targets.txt", {tracks});
    ASSERT_EQ(table.num_tracks(), 74);
    const std::string contig = "chr6_158159743_158290815";
    const genomics::ContigTable contigs({{contig, 131'072, false}});
    const auto source = open_track_source(table, TrackTransform::make("none", table), 32, contigs);
    std::vector<float> found(2048 * 74);
    source->read(contig, 32'768, 2048, found);
    const std::string out = (folder.path() / "o").string();
    run_python(
        "import csv, numpy as np, pyBigWig, sys\n"
        "rows = csv.DictReader(open(sys.argv[1] + '/targets.tsv'), delimiter='\\t')\n"
        "c = [np.nan_to_num(np.array(pyBigWig.open(sys.argv[1] + '/' + r['file']).values(\n"
        "     sys.argv[2], 32768, 98304), 'f4'))[::32] for r in rows]\n"
        "np.stack(c, 1).tofile(sys.argv[3])\n",
        {tracks, contig, out});
    EXPECT_EQ(found, read_numbers<float>(out));
}

}  // namespace
}  // namespace flagen::data
