#include "flagen/genomics/split_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "flagen/genomics/bed_reader.h"
#include "flagen/genomics/expression_table.h"
#include "flagen/genomics/gene_spans.h"
#include "genomics/random_split.h"
#include "genomics/user_error_of.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

using testing::RandomSplit;
using testing::TempDir;

ContigTable small_genome() {
    return ContigTable({{"chr1", 1000, false}, {"chr2", 500, false}, {"ring", 600, true}});
}

std::string text_of(const std::vector<Segment>& segments) {
    std::ostringstream text;
    for (const Segment& segment : segments) {
        text << segment.contig << ':' << segment.start_bp << '+' << segment.length_bp
             << (segment.at_contig_start ? " first" : "") << (segment.at_contig_end ? " last" : "")
             << (segment.whole_ring ? " ring" : "") << "; ";
    }
    return text.str();
}

TEST(SplitPlan, TrainsOnEverythingByDefault) {
    const SplitPlan plan(small_genome(), {});
    EXPECT_EQ(text_of(plan.train_segments()),
              "chr1:0+1000 first last; chr2:0+500 first last; ring:0+600 ring; ");
    EXPECT_TRUE(plan.segments(Split::kTest).empty());
    EXPECT_EQ(plan.of_interval({"ring", 590, 610}), Split::kTrain);
    EXPECT_THROW(static_cast<void>(plan.segments(Split::kNone)), Error);
}

TEST(SplitPlan, HoldsOutContigsAndIntervalsWithMargins) {
    SplitDefinition definition;
    definition.test_contigs = {"chr2"};
    definition.valid_intervals = {{"chr1", 100, 300}, {"ring", 550, 650}};
    definition.margin_bp = 20;
    const SplitPlan plan(small_genome(), definition);
    EXPECT_EQ(text_of(plan.train_segments()), "chr1:0+80 first; chr1:320+680 last; ring:70+460; ");
    EXPECT_EQ(text_of(plan.segments(Split::kValid)), "chr1:100+200; ring:550+100; ");
    EXPECT_EQ(text_of(plan.segments(Split::kTest)), "chr2:0+500 first last; ");
    EXPECT_EQ(plan.of_interval({"chr1", 100, 300}), Split::kValid);
    EXPECT_EQ(plan.of_interval({"chr1", 299, 301}), Split::kNone);  // crosses a border
    EXPECT_EQ(plan.of_interval({"chr1", 300, 310}), Split::kNone);  // lies in the margin
    EXPECT_EQ(plan.of_interval({"chr1", 320, 330}), Split::kTrain);
    EXPECT_EQ(plan.of_interval({"chr2", 499, 500}), Split::kTest);
    EXPECT_EQ(plan.of_interval({"ring", 590, 640}), Split::kValid);
    EXPECT_EQ(plan.of_interval({"ring", 10, 50}), Split::kValid);
    EXPECT_EQ(plan.of_interval({"ring", 40, 60}), Split::kNone);
}

TEST(SplitPlan, JoinsTheTrainingStretchOverTheOrigin) {
    SplitDefinition definition;
    definition.test_intervals = {{"ring", 100, 200}};
    definition.valid_intervals = {{"ring", 300, 400}};
    const SplitPlan plan(ContigTable({{"ring", 600, true}}), definition);
    EXPECT_EQ(text_of(plan.train_segments()), "ring:200+100; ring:400+300; ");
}

TEST(SplitPlan, RejectsContradictionsAndNamesBoth) {
    const auto plan_of = [](const SplitDefinition& definition) {
        return SplitPlan(small_genome(), definition);
    };
    SplitDefinition both;
    both.valid_contigs = {"chr1"};
    both.test_contigs = {"chr1"};
    FLAGEN_EXPECT_USER_ERROR(plan_of(both), kConfig,
                             "parts of the split overlap: valid contig chr1 and test contig chr1");
    SplitDefinition inside;
    inside.valid_contigs = {"chr1"};
    inside.test_intervals = {{"chr1", 5, 9}};
    FLAGEN_EXPECT_USER_ERROR(plan_of(inside), kConfig, "valid contig chr1",
                             "test interval chr1:5-9");
    SplitDefinition twice;
    twice.test_intervals = {{"chr1", 0, 10}, {"chr1", 9, 12}};
    FLAGEN_EXPECT_USER_ERROR(plan_of(twice), kConfig, "test interval chr1:0-10",
                             "test interval chr1:9-12");
    SplitDefinition origin;
    origin.test_intervals = {{"ring", 550, 650}};
    origin.valid_intervals = {{"ring", 49, 60}};
    FLAGEN_EXPECT_USER_ERROR(plan_of(origin), kConfig, "test interval ring:550-650",
                             "valid interval ring:49-60");
    SplitDefinition touching;
    touching.test_intervals = {{"chr1", 0, 10}, {"chr1", 10, 12}};
    touching.valid_intervals = {{"chr1", 12, 14}};
    EXPECT_EQ(text_of(plan_of(touching).segments(Split::kTest)), "chr1:0+12 first; ");
}

