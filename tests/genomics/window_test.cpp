#include "flagen/genomics/window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "flagen/error.h"
#include "flagen/genomics/fasta_reader.h"
#include "support/shared_data.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

constexpr std::int64_t kBig = std::numeric_limits<std::int64_t>::max();

const InMemoryReference& genome() {
    static const InMemoryReference reference(
        {{"line", "ACGTTGCAAN", false}, {"ring", "ACGTTGCAAN", true}});
    return reference;
}

TEST(FetchWindow, ReadsInsideAContig) {
    const WindowSequence window = fetch_window(genome(), {"line", 2, 5});
    EXPECT_EQ(window.bases, "GTTGC");
    EXPECT_EQ(window.num_padded_bp, 0);
}

TEST(FetchWindow, KeepsAnExactFit) {
    const WindowSequence window = fetch_window(genome(), {"line", 0, 10});
    EXPECT_EQ(window.bases, "ACGTTGCAAN");
    EXPECT_EQ(window.num_padded_bp, 0) << "an N of the genome is no padding";
}

TEST(FetchWindow, PadsOverEitherEndOfALinearContig) {
    WindowSequence window = fetch_window(genome(), {"line", -3, 5});
    EXPECT_EQ(window.bases, "NNNAC");
    EXPECT_EQ(window.num_padded_bp, 3);
    window = fetch_window(genome(), {"line", 8, 5});
    EXPECT_EQ(window.bases, "ANNNN");
    EXPECT_EQ(window.num_padded_bp, 3);
    window = fetch_window(genome(), {"line", -1, 13});
    EXPECT_EQ(window.bases, "NACGTTGCAANNN");
    EXPECT_EQ(window.num_padded_bp, 3);
}

TEST(FetchWindow, PadsWhollyOffAContig) {
    for (const std::int64_t start : {-9, -4, 10, 11, 1000}) {
        const WindowSequence window = fetch_window(genome(), {"line", start, 4});
        EXPECT_EQ(window.bases, "NNNN") << start;
        EXPECT_EQ(window.num_padded_bp, 4) << start;
    }
    EXPECT_EQ(fetch_window(genome(), {"line", kBig - 4, 4}).bases, "NNNN");
}

TEST(FetchWindow, WrapsOnACircularContig) {
    WindowSequence window = fetch_window(genome(), {"ring", 7, 6});
    EXPECT_EQ(window.bases, "AANACG");
    EXPECT_EQ(window.num_padded_bp, 0);
    EXPECT_EQ(fetch_window(genome(), {"ring", -3, 6}).bases, "AANACG");
    EXPECT_EQ(fetch_window(genome(), {"ring", -13, 6}).bases, "AANACG");
    EXPECT_EQ(fetch_window(genome(), {"ring", 10, 4}).bases, "ACGT");
    EXPECT_EQ(fetch_window(genome(), {"ring", 8, 24}).bases, "ANACGTTGCAANACGTTGCAANAC");
}

TEST(FetchWindow, ReverseComplementsAfterPadding) {
    const WindowSequence window = fetch_window(genome(), {"line", -2, 6, Strand::kReverse});
    EXPECT_EQ(window.bases, "ACGTNN");
    EXPECT_EQ(window.num_padded_bp, 2);
    EXPECT_EQ(fetch_window(genome(), {"ring", 7, 6, Strand::kReverse}).bases, "CGTNTT");
    EXPECT_EQ(fetch_window(genome(), {"line", 0, 4, Strand::kUnknown}).bases, "ACGT");
}

TEST(FetchWindow, EqualsBaseByBaseReading) {
    std::mt19937_64 random(5);
    for (int i = 0; i < 500; ++i) {
        const bool circular = random() % 2 == 0;
        const Window window{circular ? "ring" : "line",
                            static_cast<std::int64_t>(random() % 60) - 30,
                            static_cast<std::int64_t>(random() % 40)};
        std::string expected;
        std::int64_t num_padded = 0;
        for (std::int64_t at = window.start_bp; at < window.end_bp(); ++at) {
            const bool inside = at >= 0 && at < 10;
            const auto index = static_cast<std::size_t>(((at % 10) + 10) % 10);
            expected += inside || circular ? "ACGTTGCAAN"[index] : 'N';
            num_padded += static_cast<std::int64_t>(!inside && !circular);
        }
        const WindowSequence found = fetch_window(genome(), window);
        ASSERT_EQ(found.bases, expected) << window_name(window);
        ASSERT_EQ(found.num_padded_bp, num_padded) << window_name(window);
    }
}

TEST(FetchWindow, AcceptsAnEmptyWindow) {
    EXPECT_EQ(fetch_window(genome(), {"line", 3, 0}).bases, "");
    EXPECT_EQ(fetch_window(genome(), {"ring", 3, 0}).bases, "");
}

TEST(FetchWindow, RejectsUnknownContigsAndImpossibleWindows) {
    EXPECT_THROW(static_cast<void>(fetch_window(genome(), {"none", 0, 4})), UserError);
    EXPECT_THROW(static_cast<void>(fetch_window(genome(), {"line", 0, -1})), Error);
    EXPECT_THROW(static_cast<void>(fetch_window(genome(), {"line", 5, kBig})), Error);
}

TEST(FetchWindow, ReadsOverTheOriginOfEcoliAsSamtoolsReadsItsTwoParts) {
    FLAGEN_TOOL_OR_SKIP("samtools");
    FLAGEN_SHARED_DATA_OR_SKIP(path, "ecoli_K12_MG1655/genome/NC_000913.3.fa.gz");
    const FastaReader reader = FastaReader::open(path, {.circular_contigs = {"NC_000913.3"}});
    const auto parts = testing::fasta_sequences(testing::tool_output(
        "samtools faidx '" + path + "' NC_000913.3:4378509-4641652 NC_000913.3:1-261144"));
    const Window window{"NC_000913.3", 4'378'508, 524'288};
    EXPECT_EQ(fetch_window(reader, window).bases, parts.at(0) + parts.at(1));
    EXPECT_EQ(fetch_window(reader, {"NC_000913.3", 4'378'508 - 4'641'652, 524'288}).bases,
              parts.at(0) + parts.at(1));
}

TEST(WindowName, IsZeroBasedHalfOpenWithTheStrand) {
    EXPECT_EQ(window_name({"chr1", -100, 500}), "chr1:-100-400:+");
    EXPECT_EQ(window_name({"chr1", 5, 10, Strand::kReverse}), "chr1:5-15:-");
}

}  // namespace
}  // namespace flagen::genomics
