#include "flagen/genomics/bigwig_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "flagen/error.h"
#include "genomics/bigwig_bytes.h"
#include "support/run_python.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"

namespace flagen::genomics {
namespace {

using testing::bigwig_bytes;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::put;
using testing::section_bytes;
using testing::SectionBytes;
using testing::TempDir;

using Intervals = std::vector<BigWigInterval>;

Intervals read(const BigWigReader& reader, const std::string& contig, std::int64_t start,
               std::int64_t end) {
    Intervals out = {{7, 8, 9.0F}};  // Must be replaced.
    reader.intervals(contig, start, end, out);
    return out;
}

// What a query of [start, end) must give, cut out of all intervals of a contig.
Intervals cut(const Intervals& all, std::int64_t start, std::int64_t end) {
    Intervals out;
    for (const BigWigInterval& item : all) {
        if (start < end && item.end_bp > start && item.start_bp < end) {
            out.push_back({std::max(item.start_bp, start), std::min(item.end_bp, end), item.value});
        }
    }
    return out;
}

// Bits of values, so that NaN equals NaN.
bool same(const Intervals& left, const Intervals& right) {
    return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                      [](const BigWigInterval& a, const BigWigInterval& b) {
                          return a.start_bp == b.start_bp && a.end_bp == b.end_bp &&
                                 std::memcmp(&a.value, &b.value, sizeof(float)) == 0;
                      });
}

/// Contigs and intervals of a bigWig file as pyBigWig reads them.
struct Reference {
    std::map<std::string, std::int64_t> lengths;
    std::map<std::string, Intervals> intervals;
};

Reference pybigwig(const std::string& path) {
    const TempDir dir;
    const std::string dump = (dir.path() / "dump").string();
    const std::string listing = testing::run_python(R"(
import sys, numpy as np, pyBigWig
bw = pyBigWig.open(sys.argv[1])
with open(sys.argv[2], 'wb') as out:
    for name, length in bw.chroms().items():
        rows = bw.intervals(name) or ()
        print(name, length, len(rows))
        if rows:
            starts, ends, values = zip(*rows)
            out.write(np.array(starts, 'i8').tobytes() + np.array(ends, 'i8').tobytes()
                      + np.array(values, 'f4').tobytes())
)",
                                                    {path, dump});
    Reference reference;
    std::ifstream in(dump, std::ios::binary);
    std::istringstream lines(listing);
    std::string name;
    std::int64_t length = 0;
    std::size_t count = 0;
    while (lines >> name >> length >> count) {
        reference.lengths[name] = length;
        std::vector<std::int64_t> starts(count);
        std::vector<std::int64_t> ends(count);
        std::vector<float> values(count);
        in.read(reinterpret_cast<char*>(starts.data()), static_cast<std::streamsize>(count * 8));
        in.read(reinterpret_cast<char*>(ends.data()), static_cast<std::streamsize>(count * 8));
        in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * 4));
        for (std::size_t i = 0; i < count; ++i) {
            reference.intervals[name].push_back({starts[i], ends[i], values[i]});
        }
    }
    return reference;
}