TEST(SplitPlan, RejectsWhatTheGenomeLacks) {
    const auto with = [](auto change) {
        SplitDefinition definition;
        change(definition);
        return SplitPlan(small_genome(), definition);
    };
    FLAGEN_EXPECT_USER_ERROR(with([](auto& d) { d.test_contigs = {"1"}; }), kConfig,
                             "test contig is not in the genome: 1; is chr1 meant?");
    FLAGEN_EXPECT_USER_ERROR(with([](auto& d) {
                                 d.valid_intervals = {{"chr9", 1, 2}};
                             }),
                             kConfig,
                             "valid interval is on a contig that the genome lacks: chr9:1-2");
    FLAGEN_EXPECT_USER_ERROR(with([](auto& d) {
                                 d.valid_intervals = {{"chr2", 400, 501}};
                             }),
                             kConfig, "reaches past its contig: chr2:400-501; chr2 has 500 bp");
    FLAGEN_EXPECT_USER_ERROR(with([](auto& d) {
                                 d.valid_intervals = {{"ring", 400, 1001}};
                             }),
                             kConfig, "reaches past its contig: ring:400-1001");
    FLAGEN_EXPECT_USER_ERROR(with([](auto& d) {
                                 d.test_intervals = {{"chr1", 7, 7}};
                             }),
                             kConfig, "test interval holds no base: chr1:7-7");
    FLAGEN_EXPECT_USER_ERROR(with([](auto& d) { d.margin_bp = -1; }), kConfig,
                             "margin of the split is negative: -1");
    FLAGEN_EXPECT_USER_ERROR(with([](auto& d) { d.test_folds = {"3"}; }), kConfig,
                             "neither a fold file nor a number of folds");
    const SplitPlan plan(small_genome(), {});
    FLAGEN_EXPECT_USER_ERROR(plan.of_interval({"chr2", 0, 501}), kInputFile, "past its contig");
}

TEST(SplitPlan, ReadsFoldFiles) {
    const TempDir dir;
    SplitDefinition definition;
    definition.fold_file = dir.write("folds.bed",
                                     "chr1\t0\t300\tfold0\nchr1\t200\t400\tfold0\n"
                                     "chr1\t400\t700\tfold1\nchr2\t0\t500\tfold2\n");
    definition.test_folds = {"0"};
    definition.valid_folds = {"fold1"};
    const SplitPlan plan(small_genome(), definition);
    EXPECT_EQ(text_of(plan.segments(Split::kTest)), "chr1:0+400 first; ");
    EXPECT_EQ(text_of(plan.segments(Split::kValid)), "chr1:400+300; ");
    EXPECT_EQ(plan.of_interval({"chr1", 700, 1000}), Split::kTrain);

    definition.valid_folds = {"fold0"};
    FLAGEN_EXPECT_USER_ERROR(SplitPlan(small_genome(), definition), kConfig,
                             "fold is named for validation and for test: fold0");
    definition.valid_folds = {"7"};
    FLAGEN_EXPECT_USER_ERROR(
        SplitPlan(small_genome(), definition), kConfig,
        "fold does not exist: 7 (" + definition.fold_file + "); folds are: fold0, fold1, fold2");
    definition.valid_folds = {};
    definition.num_folds = 3;
    FLAGEN_EXPECT_USER_ERROR(SplitPlan(small_genome(), definition), kConfig, "choose one");
}

TEST(SplitPlan, RejectsContradictingFoldRows) {
    const TempDir dir;
    SplitDefinition definition;
    definition.test_folds = {"a"};
    definition.fold_file = dir.write("f.bed", "chr1\t0\t300\ta\nchr1\t299\t400\tb\n");
    FLAGEN_EXPECT_USER_ERROR(SplitPlan(small_genome(), definition), kInputFile,
                             "test fold a (" + definition.fold_file + ":1)",
                             "train fold b (" + definition.fold_file + ":2)");
    definition.fold_file = dir.write("g.bed", "chr1\t0\t300\ta\nchr1\t300\t1001\tb\n");
    FLAGEN_EXPECT_USER_ERROR(SplitPlan(small_genome(), definition), kInputFile,
                             "reaches past its contig: chr1:300-1001", "g.bed:2");
    definition.fold_file = dir.write("h.bed", "chr1\t0\t300\n");
    FLAGEN_EXPECT_USER_ERROR(SplitPlan(small_genome(), definition), kInputFile,
                             "fold file needs a label in column 4", "h.bed:1");
}

