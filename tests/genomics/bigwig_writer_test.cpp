#include "flagen/genomics/bigwig_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include "flagen/error.h"
#include "flagen/genomics/bigwig_reader.h"
#include "genomics/user_error_of.h"
#include "support/run_python.h"
#include "support/temp_dir.h"

namespace flagen::genomics {
namespace {

using ::testing::ElementsAre;
using testing::TempDir;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<BigWigInterval> read(const std::string& path, const std::string& contig) {
    const BigWigReader reader = BigWigReader::open(path);
    std::vector<BigWigInterval> out;
    reader.intervals(contig, 0, reader.contig_length(contig).value(), out);
    return out;
}

std::vector<std::string> files_of(const TempDir& dir) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
        names.push_back(entry.path().filename().string());
    }
    return names;
}

std::vector<float> random_values(std::size_t count, std::uint64_t seed, int nan_in) {
    std::mt19937_64 random(seed);
    std::vector<float> values(count);
    for (float& value : values) {
        value = nan_in > 0 && random() % static_cast<std::uint64_t>(nan_in) == 0
                    ? kNaN
                    : static_cast<float>(static_cast<std::int64_t>(random() % 200'000) - 50'000) /
                          1000.0F;
    }
    return values;
}

TEST(BigWigWriter, ReadsBackWhatWasAdded) {
    const TempDir dir;
    const std::string path = (dir.path() / "t.bw").string();
    BigWigWriter writer(path, {{"b", 100, false}, {"a", 70, false}, {"none", 5, false}});
    writer.add("b", 0, std::vector<float>{1.0F, kNaN, -0.0F}, 32);
    writer.add("b", 96, std::vector<float>{4.0F}, 32);  // Cut at base 100.
    writer.add("a", 3, std::vector<float>{5.0F, 5.0F}, 1);
    writer.add("a", 10, {}, 32);
    writer.add("a", 64, std::vector<float>{6.0F}, 3);
    writer.finish();
    EXPECT_THAT(read(path, "b"),
                ElementsAre(BigWigInterval{0, 32, 1.0F}, BigWigInterval{64, 96, 0.0F},
                            BigWigInterval{96, 100, 4.0F}));
    EXPECT_TRUE(std::signbit(read(path, "b")[1].value));
    EXPECT_THAT(read(path, "a"), ElementsAre(BigWigInterval{3, 4, 5.0F}, BigWigInterval{4, 5, 5.0F},
                                             BigWigInterval{64, 67, 6.0F}));
    EXPECT_THAT(read(path, "none"), ::testing::IsEmpty());
    EXPECT_THAT(files_of(dir), ElementsAre("t.bw"));
}

// Writes values of all contigs as text, for numpy.
void write_values(const std::string& path, const std::vector<float>& values) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(float)));
}

