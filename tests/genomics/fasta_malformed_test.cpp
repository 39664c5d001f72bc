#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "flagen/error.h"
#include "flagen/genomics/fasta_reader.h"
#include "flagen/genomics/window.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using testing::fasta_text;
using ::testing::HasSubstr;
using ::testing::Matcher;
using testing::TempDir;
using testing::tiny_genome;
using testing::tool_output;

// Expects open() to refuse the file as the user's fault, naming it and saying what `text` asks for.
void expect_refused(const std::string& path, const Matcher<std::string>& text) {
    try {
        static_cast<void>(FastaReader::open(path));
        ADD_FAILURE() << "accepted: " << path;
    } catch (const UserError& error) {
        EXPECT_EQ(error.fault(), UserFault::kInputFile);
        EXPECT_THAT(std::string(error.what()), AllOf(HasSubstr(path), text));
    }
}

class FastaMalformed : public ::testing::Test {
  protected:
    void refuse(const std::string& contents, const Matcher<std::string>& text) const {
        expect_refused(dir_.write("t.fa", contents), text);
    }
    void refuse_index(const std::string& fai, const Matcher<std::string>& text) const {
        const std::string path = dir_.write("t.fa", kTwoContigs);
        const std::string index = dir_.write("t.fa.fai", fai);
        expect_refused(path, AllOf(HasSubstr(index), HasSubstr("samtools faidx " + path), text));
    }
    [[nodiscard]] std::string read(const std::string& contents, const Interval& interval) const {
        return FastaReader::open(dir_.write("t.fa", contents)).fetch(interval);
    }
    // A bgzip file of several blocks.
    [[nodiscard]] std::string write_bgzip() const {
        const std::string path = dir_.write("t.fa", fasta_text(tiny_genome()));
        static_cast<void>(tool_output("bgzip -f '" + path + "'"));
        return path + ".gz";
    }

    static constexpr const char* kTwoContigs = ">a x\nACGTA\nACG\n>b\nACGTAC\nAC\n";
    static constexpr const char* kTwoContigsIndex = "a\t8\t5\t5\t6\nb\t8\t18\t6\t7\n";
    TempDir dir_;
};

std::string contents_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST_F(FastaMalformed, Row01PlainGzipIsRefusedForBgzip) {
    const std::string path = dir_.write("t.fa", kTwoContigs);
    static_cast<void>(tool_output("gzip -f '" + path + "'"));
    expect_refused(path + ".gz", AllOf(HasSubstr("plain gzip"), HasSubstr("bgzip")));
}

TEST_F(FastaMalformed, Row02MissingIndexIsBuiltInMemory) {
    const FastaReader reader = FastaReader::open(dir_.write("t.fa", kTwoContigs));
    EXPECT_FALSE(reader.summary().index_file_checked);
    EXPECT_EQ(reader.fetch({"b", 4, 8}), "ACAC");
    EXPECT_FALSE(std::filesystem::exists(reader.path() + ".fai"));
}

TEST_F(FastaMalformed, Row03StaleIndexIsRefused) {
    // The index of the file before one base was put into contig a.
    refuse_index("a\t7\t5\t5\t6\nb\t8\t17\t6\t7\n",
                 AllOf(HasSubstr("stale"), HasSubstr("line 1"), HasSubstr("contig a"),
                       HasSubstr("length 7 in the index, 8 in ")));
    // Equal lengths, but another header line: only the offsets differ.
    refuse_index("a\t8\t3\t5\t6\nb\t8\t16\t6\t7\n", HasSubstr("offset 3 in the index, 5 in "));
    // Rewrapped.
    refuse_index("a\t8\t5\t8\t9\nb\t8\t18\t6\t7\n", HasSubstr("line_blen 8 in the index, 5 in "));
    refuse_index("a\t8\t5\t5\t7\nb\t8\t18\t6\t7\n", HasSubstr("line_len 7 in the index, 6 in "));
}