// Compares contigs, all intervals and random windows; returns the number of intervals.
std::size_t expect_equal_to_pybigwig(const std::string& path) {
    const Reference reference = pybigwig(path);
    const BigWigReader reader = BigWigReader::open(path);
    EXPECT_EQ(reader.contigs().size(), reference.lengths.size()) << path;
    std::mt19937_64 random(11);
    std::size_t total = 0;
    for (const Contig& contig : reader.contigs()) {
        const auto length = reference.lengths.find(contig.name);
        if (length == reference.lengths.end()) {
            ADD_FAILURE() << contig.name << " in " << path;
            continue;
        }
        EXPECT_EQ(contig.length_bp, length->second);
        const auto found = reference.intervals.find(contig.name);
        const Intervals all = found == reference.intervals.end() ? Intervals{} : found->second;
        EXPECT_TRUE(same(read(reader, contig.name, 0, contig.length_bp), all))
            << path << " " << contig.name;
        for (int i = 0; i < 30; ++i) {
            const auto start =
                static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(contig.length_bp));
            const auto width = static_cast<std::int64_t>(random() % (i % 2 == 0 ? 200 : 100'000));
            EXPECT_TRUE(same(read(reader, contig.name, start, start + width),
                             cut(all, start, start + width)))
                << path << " " << contig.name << " " << start << " " << width;
        }
        total += all.size();
    }
    return total;
}

TEST(BigWigReader, EqualsPyBigWigOnRealTracks) {
    if (!testing::python_has("pyBigWig")) {
        GTEST_SKIP() << "pyBigWig is not installed";
    }
    std::size_t total = 0;
    for (const char* track : {"yeast_R64-1-1/tracks/STRIPEseq_WT_1.fwd.bw",
                              "yeast_R64-1-1/tracks/STRIPEseq_diamide_3.rev.bw",
                              "yeast_R64-1-1/tracks/tidyCoverage_RNA.fwd.bw",
                              "yeast_R64-1-1/tracks/tidyCoverage_MNase.bw",
                              "yeast_R64-1-1/tracks/tidyCoverage_PolII.bw",
                              "yeast_chrI_smoke/STRIPEseq_WT_1.rev.chrI.bw",
                              "human_hg38_windows/tracks/T24_ENCFF890OGQ.bw"}) {
        FLAGEN_SHARED_DATA_OR_SKIP(path, track);
        const std::size_t count = expect_equal_to_pybigwig(path);
        EXPECT_GT(count, 1000U) << path;
        total += count;
    }
    EXPECT_GT(total, 300'000U);
}

TEST(BigWigReader, EqualsTheBedGraphItWasMadeFrom) {
    for (const char* strand : {"fwd", "rev"}) {
        const std::string stem =
            std::string("yeast_chrI_smoke/STRIPEseq_WT_1.") + strand + ".chrI.";
        FLAGEN_SHARED_DATA_OR_SKIP(path, stem + "bw");
        FLAGEN_SHARED_DATA_OR_SKIP(text, stem + "bedGraph");
        Intervals expected;
        std::ifstream in(text);
        std::string contig;
        std::int64_t start = 0;
        std::int64_t end = 0;
        double value = 0.0;
        while (in >> contig >> start >> end >> value) {
            ASSERT_EQ(contig, "I");
            expected.push_back({start, end, static_cast<float>(value)});
        }
        ASSERT_GT(expected.size(), 100U);
        const BigWigReader reader = BigWigReader::open(path);
        EXPECT_EQ(reader.contig_length("I"), 230'218);
        EXPECT_EQ(read(reader, "I", 0, 230'218), expected);
    }
}

TEST(BigWigReader, ReadsAllThreeKindsThatPyBigWigWrites) {
    if (!testing::python_has("pyBigWig")) {
        GTEST_SKIP() << "pyBigWig is not installed";
    }
    const TempDir dir;
    const std::string path = (dir.path() / "kinds.bw").string();
    static_cast<void>(testing::run_python(R"(
import sys, numpy as np, pyBigWig
rng = np.random.default_rng(3)
bw = pyBigWig.open(sys.argv[1], 'w')
bw.addHeader([('graph', 1000000), ('variable', 500000), ('fixed', 900000), ('none', 77)])
ends = np.cumsum(rng.integers(2, 60, 20000))
starts = ends - rng.integers(1, 2, 20000)
bw.addEntries(['graph'] * 20000, list(map(int, starts)), ends=list(map(int, ends)),
              values=list(map(float, rng.normal(size=20000))))
bw.addEntries('variable', list(map(int, np.arange(9000) * 50 + 3)), span=20,
              values=list(map(float, rng.normal(size=9000))))
bw.addEntries('fixed', 100, span=25, step=32, values=list(map(float, rng.normal(size=27000))))
bw.close()
)",
                                          {path}));
    EXPECT_EQ(expect_equal_to_pybigwig(path), 20'000U + 9'000U + 27'000U);
    const BigWigReader reader = BigWigReader::open(path);
    EXPECT_THAT(read(reader, "none", 0, 77), IsEmpty());
}

SectionBytes graph_section() {
    SectionBytes section = section_bytes(0, 10, 40, 0, 0, 1, 3);
    for (const auto& [start, end, value] :
         {std::tuple{10U, 15U, 1.5F}, std::tuple{15U, 16U, -2.0F}, std::tuple{30U, 40U, 0.1F}}) {
        put(section.bytes, start);
        put(section.bytes, end);
        put(section.bytes, value);
    }
    return section;
}

SectionBytes fixed_section(std::uint32_t contig, std::uint32_t start) {
    SectionBytes section = section_bytes(contig, start, start + 14, 5, 4, 3, 3);
    for (const float value : {7.0F, std::nanf(""), 9.0F}) {
        put(section.bytes, value);
    }
    return section;
}

SectionBytes variable_section() {
    SectionBytes section = section_bytes(1, 3, 105, 0, 5, 2, 2);
    for (const auto& [start, value] : {std::pair{3U, 1.0F}, std::pair{100U, 2.0F}}) {
        put(section.bytes, start);
        put(section.bytes, value);
    }
    return section;
}

class HandMade : public ::testing::TestWithParam<bool> {};

TEST_P(HandMade, SectionsOfEveryKindWithAndWithoutCompression) {
    const TempDir dir;
    const auto file =
        bigwig_bytes({{"b", 100}, {"a", 103}},
                     {graph_section(), fixed_section(0, 50), variable_section()}, GetParam());
    const BigWigReader reader = BigWigReader::open(dir.write("t.bw", file.bytes));
    ASSERT_EQ(reader.contigs().size(), 2U);
    EXPECT_EQ(reader.contigs()[0].name, "b");
    EXPECT_EQ(reader.contig_length("a"), 103);
    EXPECT_EQ(reader.contig_length("B"), std::nullopt);
    EXPECT_THAT(read(reader, "b", 12, 31),
                ElementsAre(BigWigInterval{12, 15, 1.5F}, BigWigInterval{15, 16, -2.0F},
                            BigWigInterval{30, 31, 0.1F}));
    const Intervals fixed = read(reader, "b", 50, 100);
    ASSERT_EQ(fixed.size(), 3U);
    EXPECT_EQ(fixed[0], (BigWigInterval{50, 54, 7.0F}));
    EXPECT_EQ(fixed[1].start_bp, 55);
    EXPECT_TRUE(std::isnan(fixed[1].value));
    EXPECT_EQ(fixed[2], (BigWigInterval{60, 64, 9.0F}));
    // The file's last interval reaches two bases past its contig.
    EXPECT_THAT(read(reader, "a", 0, 103),
                ElementsAre(BigWigInterval{3, 8, 1.0F}, BigWigInterval{100, 103, 2.0F}));
}

INSTANTIATE_TEST_SUITE_P(BigWigReader, HandMade, ::testing::Bool());

TEST(BigWigReader, EveryWindowOfASmallFile) {
    const TempDir dir;
    const auto file = bigwig_bytes({{"c", 60}}, {graph_section(), fixed_section(0, 45)}, true, 3);
    const BigWigReader reader = BigWigReader::open(dir.write("t.bw", file.bytes));
    const Intervals all = read(reader, "c", 0, 60);
    ASSERT_EQ(all.size(), 6U);
    for (std::int64_t start = -3; start < 64; ++start) {
        for (std::int64_t end = start; end < 66; ++end) {
            ASSERT_TRUE(same(read(reader, "c", start, end), cut(all, start, end)))
                << start << " " << end;
        }
    }
}

TEST(BigWigReader, UnknownContigAndReversedIntervalAreProgramFaults) {
    const TempDir dir;
    const auto file = bigwig_bytes({{"c", 60}}, {graph_section()});
    const BigWigReader reader = BigWigReader::open(dir.write("t.bw", file.bytes));
    EXPECT_THROW(read(reader, "d", 0, 1), Error);
    EXPECT_THROW(read(reader, "c", 2, 1), Error);
    EXPECT_THAT(read(reader, "c", 60, 90), IsEmpty());
    EXPECT_THAT(read(reader, "c", -9, 0), IsEmpty());
}

TEST(BigWigReader, ReadersInSeveralThreadsAgree) {
    const TempDir dir;
    const std::string path =
        dir.write("t.bw", bigwig_bytes({{"c", 60}}, {graph_section(), fixed_section(0, 45)}).bytes);
    const Intervals expected = read(BigWigReader::open(path), "c", 0, 60);
    std::vector<std::thread> threads;
    std::array<bool, 8> equal{};
    for (std::size_t i = 0; i < equal.size(); ++i) {
        threads.emplace_back([&, i] {
            bool all = true;
            for (int round = 0; round < 50; ++round) {
                const BigWigReader reader = BigWigReader::open(path);
                all = all && same(read(reader, "c", 0, 60), expected);
            }
            equal[i] = all;
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_THAT(equal, ::testing::Each(true));
}

TEST(BigWigReader, MovesWithItsFile) {
    const TempDir dir;
    const auto file = bigwig_bytes({{"c", 60}}, {graph_section()});
    BigWigReader first = BigWigReader::open(dir.write("t.bw", file.bytes));
    BigWigReader second = std::move(first);
    first = BigWigReader::open(second.path());
    EXPECT_EQ(read(second, "c", 0, 60), read(first, "c", 0, 60));
}

}  // namespace
}  // namespace flagen::genomics