TEST(SplitPlan, DealsBlocksToFolds) {
    SplitDefinition definition;
    definition.num_folds = 4;
    definition.fold_block_bp = 150;
    std::map<std::string, std::int64_t> covered;
    for (const std::string fold : {"0", "1", "2", "3"}) {
        definition.test_folds = {fold};
        std::int64_t fold_bp = 0;
        for (const Segment& segment :
             SplitPlan(small_genome(), definition).segments(Split::kTest)) {
            covered[segment.contig] += segment.length_bp;
            fold_bp += segment.length_bp;
        }
        EXPECT_NEAR(static_cast<double>(fold_bp), 2100.0 / 4, 150.0) << fold;
    }
    EXPECT_EQ(covered["chr1"], 1000);
    EXPECT_EQ(covered["chr2"], 500);
    EXPECT_EQ(covered["ring"], 600);
    definition.test_folds = {"4"};
    FLAGEN_EXPECT_USER_ERROR(SplitPlan(small_genome(), definition), kConfig,
                             "fold does not exist: 4 (computed); folds are: fold0, fold1");
    definition.fold_block_bp = 2000;
    FLAGEN_EXPECT_USER_ERROR(SplitPlan(small_genome(), definition), kConfig, "3 blocks, 4 folds");
}

/// Segments hold every base of their split once, no other, and could not be longer.
TEST(SplitPlan, RandomSegmentsAreMaximalAndExact) {
    for (std::uint64_t seed = 0; seed < 1500; ++seed) {
        RandomSplit truth(seed);
        const SplitPlan plan(truth.contigs(), truth.definition());
        for (const Split split : {Split::kTrain, Split::kValid, Split::kTest}) {
            std::map<std::pair<std::size_t, std::int64_t>, int> times;
            for (const Segment& segment : plan.segments(split)) {
                const std::size_t index = *truth.contigs().find(segment.contig);
                const Contig& contig = truth.contigs().at(index);
                for (std::int64_t at = segment.start_bp; at < segment.end_bp(); ++at) {
                    ASSERT_TRUE(contig.circular || at < contig.length_bp);
                    ASSERT_EQ(truth.use(index, at), split) << "seed " << seed;
                    ++times[{index, at % contig.length_bp}];
                }
                ASSERT_EQ(segment.at_contig_start, !contig.circular && segment.start_bp == 0);
                ASSERT_EQ(segment.at_contig_end,
                          !contig.circular && segment.end_bp() == contig.length_bp);
                ASSERT_EQ(segment.whole_ring,
                          contig.circular && segment.length_bp == contig.length_bp);
                if (!segment.whole_ring) {
                    ASSERT_TRUE(segment.at_contig_start ||
                                truth.use(index, segment.start_bp - 1) != split);
                    ASSERT_TRUE(segment.at_contig_end ||
                                truth.use(index, segment.end_bp()) != split);
                }
            }
            std::size_t expected = 0;
            for (std::size_t index = 0; index < truth.contigs().size(); ++index) {
                for (std::int64_t at = 0; at < truth.contigs().at(index).length_bp; ++at) {
                    expected += truth.use(index, at) == split ? 1 : 0;
                }
            }
            ASSERT_EQ(times.size(), expected) << "seed " << seed;
            for (const auto& [base, count] : times) {
                ASSERT_EQ(count, 1) << "seed " << seed;
            }
        }
    }
}

TEST(SplitPlan, RandomIntervalsHaveTheUseOfAllTheirBases) {
    std::map<Split, int> seen;
    for (std::uint64_t seed = 0; seed < 1500; ++seed) {
        RandomSplit truth(seed);
        const SplitPlan plan(truth.contigs(), truth.definition());
        for (int i = 0; i < 20; ++i) {
            const Interval interval = truth.interval();
            std::set<Split> uses;
            for (std::int64_t at = interval.start_bp; at < interval.end_bp; ++at) {
                uses.insert(truth.use(*truth.contigs().find(interval.contig), at));
            }
            const Split expected = uses.size() == 1 ? *uses.begin() : Split::kNone;
            ASSERT_EQ(plan.of_interval(interval), expected) << "seed " << seed;
            ++seen[expected];
        }
    }
    EXPECT_GT(seen[Split::kTest], 500);
    EXPECT_GT(seen[Split::kNone], 500);
}

ContigTable contigs_of_sizes(const std::string& path) {
    std::vector<Contig> contigs;
    std::istringstream rows(testing::tool_output("cat '" + path + "'"));
    std::string name;
    for (std::int64_t length = 0; rows >> name >> length;) {
        contigs.push_back({name, length, false});
    }
    return ContigTable(std::move(contigs));
}