TEST_F(FastaMalformed, Row03OlderIndexOfEqualContentIsAccepted) {
    const std::string index = dir_.write("t.fa.fai", kTwoContigsIndex);
    std::filesystem::last_write_time(
        index, std::filesystem::file_time_type::clock::now() - std::chrono::hours(48));
    EXPECT_TRUE(FastaReader::open(dir_.write("t.fa", kTwoContigs)).summary().index_file_checked);
}

TEST_F(FastaMalformed, Row03IndexWithRowsOfEmptyRecordsIsAccepted) {
    const std::string name(300, 'n');
    const std::string path = dir_.write("t.fa", ">e\n>" + name + "\nACGT\n");
    dir_.write("t.fa.fai", "e\t0\t3\t0\t0\n" + name + "\t4\t305\t4\t5\n");
    EXPECT_TRUE(FastaReader::open(path).summary().index_file_checked);
}

TEST_F(FastaMalformed, Row04IndexOfALongerFileIsRefused) {
    refuse_index(std::string(kTwoContigsIndex) + "c\t100\t40\t60\t61\n",
                 AllOf(HasSubstr("line 3"), HasSubstr("contig c is not in ")));
    refuse_index("a\t8\t5\t5\t6\nb\t80\t18\t6\t7\n", HasSubstr("length 80 in the index, 8 in "));
    refuse_index("a\t8\t5\t5\t6\n", HasSubstr("ends before contig b"));
    refuse_index("", HasSubstr("ends before contig a"));
}

TEST_F(FastaMalformed, Row05IndexWithoutBasesPerLineIsRefused) {
    refuse_index("a\t8\t5\t0\t6\nb\t8\t18\t6\t7\n",
                 AllOf(HasSubstr("line_blen 0"), HasSubstr("contig a"), HasSubstr("line 1")));
    refuse_index("a\t8\t5\t5\t6\nb\t8\t18\t0\t0\n",
                 AllOf(HasSubstr("line_blen 0"), HasSubstr("line 2")));
    refuse_index("a\t8\t5\t5\t4\nb\t8\t18\t6\t7\n", HasSubstr("line_len 4"));
}

