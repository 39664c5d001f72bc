#include "flagen/genomics/fasta_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "flagen/error.h"
#include "flagen/genomics/tokenizer.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::fasta_text;
using ::testing::HasSubstr;
using testing::TempDir;
using ::testing::ThrowsMessage;
using testing::tiny_genome;
using testing::tool_output;

std::string upper(std::string bases) {
    std::transform(bases.begin(), bases.end(), bases.begin(),
                   [](char base) { return static_cast<char>(base & 0xDF); });
    return bases;
}

std::string bgzip(const std::string& path) {
    static_cast<void>(tool_output("bgzip -c '" + path + "' > '" + path + ".gz'"));
    return path + ".gz";
}

std::vector<Interval> random_intervals(const ContigTable& contigs, int count, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<Interval> intervals;
    for (int i = 0; i < count; ++i) {
        const Contig& contig = contigs.at(random() % contigs.size());
        const auto length = static_cast<std::uint64_t>(contig.length_bp);
        const std::uint64_t start = random() % length;
        const std::uint64_t longest =
            std::min<std::uint64_t>(length - start, i % 10 == 0 ? 200'000 : 500);
        intervals.push_back({contig.name, static_cast<std::int64_t>(start),
                             static_cast<std::int64_t>(start + 1 + random() % longest)});
    }
    return intervals;
}

// Compares both strands of random intervals with `samtools faidx` and `samtools faidx -i`.
void expect_equal_to_samtools(const std::string& path, int count) {
    const FastaReader reader = FastaReader::open(path);
    const std::vector<Interval> intervals = random_intervals(reader.contigs(), count, 7);
    const TempDir dir;
    std::string regions;
    for (const Interval& interval : intervals) {
        regions += interval.contig + ":" + std::to_string(interval.start_bp + 1) + "-" +
                   std::to_string(interval.end_bp) + "\n";
    }
    const std::string list = dir.write("regions.txt", regions);
    const std::string command = "samtools faidx -r '" + list + "' '" + path + "'";
    const auto forward = testing::fasta_sequences(tool_output(command));
    const auto reverse = testing::fasta_sequences(tool_output(command + " -i"));
    ASSERT_EQ(forward.size(), intervals.size());
    ASSERT_EQ(reverse.size(), intervals.size());
    for (std::size_t i = 0; i < intervals.size(); ++i) {
        std::string bases = reader.fetch(intervals[i]);
        ASSERT_EQ(bases, upper(forward[i]))
            << path << " " << intervals[i].contig << " " << intervals[i].start_bp;
        reverse_complement(bases);
        ASSERT_EQ(bases, upper(reverse[i]))
            << path << " " << intervals[i].contig << " " << intervals[i].start_bp;
    }
}

TEST(FastaReader, DeliversEveryIntervalOfATinyGenome) {
    const TempDir dir;
    const std::vector<testing::TinyContig> genome = {
        {"a", "ACGTNACGTTGACCATGACCAGATTACA"}, {"b", "ttgacatagcatnn"}, {"c", "G"}};
    for (const std::size_t width : {0, 1, 5, 7, 14}) {
        for (const char* line_end : {"\n", "\r\n"}) {
            std::string text = fasta_text(genome, width, line_end);
            for (const bool final_newline : {true, false}) {
                if (!final_newline) {
                    text.resize(text.size() - std::string(line_end).size());
                }
                const FastaReader reader = FastaReader::open(dir.write("t.fa", text));
                for (const auto& contig : genome) {
                    const std::string bases = upper(contig.bases);
                    for (std::size_t start = 0; start <= bases.size(); ++start) {
                        for (std::size_t end = start; end <= bases.size(); ++end) {
                            ASSERT_EQ(reader.fetch({contig.name, static_cast<std::int64_t>(start),
                                                    static_cast<std::int64_t>(end)}),
                                      bases.substr(start, end - start))
                                << contig.name << " " << start << " " << end << " " << width;
                        }
                    }
                }
            }
        }
    }
}

TEST(FastaReader, EqualsSamtoolsOnRandomWindows) {
    FLAGEN_TOOL_OR_SKIP("samtools");
    FLAGEN_TOOL_OR_SKIP("bgzip");
    const TempDir dir;
    const auto genome = tiny_genome();
    const std::string plain = dir.write("plain.fa", fasta_text(genome));
    expect_equal_to_samtools(plain, 400);
    expect_equal_to_samtools(bgzip(plain), 400);
    expect_equal_to_samtools(dir.write("crlf.fa", fasta_text(genome, 71, "\r\n")), 200);
    const std::string one_line = dir.write("one_line.fa", fasta_text(genome, 0));
    expect_equal_to_samtools(one_line, 200);
    expect_equal_to_samtools(bgzip(one_line), 200);
}

TEST(FastaReader, ReadsBgzipOfManySmallBlocks) {
    FLAGEN_TOOL_OR_SKIP("bgzip");
    const TempDir dir;
    const auto genome = tiny_genome();
    const std::string text = fasta_text(genome);
    // Pieces of odd sizes, each with its end-of-file block: empty blocks stand inside the file.
    std::string pieces;
    for (std::size_t at = 0, size = 1; at < text.size(); at += size, size = size * 2 + 1) {
        pieces +=
            " '" + bgzip(dir.write("piece" + std::to_string(at), text.substr(at, size))) + "'";
    }
    const std::string joined = (dir.path() / "joined.fa.gz").string();
    static_cast<void>(tool_output("cat" + pieces + " > '" + joined + "'"));
    const FastaReader reader = FastaReader::open(joined);
    EXPECT_TRUE(reader.summary().bgzip);
    const FastaReader plain = FastaReader::open(dir.write("plain.fa", text));
    EXPECT_EQ(reader.summary().md5, plain.summary().md5);
    for (const Interval& interval : random_intervals(reader.contigs(), 300, 3)) {
        ASSERT_EQ(reader.fetch(interval), plain.fetch(interval));
    }
}

TEST(FastaReader, EqualsSamtoolsOnYeast) {
    FLAGEN_TOOL_OR_SKIP("samtools");
    FLAGEN_SHARED_DATA_OR_SKIP(path, "yeast_R64-1-1/genome/R64-1-1.fa.gz");
    expect_equal_to_samtools(path, 200);
    const TempDir dir;
    const std::string plain = (dir.path() / "yeast.fa").string();
    static_cast<void>(tool_output("gunzip -c '" + path + "' > '" + plain + "'"));
    expect_equal_to_samtools(plain, 200);
}

TEST(FastaReader, EqualsSamtoolsOnEcoli) {
    FLAGEN_TOOL_OR_SKIP("samtools");
    FLAGEN_SHARED_DATA_OR_SKIP(path, "ecoli_K12_MG1655/genome/NC_000913.3.fa.gz");
    expect_equal_to_samtools(path, 200);
    const TempDir dir;
    const std::string plain = (dir.path() / "ecoli.fa").string();
    static_cast<void>(tool_output("gunzip -c '" + path + "' > '" + plain + "'"));
    expect_equal_to_samtools(plain, 200);
    const FastaReader reader = FastaReader::open(path);
    EXPECT_EQ(reader.summary().num_bases, 4'641'652);
    EXPECT_TRUE(reader.summary().index_file_checked);
    // The M5 field of a SAM header: MD5 of one upper-case contig.
    EXPECT_THAT(tool_output("samtools dict '" + path + "'"),
                HasSubstr("M5:" + reader.summary().md5));
}

TEST(FastaReader, HasTheMd5ThatTheShellComputes) {
    FLAGEN_TOOL_OR_SKIP("md5sum");
    const TempDir dir;
    const std::string path = dir.write("t.fa", fasta_text(tiny_genome(), 60, "\r\n"));
    const std::string expected =
        tool_output("grep -v '>' '" + path + "' | tr -d '\\r\\n' | tr a-z A-Z | md5sum");
    EXPECT_EQ(FastaReader::open(path).summary().md5, expected.substr(0, 32));
}

TEST(FastaReader, AcceptsEveryIndexThatSamtoolsWrites) {
    FLAGEN_TOOL_OR_SKIP("samtools");
    FLAGEN_TOOL_OR_SKIP("bgzip");
    const TempDir dir;
    const auto genome = tiny_genome();
    int number = 0;
    for (const std::size_t width : {0, 60, 71}) {
        for (const char* line_end : {"\n", "\r\n"}) {
            const std::string text = fasta_text(genome, width, line_end);
            for (const std::string& variant :
                 {text, text.substr(0, text.size() - 1), text + line_end, "\n" + text,
                  ">empty\n" + text, ">none\n>nothing\n" + text}) {
                const std::string path = dir.write("f" + std::to_string(number++) + ".fa", variant);
                std::vector<std::string> files = {path};
                if (width == 60) {
                    files.push_back(bgzip(path));
                }
                for (const std::string& file : files) {
                    static_cast<void>(tool_output("samtools faidx '" + file + "' 2> /dev/null"));
                    ASSERT_TRUE(std::filesystem::exists(file + ".fai"));
                    const FastaReader reader = FastaReader::open(file);
                    EXPECT_TRUE(reader.summary().index_file_checked);
                    EXPECT_EQ(reader.contigs().size(), genome.size());
                }
            }
        }
    }
}

TEST(FastaReader, IsThreadSafe) {
    FLAGEN_TOOL_OR_SKIP("bgzip");
    const TempDir dir;
    const auto genome = tiny_genome();
    const std::string plain = dir.write("t.fa", fasta_text(genome));
    std::map<std::string, std::string> bases;
    for (const auto& contig : genome) {
        bases[contig.name] = upper(contig.bases);
    }
    for (const std::string& path : {plain, bgzip(plain)}) {
        const FastaReader reader = FastaReader::open(path);
        std::atomic<int> num_wrong = 0;
        std::atomic<int> num_read = 0;
        std::vector<std::thread> threads;
        for (std::uint64_t seed = 0; seed < 16; ++seed) {
            threads.emplace_back([&, seed] {
                for (const Interval& interval : random_intervals(reader.contigs(), 60, seed)) {
                    const auto start = static_cast<std::size_t>(interval.start_bp);
                    const auto length = static_cast<std::size_t>(interval.length_bp());
                    num_wrong +=
                        reader.fetch(interval) != bases.at(interval.contig).substr(start, length);
                    ++num_read;
                }
            });
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
        EXPECT_EQ(num_wrong, 0);
        EXPECT_EQ(num_read, 16 * 60);
    }
}

TEST(FastaReader, CountsWhatItReadsOtherwise) {
    const TempDir dir;
    const FastaReader reader = FastaReader::open(
        dir.write("t.fa", ">a\nACGURYSWKMBDHVNacguryswkmbdhvn\n>empty\n>b x\nnnnn\n>last\n"));
    EXPECT_EQ(reader.fetch({"a", 0, 30}), "ACGTNNNNNNNNNNNACGTNNNNNNNNNNN");
    EXPECT_EQ(reader.summary().num_iupac_bases, 20);
    EXPECT_EQ(reader.summary().num_uracil_bases, 2);
    EXPECT_EQ(reader.summary().num_bases, 34);
    EXPECT_THAT(reader.summary().empty_contigs, ElementsAre("empty", "last"));
    EXPECT_THAT(reader.contigs().names(), ElementsAre("a", "b"));
    EXPECT_FALSE(reader.summary().bgzip);
    EXPECT_FALSE(reader.summary().index_file_checked);
}

TEST(FastaReader, WritesNothing) {
    FLAGEN_TOOL_OR_SKIP("bgzip");
    const TempDir dir;
    const std::string path = dir.write("t.fa", fasta_text(tiny_genome()));
    const std::string packed = bgzip(path);
    std::filesystem::permissions(dir.path(), std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::remove);
    EXPECT_EQ(FastaReader::open(path).contigs().size(), 4U);
    EXPECT_EQ(FastaReader::open(packed).contigs().size(), 4U);
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
        names.insert(entry.path().filename().string());
    }
    EXPECT_EQ(names, (std::set<std::string>{"t.fa", "t.fa.gz"}));
    std::filesystem::permissions(dir.path(), std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
}

TEST(FastaReader, MarksCircularContigsByName) {
    const TempDir dir;
    const std::string path = dir.write("t.fa", ">chr1\nACGT\n>plasmid\nACGT\n");
    const FastaReader reader = FastaReader::open(path, {.circular_contigs = {"plasmid"}});
    EXPECT_FALSE(reader.contigs().at(0).circular);
    EXPECT_TRUE(reader.contigs().at(1).circular);
    EXPECT_THAT(
        [&] { static_cast<void>(FastaReader::open(path, {.circular_contigs = {"1"}})); },
        ThrowsMessage<UserError>(AllOf(HasSubstr("circular contig is not in the FASTA: 1"),
                                       HasSubstr(path), HasSubstr("did you mean \"chr1\"?"))));
}

TEST(FastaReader, RejectsIntervalsItCannotDeliver) {
    const TempDir dir;
    const std::string path = dir.write("t.fa", ">chr1\nACGT\n");
    const FastaReader reader = FastaReader::open(path);
    EXPECT_THAT(
        [&] {
            static_cast<void>(reader.fetch({"1", 0, 2}));
        },
        ThrowsMessage<UserError>(AllOf(HasSubstr("contig is not in the FASTA: 1"), HasSubstr(path),
                                       HasSubstr("\"chr1\""))));
    EXPECT_THROW(static_cast<void>(reader.fetch({"chr1", -1, 2})), Error);
    EXPECT_THROW(static_cast<void>(reader.fetch({"chr1", 0, 5})), Error);
    EXPECT_THROW(static_cast<void>(reader.fetch({"chr1", 3, 2})), Error);
}

TEST(FastaReader, NoticesAFileThatIsChangedUnderIt) {
    const TempDir dir;
    const std::string path = dir.write("t.fa", ">a\nACGTACGT\nACGTACGT\n");
    const FastaReader reader = FastaReader::open(path);
    EXPECT_EQ(reader.fetch({"a", 6, 10}), "GTAC");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    dir.write("t.fa", ">a\nACGTACCT\nACGTACGT\n");
    EXPECT_THAT(
        [&] {
            static_cast<void>(reader.fetch({"a", 6, 10}));
        },
        ThrowsMessage<UserError>(AllOf(HasSubstr("was changed"), HasSubstr(path))));
    std::filesystem::remove(path);
    EXPECT_THROW(static_cast<void>(reader.fetch({"a", 6, 10})), UserError);
}

TEST(FastaReader, CanBeMoved) {
    const TempDir dir;
    FastaReader reader = FastaReader::open(dir.write("t.fa", ">a\nACGT\n"));
    const FastaReader moved = std::move(reader);
    EXPECT_EQ(moved.fetch({"a", 1, 3}), "CG");
}

TEST(InMemoryReference, ReadsLettersAsTheFastaReaderDoes) {
    const InMemoryReference reference({{"a", "acgURYn", false}, {"b", "GG", true}});
    EXPECT_EQ(reference.fetch({"a", 0, 7}), "ACGTNNN");
    EXPECT_EQ(reference.fetch({"a", 2, 4}), "GT");
    EXPECT_TRUE(reference.contigs().at(1).circular);
    EXPECT_THROW(static_cast<void>(reference.fetch({"a", 0, 8})), Error);
    EXPECT_THROW(static_cast<void>(reference.fetch({"c", 0, 1})), UserError);
    EXPECT_THAT(
        [] {
            InMemoryReference({{"a", "AC-T", false}});
        },
        ThrowsMessage<UserError>(AllOf(HasSubstr("'-'"), HasSubstr("base 3"))));
}

}  // namespace
}  // namespace flagen::genomics