TEST(SplitPlan, YeastTrainingSegmentsEqualBedtoolsComplement) {
    FLAGEN_TOOL_OR_SKIP("bedtools");
    FLAGEN_SHARED_DATA_OR_SKIP(sizes, "yeast_R64-1-1/genome/chrom.sizes");
    const TempDir dir;
    std::mt19937_64 random(3);
    const ContigTable contigs = contigs_of_sizes(sizes);
    SplitDefinition definition;
    definition.margin_bp = 1234;
    std::string bed;
    for (std::size_t i = 0; i < contigs.size(); ++i) {
        for (std::int64_t at = 0; at + 60'000 < contigs.at(i).length_bp;) {
            at += static_cast<std::int64_t>(random() % 100'000);
            const std::int64_t end = at + 1 + static_cast<std::int64_t>(random() % 50'000);
            if (end > contigs.at(i).length_bp) {
                break;
            }
            auto& list = random() % 2 == 0 ? definition.test_intervals : definition.valid_intervals;
            list.push_back({contigs.at(i).name, at, end});
            bed +=
                contigs.at(i).name + "\t" + std::to_string(at) + "\t" + std::to_string(end) + "\n";
            at = end;
        }
    }
    const std::string held_out = dir.write("held_out.bed", bed);
    std::string ours;
    for (const Segment& segment : SplitPlan(contigs, definition).train_segments()) {
        ours += segment.contig + "\t" + std::to_string(segment.start_bp) + "\t" +
                std::to_string(segment.end_bp()) + "\n";
    }
    EXPECT_EQ(ours, testing::tool_output(
                        "bedtools slop -b 1234 -i '" + held_out + "' -g '" + sizes +
                        "' | bedtools merge -i - | bedtools complement -i - -g '" + sizes + "'"));
    EXPECT_GT(ours.size(), 2000U);
}

TEST(SplitPlan, YeastFoldFileHoldsOutTwoChromosomes) {
    FLAGEN_SHARED_DATA_OR_SKIP(sizes, "yeast_R64-1-1/genome/chrom.sizes");
    FLAGEN_SHARED_DATA_OR_SKIP(windows, "yeast_R64-1-1/windows_524288.bed");
    SplitDefinition definition;
    definition.fold_file = windows;
    definition.test_folds = {"test"};
    definition.valid_folds = {"valid"};
    const SplitPlan plan(contigs_of_sizes(sizes), definition);
    EXPECT_EQ(text_of(plan.segments(Split::kTest)), "XVI:0+948066 first last; ");
    EXPECT_EQ(text_of(plan.segments(Split::kValid)), "XI:0+666816 first last; ");
    EXPECT_EQ(plan.train_segments().size(), 15U);
}

TEST(SplitPlan, EcoliBlocksHoldTheGenesThatAwkCounts) {
    FLAGEN_SHARED_DATA_OR_SKIP(path, "ecoli_K12_MG1655/annotation/NC_000913.3.sorted.gff3.gz");
    FLAGEN_SHARED_DATA_OR_SKIP(matrix, "ecoli_K12_MG1655/expression/log2tpm.tsv.gz");
    FLAGEN_SHARED_DATA_OR_SKIP(rows, "ecoli_K12_MG1655/expression/gene_expression.tsv");
    SplitDefinition definition;
    definition.test_intervals = {{"NC_000913.3", 1'572'864, 2'097'152}};
    definition.valid_intervals = {{"NC_000913.3", 3'145'728, 3'670'016}};
    const SplitPlan plan(ContigTable({{"NC_000913.3", 4'641'652, true}}), definition);
    EXPECT_EQ(text_of(plan.train_segments()),
              "NC_000913.3:2097152+1048576; NC_000913.3:3670016+2544500; ");
    const ExpressionTable table = ExpressionTable::load(matrix);
    std::map<Split, int> counts;
    for (const GeneSpan& span : load_gene_spans(path, {"gene", "pseudogene"}, "locus_tag")) {
        if (table.find_gene(span.id)) {
            ++counts[plan.of_interval(span.interval())];
        }
    }
    const std::string expected = testing::tool_output(
        "awk -F'\\t' 'NR > 1 {if ($3 > 1572864 && $4 <= 2097152) t++;"
        " else if ($3 > 3145728 && $4 <= 3670016) v++;"
        " else if ($4 <= 1572864 || ($3 > 2097152 && $4 <= 3145728) || $3 > 3670016) n++; else x++}"
        " END {print t, v, n, x}' '" +
        rows + "'");
    EXPECT_EQ(std::to_string(counts[Split::kTest]) + " " + std::to_string(counts[Split::kValid]) +
                  " " + std::to_string(counts[Split::kTrain]) + " " +
                  std::to_string(counts[Split::kNone]) + "\n",
              expected);
}

}  // namespace
}  // namespace flagen::genomics