TEST_F(FastaMalformed, Row06GarbageOrHugeIndexIsRefused) {
    refuse_index("garbage\n",
                 AllOf(HasSubstr("5 tab-separated columns, found 1"), HasSubstr("line 1")));
    refuse_index(std::string("\0\1\2\t\t\t\t", 7), HasSubstr("bad length"));
    refuse_index("\n", HasSubstr("malformed"));
    refuse_index("a\teight\t5\t5\t6\n",
                 AllOf(HasSubstr("bad length \"eight\""), HasSubstr("contig a")));
    refuse_index("a\t-8\t5\t5\t6\n", HasSubstr("bad length"));
    refuse_index("a\t8\t5x\t5\t6\n", HasSubstr("bad offset"));
    refuse_index("a\t9223372036854775807\t5\t5\t6\n", HasSubstr("length 9223372036854775807"));
    refuse_index("a\t9999999999999999999999\t5\t5\t6\n", HasSubstr("bad length"));
    refuse_index(std::string(100'000, 'x'), HasSubstr("longer than"));
    refuse_index("a\t8\t5\t5\t6\t20\n", HasSubstr("FASTQ index"));
    refuse_index("other\t8\t5\t5\t6\n",
                 AllOf(HasSubstr("contig other in the index, a in "), HasSubstr("another file's")));
    refuse_index(std::string(5'000, 'n') + "\t8\t5\t5\t6\n", HasSubstr("nnn in the index, a in "));
    refuse_index("b\t8\t18\t6\t7\na\t8\t5\t5\t6\n", HasSubstr("contig b in the index, a in "));
}

TEST_F(FastaMalformed, Row07LowerCaseIsUpperCased) {
    EXPECT_EQ(read(">a\nacgtnACGTN\n", {"a", 0, 10}), "ACGTNACGTN");
}

TEST_F(FastaMalformed, Row08OtherLettersAreNormalisedAndGapsRefused) {
    const FastaReader reader = FastaReader::open(dir_.write("t.fa", ">a\nUuRyKmN\n"));
    EXPECT_EQ(reader.fetch({"a", 0, 7}), "TTNNNNN");
    EXPECT_EQ(reader.summary().num_iupac_bases, 4);
    refuse(">a\nACGT\nAC-T\n", AllOf(HasSubstr("'-' at column 3"), HasSubstr("line 3"),
                                     HasSubstr("contig a"), HasSubstr("gaps")));
    refuse(">a\nACGT*\n", AllOf(HasSubstr("'*' at column 5"), HasSubstr("line 2")));
    refuse(">a\nMKLVEF\n", HasSubstr("'L' at column 3"));
}

TEST_F(FastaMalformed, Row09DigitsAreRefused) {
    refuse(">a\nACGT123\n", AllOf(HasSubstr("'1' at column 5"), HasSubstr("line 2")));
}

TEST_F(FastaMalformed, Row10BlanksAndNulInsideAreRefused) {
    refuse(">a\nACGT\nAC T\n", AllOf(HasSubstr("a space at column 3"), HasSubstr("line 3")));
    refuse(">a\nACGT \n", HasSubstr("a space at column 5"));
    refuse(">a\nAC\tGT\n", HasSubstr("byte 0x09 at column 3"));
    refuse(std::string(">a\nAC\0T\n", 8),
           AllOf(HasSubstr("byte 0x00 at column 3"), HasSubstr("line 2")));
    refuse(std::string(">a\0b\nACGT\n", 10), AllOf(HasSubstr("byte 0x00"), HasSubstr("line 1")));
    refuse(std::string(">a b\0\nACGT\n", 11), HasSubstr("byte 0x00"));
    refuse(">a\nAC\xC3\xA9T\n", HasSubstr("byte 0xC3"));
    refuse(">a\nAC\rGT\n", HasSubstr("byte 0x0D at column 3"));
    refuse(">a\nACGT\n" + std::string(200'000, 'A') + "\n", HasSubstr("longer"));
}

TEST_F(FastaMalformed, Row10FarFaultIsFoundWithItsLine) {
    // Behind several batches of the scanner; lines of 50 from line 2 on.
    std::string text = ">a\n";
    for (int line = 0; line < 10'000; ++line) {
        text += std::string(50, "ACGT"[line % 4]) + "\n";
    }
    text[3 + 51 * 7'654 + 20] = '!';
    refuse(text, AllOf(HasSubstr("'!' at column 21"), HasSubstr("line 7656")));
}

TEST_F(FastaMalformed, Row11CrLfIsNormalised) {
    EXPECT_EQ(read(">a x\r\nACGTA\r\nCG\r\n>b\r\nTT\r\n", {"a", 3, 7}), "TACG");
    EXPECT_EQ(read(">a\r\nACGTA\r\nCG", {"a", 3, 7}), "TACG");
    EXPECT_EQ(read(">a\r\nACGTA\r\nCG\r", {"a", 3, 7}), "TACG");
    refuse(">a\nACGTA\r\nACGTA\nACGTA\n",
           AllOf(HasSubstr("not as long as the first"), HasSubstr("line 3")));
}

TEST_F(FastaMalformed, Row12ByteOrderMarkIsRefused) {
    refuse("\xEF\xBB\xBF>a\nACGT\n", AllOf(HasSubstr("byte order mark"), HasSubstr("line 1")));
    refuse(std::string("\xFF\xFE>\0a\0", 6), HasSubstr("UTF-16"));
}

TEST_F(FastaMalformed, Row13TextBeforeTheFirstRecordIsRefused) {
    refuse("ACGT\n>a\nACGT\n",
           AllOf(HasSubstr("before the first '>'"), HasSubstr("'A'"), HasSubstr("line 1")));
    refuse("\n\n; note\n>a\nACGT\n", AllOf(HasSubstr("';'"), HasSubstr("line 3")));
    EXPECT_EQ(read("\n\r\n>a\nACGT\n", {"a", 0, 4}), "ACGT");
}

TEST_F(FastaMalformed, Row14EmptyNameIsRefused) {
    refuse(">a\nAC\n>\nACGT\n", AllOf(HasSubstr("no name"), HasSubstr("line 3")));
    refuse("> a\nACGT\n", AllOf(HasSubstr("no name"), HasSubstr("line 1")));
    refuse(">a\nAC\n>", AllOf(HasSubstr("no name"), HasSubstr("line 3")));
    refuse(">" + std::string(5000, 'a') + "\nACGT\n", HasSubstr("longer than 4096"));
}

TEST_F(FastaMalformed, Row15EmptyRecordIsSkippedAndCounted) {
    const FastaReader reader =
        FastaReader::open(dir_.write("t.fa", ">e\n>a\nACGT\n>f x\n\n\n>b\nAC\n>g"));
    EXPECT_THAT(reader.contigs().names(), ElementsAre("a", "b"));
    EXPECT_THAT(reader.summary().empty_contigs, ElementsAre("e", "f", "g"));
    EXPECT_EQ(reader.fetch({"b", 0, 2}), "AC");
    refuse(">a\n>b\n", HasSubstr("no bases"));
}

TEST_F(FastaMalformed, Row16DuplicateNamesAreRefused) {
    refuse(">a\nAC\n>b\nAC\n>a x\nACGT\n",
           AllOf(HasSubstr("stands twice: a, first in line 1"), HasSubstr("line 5")));
    refuse(">a\n>a\nACGT\n", HasSubstr("stands twice"));
}

TEST_F(FastaMalformed, Row17EmptyFileIsRefused) {
    refuse("", HasSubstr("empty"));
    refuse("\n\n", HasSubstr("no bases"));
    const std::string path = dir_.write("e.fa", "");
    static_cast<void>(tool_output("bgzip -f '" + path + "'"));
    expect_refused(path + ".gz", HasSubstr("no bases"));
    expect_refused((dir_.path() / "absent.fa").string(), HasSubstr("No such file"));
    expect_refused(dir_.path().string(), HasSubstr("not a regular file"));
}

TEST_F(FastaMalformed, Row18RaggedLinesAreRefused) {
    refuse(">a\nACGTA\nACG\nACGTA\n",
           AllOf(HasSubstr("not as long as the first of its contig, 5 bases"), HasSubstr("line 3"),
                 HasSubstr("contig a")));
    refuse(">a\nACGTA\nACGTAC\n", AllOf(HasSubstr("longer than the first"), HasSubstr("line 3")));
    refuse(">a\nACGTA\n\nACGTA\n", AllOf(HasSubstr("blank line inside"), HasSubstr("line 3")));
    refuse(">a\n\nACGTA\n", AllOf(HasSubstr("blank line inside"), HasSubstr("line 2")));
    EXPECT_EQ(read(">a\nACGTA\nAC\n\n\n>b\nTT\n\n", {"b", 0, 2}), "TT");
    // Records may differ in their lengths of line.
    EXPECT_EQ(read(">a\nACG\nAC\n>b\nTTA\n>c\nAACCG\nAAC\n", {"c", 4, 8}), "GAAC");
}

TEST_F(FastaMalformed, Row19NoFinalNewlineIsAccepted) {
    EXPECT_EQ(read(">a\nACGTA\nACGTA", {"a", 3, 10}), "TAACGTA");
    EXPECT_EQ(read(">a\nACGTA\nCG", {"a", 3, 7}), "TACG");
    EXPECT_EQ(read(">a\nACGTA", {"a", 3, 5}), "TA");
}

TEST_F(FastaMalformed, Row20FastqIsRefused) {
    refuse("@read1\nACGT\n+\nIIII\n", AllOf(HasSubstr("FASTQ"), HasSubstr("line 1")));
    refuse(">read1\nACGT\n+\nIIII\n", HasSubstr("'+'"));
}

TEST_F(FastaMalformed, Row21OneLongLineNeedsNoMemory) {
    const std::string path = (dir_.path() / "long.fa").string();
    {
        std::ofstream out(path, std::ios::binary);
        out << ">long\n";
        const std::string piece = std::string(1'000'000, 'A') + "CGT";
        for (int i = 0; i < 100; ++i) {
            out << piece;
        }
    }
    const auto memory_kb = [](const char* field) {
        std::ifstream status("/proc/self/status");
        for (std::string line; std::getline(status, line);) {
            if (line.compare(0, std::strlen(field), field) == 0) {
                return std::stol(line.substr(std::strlen(field) + 1));
            }
        }
        return -1L;
    };
    std::ofstream("/proc/self/clear_refs") << "5";  // Resets the peak.
    const long before = memory_kb("VmRSS");
    const FastaReader reader = FastaReader::open(path);
    EXPECT_LT(memory_kb("VmHWM") - before, 20'000);
    EXPECT_EQ(reader.contigs().at(0).length_bp, 100'000'300);
    EXPECT_EQ(reader.fetch({"long", 100'000'296, 100'000'300}), "ACGT");
}

TEST_F(FastaMalformed, Row22RegionPastTheEndIsPaddedAndFlagged) {
    const FastaReader reader = FastaReader::open(dir_.write("t.fa", kTwoContigs));
    const Interval region = parse_region("a:7-12", reader.contigs());
    const WindowSequence window =
        fetch_window(reader, {region.contig, region.start_bp, region.length_bp()});
    EXPECT_EQ(window.bases, "CGNNNN");
    EXPECT_EQ(window.num_padded_bp, 4);
}

TEST_F(FastaMalformed, Row23PositionZeroAndReversedRegionsAreRefused) {
    EXPECT_THROW(static_cast<void>(parse_region("a:0-5")), UserError);
    EXPECT_THROW(static_cast<void>(parse_region("a:5-4")), UserError);
}

TEST_F(FastaMalformed, Row24MissingEndOfFileBlockIsRefusedUnlessAllowed) {
    FLAGEN_TOOL_OR_SKIP("bgzip");
    std::string packed = contents_of(write_bgzip());
    packed.resize(packed.size() - 28);
    const std::string path = dir_.write("cut.fa.gz", packed);
    expect_refused(path, AllOf(HasSubstr("no end-of-file block"), HasSubstr("--allow-truncated")));
    const FastaReader reader = FastaReader::open(path, {.allow_truncated_bgzf = true});
    EXPECT_TRUE(reader.summary().end_of_file_block_missing);
    EXPECT_EQ(reader.contigs().at(0).length_bp, 200'007);
}

TEST_F(FastaMalformed, Row24FilesCutInsideABlockAreRefusedAlways) {
    FLAGEN_TOOL_OR_SKIP("bgzip");
    const std::string packed = contents_of(write_bgzip());
    std::mt19937_64 random(11);
    for (int i = 0; i < 20; ++i) {
        const std::size_t size = 100 + random() % (packed.size() - 200);
        const std::string path = dir_.write("cut.fa.gz", packed.substr(0, size));
        expect_refused(path, HasSubstr("end-of-file block"));
        EXPECT_THROW(static_cast<void>(FastaReader::open(path, {.allow_truncated_bgzf = true})),
                     UserError)
            << size;
    }
}

TEST_F(FastaMalformed, Row25FlippedBitsAreFoundAtOpen) {
    FLAGEN_TOOL_OR_SKIP("bgzip");
    const std::string path = write_bgzip();
    const std::string packed = contents_of(path);
    const std::string md5 = FastaReader::open(path).summary().md5;
    std::mt19937_64 random(12);
    int num_refused = 0;
    for (int i = 0; i < 60; ++i) {
        std::string flipped = packed;
        flipped[random() % packed.size()] ^= static_cast<char>(1U << (random() % 8));
        const std::string bad = dir_.write("bad.fa.gz", flipped);
        try {
            // Bits that mean nothing (the time in a block's header) may pass; wrong bases may not.
            EXPECT_EQ(FastaReader::open(bad).summary().md5, md5);
        } catch (const UserError& error) {
            EXPECT_THAT(error.what(), HasSubstr(bad));
            ++num_refused;
        }
    }
    EXPECT_GT(num_refused, 50);

    std::string flipped = packed;
    flipped[packed.size() / 2] ^= 0x10;
    expect_refused(dir_.write("bad.fa.gz", flipped),
                   AllOf(HasSubstr("damaged"), AnyOf(HasSubstr("CRC"), HasSubstr("decompress"))));
}

}  // namespace
}  // namespace flagen::genomics