TEST(BigWigWriter, PyBigWigReadsEqualValuesSummaryAndZoomLevels) {
    if (!testing::python_has("pyBigWig")) {
        GTEST_SKIP() << "pyBigWig is not installed";
    }
    constexpr std::int64_t kLength = 3'999'990;
    constexpr std::int64_t kBin = 32;
    constexpr std::size_t kBins = (kLength + kBin - 1) / kBin;
    for (const int nan_in : {0, 3, 50}) {
        const TempDir dir;
        const std::string path = (dir.path() / "t.bw").string();
        const auto values = random_values(kBins, 17 + static_cast<std::uint64_t>(nan_in), nan_in);
        BigWigWriter writer(path, {{"one", kLength, false}, {"two", 4096, false}});
        for (std::size_t at = 0; at < kBins; at += 6144) {
            const std::size_t count = std::min<std::size_t>(6144, kBins - at);
            writer.add("one", static_cast<std::int64_t>(at) * kBin,
                       std::span(values).subspan(at, count), kBin);
        }
        writer.add("two", 0, std::span(values).first(128), kBin);
        writer.finish();
        const std::string raw = (dir.path() / "values").string();
        write_values(raw, values);
        const std::string output = testing::run_python(R"(
import struct, sys, zlib, numpy as np, pyBigWig
values = np.fromfile(sys.argv[2], 'f4')
length, bin_bp = 3999990, 32
bw = pyBigWig.open(sys.argv[1])
assert bw.chroms() == {'one': length, 'two': 4096}, bw.chroms()
starts, ends, found = map(np.array, zip(*bw.intervals('one')))
kept = ~np.isnan(values)
at = np.arange(len(values)) * bin_bp
assert (starts == at[kept]).all()
assert (ends == np.minimum(at + bin_bp, length)[kept]).all()
assert (found.astype('f4') == values[kept]).all()
bases = np.repeat(values, bin_bp)[:length].astype('f8')
both = np.concatenate([bases, bases[:4096]])
both = both[~np.isnan(both)]
header = bw.header()
raw = open(sys.argv[1], 'rb').read()  # pyBigWig shows the summary as whole numbers.
covered, low, high, total, squares = struct.unpack_from('<Qdddd', raw, *struct.unpack_from('<Q', raw, 44))
assert covered == both.size == header['nBasesCovered'], (covered, both.size)
assert (low, high) == (both.min(), both.max()), (low, high, both.min(), both.max())
assert abs(total / both.sum() - 1) < 1e-9, (total, both.sum())
assert abs(squares / (both ** 2).sum() - 1) < 1e-9, (squares, (both ** 2).sum())
print('levels', header['nLevels'])
record = np.dtype([('contig', 'u4'), ('start', 'u4'), ('end', 'u4'), ('covered', 'u4'),
                   ('low', 'f4'), ('high', 'f4'), ('sum', 'f4'), ('squares', 'f4')])
for level in range(header['nLevels']):
    step, _, data, index = struct.unpack_from('<IIQQ', raw, 64 + 24 * level)
    assert step == 256 * 4 ** level, step
    at, content = data + 4, b''
    while at < index:
        stream = zlib.decompressobj()
        piece = raw[at:min(at + 100000, index)]
        content += stream.decompress(piece)
        at += len(piece) - len(stream.unused_data)
    records = np.frombuffer(content, record)
    assert len(records) == struct.unpack_from('<I', raw, data)[0], level
    assert (records['contig'] == np.sort(records['contig'])).all()
    for contig, values_of in enumerate((bases, bases[:4096])):
        mine = records[records['contig'] == contig]
        steps = np.full((-(-values_of.size // step), step), np.nan)
        steps.flat[:values_of.size] = values_of
        seen = ~np.isnan(steps)
        covered = seen.sum(1)
        some = covered > 0
        steps, seen, covered = steps[some], seen[some], covered[some]
        origin = np.flatnonzero(some) * step
        assert (mine['covered'] == covered).all(), level
        assert (mine['start'] == origin + seen.argmax(1)).all(), level
        assert (mine['end'] == origin + step - seen[:, ::-1].argmax(1)).all(), level
        assert (mine['low'] == np.nanmin(steps, 1)).all(), level
        assert (mine['high'] == np.nanmax(steps, 1)).all(), level
        scale = np.nansum(np.abs(steps), 1)
        assert (np.abs(mine['sum'] - np.nansum(steps, 1)) <= 1e-6 * scale).all(), level
        squares = np.nansum(steps ** 2, 1)
        assert (np.abs(mine['squares'] - squares) <= 1e-6 * squares).all(), level
mean, = bw.stats('one', 0, length)
assert abs(mean / np.nanmean(bases) - 1) < 1e-5, (mean, np.nanmean(bases))
coverage, = bw.stats('one', 0, length, type='coverage')
assert abs(coverage / (1 - np.isnan(bases).mean()) - 1) < 1e-5, coverage
)",
                                                       {path, raw});
        // 256 * 4^6 bp is the last step below the contig's length.
        EXPECT_EQ(output, "levels 7\n");
    }
}

TEST(BigWigWriter, ZoomLevelsOfAConstantAreThatConstant) {
    if (!testing::python_has("pyBigWig")) {
        GTEST_SKIP() << "pyBigWig is not installed";
    }
    const TempDir dir;
    const std::string path = (dir.path() / "t.bw").string();
    BigWigWriter writer(path, {{"c", 4'000'000, false}});
    writer.add("c", 0, std::vector<float>(40'000, 2.0F), 100);
    writer.finish();
    EXPECT_EQ(testing::run_python(R"(
import sys, pyBigWig
bw = pyBigWig.open(sys.argv[1])
for bins in (1, 7, 50, 300):
    assert set(bw.stats('c', 0, 4000000, nBins=bins)) == {2.0}, bins
    assert set(bw.stats('c', 0, 4000000, nBins=bins, type='coverage')) == {1.0}, bins
header = bw.header()
print(header['minVal'], header['maxVal'], header['nBasesCovered'], header['nLevels'])
)",
                                  {path}),
              "2 2 4000000 7\n");
}

TEST(BigWigWriter, ManyContigsAndBlocksMakeDeepTrees) {
    const TempDir dir;
    const std::string path = (dir.path() / "t.bw").string();
    std::vector<Contig> contigs;
    for (int i = 0; i < 70'000; ++i) {
        contigs.push_back({"scaffold_" + std::to_string(i * 7919 % 70'001), 50, false});
    }
    BigWigWriter writer(path, contigs);
    for (std::size_t i = 0; i < contigs.size(); i += 2) {
        const auto value = static_cast<float>(i);
        writer.add(contigs[i].name, static_cast<std::int64_t>(i % 40), std::vector{value, -value},
                   5);
    }
    writer.finish();
    const BigWigReader reader = BigWigReader::open(path);
    ASSERT_EQ(reader.contigs().size(), contigs.size());
    std::vector<BigWigInterval> out;
    for (std::size_t i = 0; i < contigs.size(); ++i) {
        ASSERT_EQ(reader.contigs()[i].name, contigs[i].name);
        reader.intervals(contigs[i].name, 0, 50, out);
        ASSERT_EQ(out.size(), i % 2 == 0 ? 2U : 0U) << i;
        if (i % 2 == 0) {
            const auto start = static_cast<std::int64_t>(i % 40);
            ASSERT_EQ(out[0], (BigWigInterval{start, start + 5, static_cast<float>(i)}));
        }
    }
    if (testing::python_has("pyBigWig")) {
        EXPECT_EQ(
            testing::run_python(R"(
import sys, pyBigWig
bw = pyBigWig.open(sys.argv[1])
names = list(bw.chroms())
print(len(names))
for name in ('scaffold_0', 'scaffold_15838', 'scaffold_60000'):
    print(name in names, bw.intervals(name))
)",
                                {path}),
            "70000\nTrue ((0, 5, 0.0), (5, 10, -0.0))\n"
            "True ((2, 7, 2.0), (7, 12, -2.0))\n"
            "True " +
                [&] {
                    const auto at = static_cast<std::size_t>(
                        std::find_if(contigs.begin(), contigs.end(),
                                     [](const Contig& c) { return c.name == "scaffold_60000"; }) -
                        contigs.begin());
                    if (at % 2 == 1) {
                        return std::string("None");
                    }
                    const auto start = std::to_string(at % 40);
                    const auto middle = std::to_string(at % 40 + 5);
                    const auto end = std::to_string(at % 40 + 10);
                    const auto value = std::to_string(at);
                    return "((" + start + ", " + middle + ", " + value + ".0), (" + middle + ", " +
                           end + ", -" + value + ".0))";
                }() +
                "\n");
    }
}

TEST(BigWigWriter, FileWithoutAnyValueIsSound) {
    const TempDir dir;
    const std::string path = (dir.path() / "t.bw").string();
    BigWigWriter writer(path, {{"c", 10, false}});
    writer.add("c", 0, std::vector<float>{kNaN, kNaN}, 5);
    writer.finish();
    EXPECT_THAT(read(path, "c"), ::testing::IsEmpty());
    if (testing::python_has("pyBigWig")) {
        EXPECT_EQ(testing::run_python("import sys, pyBigWig; b = pyBigWig.open(sys.argv[1]); "
                                      "print(b.chroms(), b.intervals('c'), b.header()['minVal'])",
                                      {path}),
                  "{'c': 10} None 0\n");
    }
}

TEST(BigWigWriter, UnfinishedFileLeavesTheOldOne) {
    const TempDir dir;
    const std::string path = dir.write("t.bw", "old");
    {
        BigWigWriter writer(path, {{"c", 10, false}});
        writer.add("c", 0, std::vector<float>{1.0F}, 5);
        EXPECT_EQ(files_of(dir).size(), 2U);
    }
    EXPECT_THAT(files_of(dir), ElementsAre("t.bw"));
    EXPECT_EQ(std::filesystem::file_size(path), 3U);
    BigWigWriter writer(path, {{"c", 10, false}});
    writer.add("c", 0, std::vector<float>{1.0F}, 5);
    writer.finish();
    EXPECT_THAT(read(path, "c"), ElementsAre(BigWigInterval{0, 5, 1.0F}));
}

TEST(BigWigWriter, ZoomLevelsMayBeLeftOut) {
    const TempDir dir;
    const std::string with = (dir.path() / "with.bw").string();
    const std::string without = (dir.path() / "without.bw").string();
    for (const auto& [path, levels] : {std::pair{with, 10}, std::pair{without, 0}}) {
        BigWigWriter writer(path, {{"c", 100'000, false}}, {levels});
        writer.add("c", 0, random_values(1000, 3, 0), 100);
        writer.finish();
    }
    EXPECT_EQ(read(with, "c"), read(without, "c"));
    EXPECT_GT(std::filesystem::file_size(with), std::filesystem::file_size(without));
}

TEST(BigWigWriter, WrongUseIsAProgramFault) {
    const TempDir dir;
    const std::string path = (dir.path() / "t.bw").string();
    EXPECT_THROW(BigWigWriter(path, {}), Error);
    EXPECT_THROW(BigWigWriter(path, {{"c", 0, false}}), Error);
    EXPECT_THROW(BigWigWriter(path, {{"c", 5, false}, {"c", 5, false}}), Error);
    EXPECT_THROW(BigWigWriter(path, {{"c", std::int64_t{1} << 32, false}}), Error);
    FLAGEN_EXPECT_USER_ERROR(BigWigWriter((dir.path() / "no" / "t.bw").string(), {{"c", 5, false}}),
                             kConfig, "cannot create", "No such file");
    BigWigWriter writer(path, {{"a", 100, false}, {"b", 100, false}});
    const std::vector<float> two = {1.0F, 2.0F};
    EXPECT_THROW(writer.add("x", 0, two, 5), Error);
    EXPECT_THROW(writer.add("a", -1, two, 5), Error);
    EXPECT_THROW(writer.add("a", 0, two, 0), Error);
    EXPECT_THROW(writer.add("a", 95, two, 5), Error);
    EXPECT_THROW(writer.add("a", 0, std::vector<float>{INFINITY}, 5), Error);
}

TEST(BigWigWriter, BinsMustAscend) {
    const TempDir dir;
    BigWigWriter writer((dir.path() / "t.bw").string(), {{"a", 100, false}, {"b", 100, false}});
    const std::vector<float> two = {1.0F, 2.0F};
    writer.add("a", 20, two, 5);
    EXPECT_THROW(writer.add("a", 29, two, 5), Error);
    writer.add("b", 0, two, 5);
    EXPECT_THROW(writer.add("a", 30, two, 5), Error);
    writer.finish();
    EXPECT_THROW(writer.finish(), Error);
    EXPECT_THROW(writer.add("b", 50, two, 5), Error);
}

}  // namespace
}  // namespace flagen::genomics
