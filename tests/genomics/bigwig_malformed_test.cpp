#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "flagen/genomics/bigwig_reader.h"
#include "flagen/genomics/bigwig_writer.h"
#include "genomics/bigwig_bytes.h"
#include "genomics/user_error_of.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"

namespace flagen::genomics {
namespace {

using testing::bigwig_bytes;
using testing::BigWigBytes;
using testing::put;
using testing::put_at;
using testing::section_bytes;
using testing::SectionBytes;
using testing::TempDir;

struct Item {
    std::uint32_t start;
    std::uint32_t end;
};

SectionBytes graph(std::uint32_t contig, const std::vector<Item>& items) {
    SectionBytes section = section_bytes(contig, items.front().start, items.back().end, 0, 0, 1,
                                         static_cast<std::uint16_t>(items.size()));
    for (const Item& item : items) {
        put(section.bytes, item.start);
        put(section.bytes, item.end);
        put(section.bytes, 1.0F);
    }
    return section;
}

BigWigBytes sound() {
    return bigwig_bytes({{"a", 100}, {"b", 200}},
                        {graph(0, {{0, 10}, {20, 30}}), graph(0, {{40, 50}}), graph(1, {{5, 6}})});
}

class MalformedBigWig : public ::testing::Test {
  protected:
    // Opens the file and reads every contig.
    void read_all(const std::string& bytes) {
        const BigWigReader reader = BigWigReader::open(dir_.write("t.bw", bytes));
        std::vector<BigWigInterval> items;
        for (const Contig& contig : reader.contigs()) {
            reader.intervals(contig.name, 0, contig.length_bp, items);
            std::int64_t previous = 0;
            for (const BigWigInterval& item : items) {
                ASSERT_LE(previous, item.start_bp);
                ASSERT_LT(item.start_bp, item.end_bp);
                previous = item.end_bp;
            }
            ASSERT_LE(previous, contig.length_bp);
        }
    }

    void refuse(const std::string& bytes, const std::string& reason) {
        FLAGEN_EXPECT_USER_ERROR(read_all(bytes), kInputFile, (dir_.path() / "t.bw").string(),
                                 reason);
    }

    TempDir dir_;
};

TEST_F(MalformedBigWig, SoundFileIsAccepted) { read_all(sound().bytes); }

TEST_F(MalformedBigWig, OtherKindsOfFilesAreNamed) {
    refuse("", "bigWig file is empty");
    refuse("abc", "does not begin with a bigWig's magic number");
    refuse("\x88\x8F\xFC\x26 swapped", "big-endian byte order");
    refuse(std::string("\xEB\xF2\x89\x87 bed", 8), "it is a bigBed file");
    refuse(std::string("\x87\x89\xF2\xEB bed", 8), "it is a bigBed file");
    refuse("\x1F\x8B\x08 gzip", "compressed with gzip; decompress it with gunzip");
    refuse("fixedStep chrom=a start=1 step=1\n", "it is text; convert it with wigToBigWig");
    refuse("track type=bedGraph\n", "it is text; convert it with wigToBigWig");
    refuse(sound().bytes.substr(0, 40), "header at byte 0 (64 bytes) reaches past the end");
}

TEST_F(MalformedBigWig, MissingFileFolderAndAddressAreNamed) {
    const std::string folder = dir_.path().string();
    FLAGEN_EXPECT_USER_ERROR(BigWigReader::open(folder + "/none.bw"), kInputFile,
                             "cannot open the bigWig file", "none.bw", "No such file");
    FLAGEN_EXPECT_USER_ERROR(BigWigReader::open(folder), kInputFile, "not a regular file", folder);
    FLAGEN_EXPECT_USER_ERROR(BigWigReader::open("https://example.org/t.bw"), kInputFile,
                             "not read over the network", "download");
    FLAGEN_EXPECT_USER_ERROR(BigWigReader::open("/dev/null"), kInputFile, "not a regular file");
}

TEST_F(MalformedBigWig, HeaderFieldsAreChecked) {
    struct Case {
        std::size_t offset;
        std::uint64_t value;
        const char* reason;
    };
    for (const Case& item :
         {Case{8, 1 << 30, "the header puts the contig table at byte 1073741824"},
          Case{8, 0, "the header puts the contig table at byte 0"},
          Case{16, 1 << 30, "the header puts the data at byte 1073741824"},
          Case{24, 1 << 30, "the header puts the index at byte 1073741824"},
          Case{24, ~0ULL, "the header puts the index at byte 18446744073709551615"},
          Case{44, 1 << 30, "the header puts the summary at byte 1073741824"}}) {
        BigWigBytes file = sound();
        put_at(file.bytes, item.offset, item.value);
        refuse(file.bytes, item.reason);
    }
    BigWigBytes file = sound();
    put_at(file.bytes, 4, std::uint16_t{9});
    refuse(file.bytes, "format version 9");
    file = sound();
    put_at(file.bytes, 6, std::uint16_t{65535});
    refuse(file.bytes, "table of zoom levels at byte 64 (1572840 bytes) reaches past the end");
    file = sound();
    put_at(file.bytes, 6, std::uint16_t{1});  // Reads the summary as a zoom header.
    refuse(file.bytes, "the header puts data of a zoom level at byte 0");
    put_at(file.bytes, 72, std::uint64_t{file.index});
    put_at(file.bytes, 80, std::uint64_t{file.index + 1});
    refuse(file.bytes, "has a wrong magic number");
    file = sound();
    file.bytes.resize(file.bytes.size() - 4);
    refuse(file.bytes, "likely truncated");
}

TEST_F(MalformedBigWig, ContigTableIsChecked) {
    struct Case {
        std::size_t offset;  // In the table: 32 bytes of header, 4 of the node, 16 a contig.
        std::uint32_t value;
        const char* reason;
    };
    for (const Case& item :
         {Case{0, 1, "wrong magic number"}, Case{8, 0, "has keys of 0"},
          Case{8, 0xFFFFFFFF, "has keys of 4294967295"}, Case{12, 9, "values of 9 bytes"},
          Case{16, 0, "claims 0 contigs"}, Case{16, 1, "taken or above 0"},
          Case{16, 3, "claims 3 contigs and holds 2"}, Case{20, 1, "claims 4294967298 contigs"},
          Case{34, 0xFFFF, "node of the contig table"},
          Case{36, 0, "contig number 0 has the name \"\""}, Case{36, 0x0A61, "has the name \"a?\""},
          Case{36, 0x62, "contig b stands twice"}, Case{44, 7, "contig a has the number 7"},
          Case{60, 0, "contig b has the number 0"}, Case{48, 0, "contig a has no base"}}) {
        BigWigBytes file = sound();
        put_at(file.bytes, file.tree + item.offset, item.value);
        refuse(file.bytes, item.reason);
    }
    // A root that is its own child.
    BigWigBytes file = sound();
    put_at(file.bytes, file.tree + 32, std::uint8_t{0});
    put_at(file.bytes, file.tree + 44, std::uint64_t{file.tree + 32});
    refuse(file.bytes, "contig table runs in a circle");
}

TEST_F(MalformedBigWig, IndexIsChecked) {
    struct Case {
        std::size_t offset;  // In the index: 48 bytes of header, 4 of the node, 32 a block.
        std::uint64_t value;
        const char* reason;
    };
    constexpr std::size_t kFirst = 52;
    for (const Case& item :
         {Case{kFirst + 16, 1 << 30, "lists a block of"},
          Case{kFirst + 24, ~0ULL, "lists a block of"},
          Case{kFirst + 24, 0, "the data block at byte"},
          Case{kFirst + 24, 5, "does not decompress"}, Case{kFirst + 16, 64, "does not decompress"},
          // The second block, given as the first once more.
          Case{kFirst + 32 + 16, 0, "does not decompress"}}) {
        BigWigBytes file = sound();
        put_at(file.bytes, file.index + item.offset, item.value);
        refuse(file.bytes, item.reason);
    }
    BigWigBytes file = sound();
    put_at(file.bytes, file.index, std::uint32_t{1});
    refuse(file.bytes, "wrong magic number");
    file = sound();
    put_at(file.bytes, file.index + 50, std::uint16_t{0xFFFF});
    refuse(file.bytes, "node of the index");
    file = sound();
    put_at(file.bytes, file.index + kFirst + 8, std::uint32_t{1});
    refuse(file.bytes, "a block over several contigs");
    file = sound();
    put_at(file.bytes, file.index + kFirst + 12, std::uint32_t{25});
    refuse(file.bytes, "lies outside the 0..25 that the index gives");
    file = sound();  // A root that is its own child, over all contigs.
    put_at(file.bytes, file.index + 48, std::uint8_t{0});
    put_at(file.bytes, file.index + 50, std::uint16_t{1});
    put_at(file.bytes, file.index + kFirst + 8, std::uint32_t{9});
    put_at(file.bytes, file.index + kFirst + 16, std::uint64_t{file.index + 48});
    refuse(file.bytes, "runs in a circle");
}

TEST_F(MalformedBigWig, SectionsAreChecked) {
    const auto refuse_section = [&](SectionBytes section, const std::string& reason) {
        for (const bool compressed : {false, true}) {
            refuse(bigwig_bytes({{"a", 100}, {"b", 50}}, {section}, compressed).bytes, reason);
        }
    };
    SectionBytes section = graph(0, {{0, 10}, {20, 30}});
    section.bytes.resize(23);
    refuse_section(section, "is shorter than its header");
    section = graph(0, {{0, 10}, {20, 30}});
    section.bytes.resize(section.bytes.size() - 1);
    refuse_section(section, "claims 2 items and has 47 bytes");
    section = graph(0, {{0, 10}, {20, 30}});
    put_at(section.bytes, 22, std::uint16_t{65535});
    refuse_section(section, "claims 65535 items and has 48 bytes");
    section = graph(0, {{0, 10}, {20, 30}});
    put_at(section.bytes, 20, std::uint8_t{4});
    refuse_section(section, "has type 4");
    section = graph(0, {{0, 10}, {20, 30}});
    put_at(section.bytes, 0, std::uint32_t{1});
    refuse_section(section, "contig number 1, expected 0");
    refuse_section(graph(0, {{0, 10}, {9, 30}}), "overlaps one that ends at 10");
    refuse_section(graph(0, {{20, 30}, {0, 40}}), "overlaps one that ends at 30");
    refuse_section(graph(0, {{0, 10}, {20, 20}, {21, 30}}), "interval 20..20 of contig number 0");
    refuse_section(graph(0, {{0, 10}, {20, 12}, {30, 40}}), "interval 20..12 of contig number 0");
    refuse(bigwig_bytes({{"a", 100}}, {graph(0, {{0, 10}}), graph(0, {{9, 20}})}).bytes,
           "overlaps one that ends at 10");
}

TEST_F(MalformedBigWig, EmptySectionsAreAcceptedAsLibBigWigWritesThem) {
    SectionBytes section = graph(0, {{0, 10}});
    put_at(section.bytes, 22, std::uint16_t{0});
    read_all(bigwig_bytes({{"a", 100}}, {section, graph(0, {{5, 10}})}).bytes);
}

TEST_F(MalformedBigWig, IndexThatListsABlockOverAndOverEnds) {
    SectionBytes section = graph(0, {{0, 10}});
    put_at(section.bytes, 22, std::uint16_t{0});
    section.bytes.append(100'000, 'x');
    BigWigBytes file = bigwig_bytes({{"a", 100}}, std::vector<SectionBytes>(50, section), false);
    file.bytes.resize(file.index + 52);  // Each block as large as the file.
    for (int i = 0; i < 50; ++i) {
        put(file.bytes, std::uint64_t{0});
        put(file.bytes, std::uint32_t{0});
        put(file.bytes, std::uint32_t{10});
        put(file.bytes, std::uint64_t{file.blocks[0]});
        put(file.bytes, std::uint64_t{700'000});
    }
    put(file.bytes, std::uint32_t{0x888FFC26});
    refuse(file.bytes, "more than once");
}

TEST_F(MalformedBigWig, BombOfZerosIsNotInflated) {
    SectionBytes section = graph(0, {{0, 10}});
    section.bytes.resize(std::size_t{64} << 20);
    refuse(bigwig_bytes({{"a", 100}}, {section}).bytes, "does not decompress");
}

TEST_F(MalformedBigWig, TruncationAtEveryByteIsAnError) {
    const std::string whole = sound().bytes;
    for (std::size_t size = 0; size < whole.size(); ++size) {
        FLAGEN_EXPECT_USER_ERROR(read_all(whole.substr(0, size)), kInputFile, "t.bw");
    }
}

std::string contents_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST_F(MalformedBigWig, TruncatedRealFilesAreErrors) {
    std::mt19937_64 random(5);
    for (const char* name : {"yeast_chrI_smoke/STRIPEseq_WT_1.fwd.chrI.bw",
                             "yeast_R64-1-1/tracks/tidyCoverage_Scc1.bw"}) {
        FLAGEN_SHARED_DATA_OR_SKIP(path, name);
        const std::string whole = contents_of(path);
        for (int i = 0; i < 60; ++i) {
            const std::size_t size =
                i < 10 ? whole.size() - 1 - static_cast<std::size_t>(i) : random() % whole.size();
            FLAGEN_EXPECT_USER_ERROR(read_all(whole.substr(0, size)), kInputFile, "t.bw");
        }
    }
}

// Flips bits in `whole`, mostly in header, contig table and index; a damaged file must either be
// refused as the user's fault or read as sound intervals. Returns how many were refused.
template <typename ReadAll>
int flip_bits(const std::string& whole, const std::vector<std::size_t>& places, int rounds,
              std::uint64_t seed, const ReadAll& read_all) {
    std::mt19937_64 random(seed);
    int refused = 0;
    for (int round = 0; round < rounds; ++round) {
        std::string bytes = whole;
        const std::size_t flips = 1 + random() % 4;
        for (std::size_t i = 0; i < flips; ++i) {
            const std::size_t place =
                random() % 4 == 0 ? random() % bytes.size() : places[random() % places.size()];
            bytes[place] = random() % 2 == 0
                               ? static_cast<char>(random())
                               : static_cast<char>(bytes[place] ^ (1 << (random() % 8)));
        }
        const auto caught = testing::user_error_of([&] { read_all(bytes); });
        refused += caught.fault ? 1 : 0;
    }
    return refused;
}

TEST_F(MalformedBigWig, FlippedBitsNeverCrashOrHang) {
    const std::clock_t begin = std::clock();
    const auto read = [&](const std::string& bytes) { read_all(bytes); };
    for (const bool compressed : {false, true}) {
        const BigWigBytes file = bigwig_bytes(
            {{"a", 100}, {"b", 200}},
            {graph(0, {{0, 10}, {20, 30}}), graph(0, {{40, 50}}), graph(1, {{5, 6}})}, compressed);
        std::vector<std::size_t> places(file.bytes.size());
        for (std::size_t i = 0; i < places.size(); ++i) {
            places[i] = i;
        }
        EXPECT_GT(flip_bits(file.bytes, places, 2000, compressed ? 1 : 2, read), 1000);
    }
    EXPECT_LT(std::clock() - begin, 60 * CLOCKS_PER_SEC);
}

TEST_F(MalformedBigWig, FlippedBitsOfAFileWithDeepTreesNeverCrashOrHang) {
    // Three levels of index and two of contigs.
    const std::string path = (dir_.path() / "deep.bw").string();
    std::vector<Contig> contigs;
    for (int i = 0; i < 700; ++i) {
        contigs.push_back({"c" + std::to_string(i), 1000, false});
    }
    BigWigWriter writer(path, contigs);
    for (const Contig& contig : contigs) {
        writer.add(contig.name, 0, std::vector<float>{1.0F, 2.0F, 3.0F}, 10);
    }
    writer.finish();
    const std::string whole = contents_of(path);
    read_all(whole);
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < 500; ++i) {
        places.push_back(i);  // Header, zoom headers, top of the contig tree.
    }
    std::uint64_t index = 0;
    std::memcpy(&index, whole.data() + 24, sizeof(index));
    for (std::size_t i = index; i < index + 20'000; ++i) {
        places.push_back(i);
    }
    const std::clock_t begin = std::clock();
    const int refused =
        flip_bits(whole, places, 150, 3, [&](const std::string& bytes) { read_all(bytes); });
    EXPECT_GT(refused, 40);
    EXPECT_LT(std::clock() - begin, 120 * CLOCKS_PER_SEC);
}

TEST_F(MalformedBigWig, IndexWhoseNodesShareChildrenEnds) {
    // 24 nodes, each with the next one as child many times over: 400^24 paths.
    BigWigBytes file = sound();
    std::string bytes = file.bytes.substr(0, file.index + 48);
    constexpr std::size_t kNodes = 20;
    constexpr std::size_t kChildren = 400;
    constexpr std::size_t kNodeBytes = 4 + kChildren * 24;
    for (std::size_t node = 0; node < kNodes; ++node) {
        put(bytes, std::uint16_t{0});
        put(bytes, static_cast<std::uint16_t>(kChildren));
        for (std::size_t i = 0; i < kChildren; ++i) {
            put(bytes, std::uint64_t{0});
            put(bytes, ~std::uint64_t{0});
            put(bytes, std::uint64_t{file.index + 48 + (node + 1) * kNodeBytes});
        }
    }
    put(bytes, std::uint32_t{1});  // A leaf without blocks.
    put(bytes, std::uint32_t{0x888FFC26});
    refuse(bytes, "the index runs in a circle");
}

}  // namespace
}  // namespace flagen::genomics
