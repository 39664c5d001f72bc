#include "flagen/data/window_list.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "flagen/data/genome_mask.h"
#include "flagen/error.h"
#include "genomics/user_error_of.h"
#include "support/run_python.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"

namespace flagen::data {
namespace {

using ::flagen::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::Pair;

using Rows = std::vector<ListedWindow>;

const genomics::ContigTable& some_contigs() {
    static const genomics::ContigTable contigs(
        {{"a", 1000, false}, {"b", 500, false}, {"c", 90, false}});
    return contigs;
}

// Input 140, crop 20, output 100 = 10 bins.
constexpr WindowGeometry kGeometry{140, 20, 10};

TEST(WindowListTest, GeometryOfBorzoi) {
    const WindowGeometry geometry;
    EXPECT_EQ(geometry.output_bp(), 196'608);
    EXPECT_EQ(geometry.num_bins(), 6144);
    EXPECT_NO_THROW(geometry.check());
    FLAGEN_EXPECT_USER_ERROR((WindowGeometry{100, 50, 1}.check()), kConfig, "100", "50");
    FLAGEN_EXPECT_USER_ERROR((WindowGeometry{100, 0, 32}.check()), kConfig, "whole number of bins");
    FLAGEN_EXPECT_USER_ERROR((WindowGeometry{0, 0, 32}.check()), kConfig, "out of range");
    FLAGEN_EXPECT_USER_ERROR((WindowGeometry{100, -1, 1}.check()), kConfig, "out of range");
}

// Outputs of 100 bp by 30 from 0: the last one that fits starts at 900, an exact fit.
TEST(WindowListTest, LaysOutputsByTheStrideAndKeepsTheExactFit) {
    WindowListOptions options;
    options.stride_bp = 300;
    options.splits.test_contigs = {"b"};
    const PlannedWindowList plan = plan_window_list(some_contigs(), kGeometry, {}, {}, options);
    EXPECT_THAT(
        plan.list.windows,
        ElementsAre(ListedWindow{"a", 0, 100, "train"}, ListedWindow{"a", 300, 400, "train"},
                    ListedWindow{"a", 600, 700, "train"}, ListedWindow{"a", 900, 1000, "train"},
                    ListedWindow{"b", 0, 100, "test"}, ListedWindow{"b", 100, 200, "test"},
                    ListedWindow{"b", 200, 300, "test"}, ListedWindow{"b", 300, 400, "test"},
                    ListedWindow{"b", 400, 500, "test"}));
    EXPECT_THAT(plan.list.label_counts(), ElementsAre(Pair("train", 4), Pair("test", 5)));
    EXPECT_THAT(plan.contigs,
                ElementsAre(ListedWindow{"a", 0, 1000, "train"}, ListedWindow{"c", 0, 90, "train"},
                            ListedWindow{"b", 0, 500, "test"}));
    EXPECT_EQ(plan.num_contigs_short, 1);  // c is shorter than an output
    EXPECT_EQ(plan.short_contigs_bp, 90);
}

TEST(WindowListTest, StaysOutOfGapsAndDropsTheUnmappable) {
    const TempDir folder;
    const GenomeMask gaps =
        GenomeMask::load(folder.write("gaps.bed", "a\t250\t260\nb\t0\t500\n"), some_contigs());
    // Exactly half of [460, 560) and a little less than half of [660, 760).
    const GenomeMask unmappable = GenomeMask::load(
        folder.write("unmap.bed", "a\t500\t550\na\t700\t749\nchrUn\t0\t9\n"), some_contigs());
    EXPECT_EQ(unmappable.num_rows_on_unknown_contigs(), 1);
    const PlannedWindowList plan =
        plan_window_list(some_contigs(), kGeometry, gaps, unmappable, {});
    EXPECT_THAT(
        plan.list.windows,
        ElementsAre(ListedWindow{"a", 0, 100, "train"}, ListedWindow{"a", 100, 200, "train"},
                    ListedWindow{"a", 150, 250, "train"}, ListedWindow{"a", 260, 360, "train"},
                    ListedWindow{"a", 360, 460, "train"}, ListedWindow{"a", 560, 660, "train"},
                    ListedWindow{"a", 660, 760, "train"}, ListedWindow{"a", 760, 860, "train"},
                    ListedWindow{"a", 860, 960, "train"}, ListedWindow{"a", 900, 1000, "train"}));
    EXPECT_EQ(plan.num_unmappable, 1);
    EXPECT_THAT(plan.contigs, ElementsAre(ListedWindow{"a", 0, 250, "train"},
                                          ListedWindow{"a", 260, 1000, "train"},
                                          ListedWindow{"c", 0, 90, "train"}));
}

TEST(WindowListTest, FoldsShareNoBaseAndCoverTheGenome) {
    const genomics::ContigTable contigs({{"a", 8000, false}, {"b", 4000, true}});
    WindowListOptions options;
    options.splits.num_folds = 3;
    options.splits.fold_block_bp = 1000;
    const PlannedWindowList plan = plan_window_list(contigs, kGeometry, {}, {}, options);
    EXPECT_EQ(plan.list.label_counts().size(), 3U);
    std::vector<std::string> owner_a(8000);
    std::vector<std::string> owner_b(4000);
    for (const ListedWindow& window : plan.list.windows) {
        auto& owner = window.contig == "a" ? owner_a : owner_b;
        ASSERT_LE(window.end_bp, static_cast<std::int64_t>(owner.size()));
        for (std::int64_t at = window.start_bp; at < window.end_bp; ++at) {
            std::string& label = owner[static_cast<std::size_t>(at)];
            EXPECT_TRUE(label.empty() || label == window.label);
            label = window.label;
        }
    }
    for (const auto& label : owner_a) {
        ASSERT_FALSE(label.empty());
    }
    // The same folds as a training run that holds one of them out.
    genomics::SplitDefinition definition = options.splits;
    definition.test_folds = {"1"};
    const genomics::SplitPlan split(contigs, definition);
    for (const ListedWindow& window : plan.list.windows) {
        EXPECT_EQ(split.of_interval({window.contig, window.start_bp, window.end_bp}) ==
                      genomics::Split::kTest,
                  window.label == "fold1");
    }
}

TEST(WindowListTest, NothingLeftIsAnError) {
    const TempDir folder;
    const GenomeMask all =
        GenomeMask::load(folder.write("all.bed", "a\t0\t1000\nb\t0\t500\n"), some_contigs());
    FLAGEN_EXPECT_USER_ERROR(plan_window_list(some_contigs(), kGeometry, {}, all, {}), kConfig,
                             "100 bp", "mappable");
    FLAGEN_EXPECT_USER_ERROR(plan_window_list(some_contigs(), {4000, 1000, 10}, {}, {}, {}),
                             kConfig, "2000 bp");
}

TEST(WindowListTest, WritesWhatItReads) {
    const TempDir folder;
    WindowListOptions options;
    options.splits.valid_contigs = {"b"};
    const WindowList list = plan_window_list(some_contigs(), kGeometry, {}, {}, options).list;
    folder.write("sequences.bed", bed_text(list.windows));
    folder.write("statistics.json", list.statistics_text(12));
    const WindowList again = WindowList::read_folder(folder.path().string(), some_contigs());
    EXPECT_EQ(again.windows, list.windows);
    EXPECT_EQ(again.geometry, list.geometry);
    // As Borzoi's SeqDataset reads them, with Python's own parser.
    const std::string seen = testing::run_python(
        "import json, sys\n"
        "s = json.load(open(sys.argv[1] + '/statistics.json'))\n"
        "assert s['seq_1hot'] is True\n"
        "print([s[k] for k in ('num_targets','seq_length','pool_width','crop_bp','target_length',"
        "'train_seqs','valid_seqs')])\n",
        {folder.path().string()});
    EXPECT_EQ(seen, "[12, 140, 10, 20, 10, 10, 5]\n");
}

// calico/baskerville:tests/data/tiny/hg38, its first rows and its statistics.
TEST(WindowListTest, ReadsAFolderOfHoundData) {
    const TempDir folder;
    const genomics::ContigTable contigs(
        {{"chrX", 156'040'895, false}, {"chr6", 170'805'979, false}});
    folder.write("sequences.bed",
                 "chrX\t132332645\t132398181\ttrain\nchr6\t158192511\t158258047\ttrain\n"
                 "chr6\t81190133\t81255669\tvalid\n");
    const std::string statistics =
        "{\n    \"num_targets\": 74,\n    \"seq_length\": 131072,\n    \"seq_1hot\": true,\n"
        "    \"pool_width\": 32,\n    \"crop_bp\": 32768,\n    \"target_length\": 2048,\n"
        "    \"train_seqs\": 2,\n    \"valid_seqs\": 1,\n    \"test_seqs\": 0\n}";
    folder.write("statistics.json", statistics);
    const WindowList list = WindowList::read_folder(folder.path().string(), contigs);
    EXPECT_EQ(list.geometry, (WindowGeometry{131'072, 32'768, 32}));
    EXPECT_THAT(list.label_counts(), ElementsAre(Pair("train", 2), Pair("valid", 1)));
    // Window = output interval +- crop: the input of the first row is named
    // chrX_132299877_132430949 in the published set.
    EXPECT_EQ(list.windows[0].start_bp - list.geometry.crop_bp, 132'299'877);
    EXPECT_EQ(list.windows[0].end_bp + list.geometry.crop_bp, 132'430'949);
    EXPECT_EQ(list.with_label("valid"), (Rows{{"chr6", 81'190'133, 81'255'669, "valid"}}));

    const auto read = [&] { return WindowList::read_folder(folder.path().string(), contigs); };
    std::string changed = statistics;
    changed.replace(changed.find("2048"), 4, "2047");
    folder.write("statistics.json", changed);
    FLAGEN_EXPECT_USER_ERROR(read(), kInputFile, "target_length is 2047", "statistics.json");
    changed = statistics;
    changed.replace(changed.find("\"valid_seqs\": 1"), 15, "\"valid_seqs\": 7");
    folder.write("statistics.json", changed);
    FLAGEN_EXPECT_USER_ERROR(read(), kInputFile, "1 windows of valid", "7");
    folder.write("statistics.json", "{\"seq_length\": 131072}");
    FLAGEN_EXPECT_USER_ERROR(read(), kInputFile, "pool_width", "target_length");
}

TEST(WindowListTest, RefusesRowsThatDoNotFit) {
    const TempDir folder;
    const auto read = [&](const std::string& text) {
        return WindowList::read_bed(folder.write("w.bed", text), kGeometry, some_contigs());
    };
    EXPECT_EQ(read("a\t5\t105\n").windows, (Rows{{"a", 5, 105, "train"}}));
    FLAGEN_EXPECT_USER_ERROR(read("a\t5\t105\na\t0\t140\n"), kInputFile, "140 bp long", "100 bp",
                             "crop of 20", "w.bed:2");
    FLAGEN_EXPECT_USER_ERROR(read("b\t450\t550\n"), kInputFile, "reaches past", "500", "w.bed:1");
    FLAGEN_EXPECT_USER_ERROR(read("chrA\t0\t100\n"), kInputFile, "chrA", "w.bed:1");
}

TEST(WindowListTest, TakesListedWindowsThatAreMappable) {
    const TempDir folder;
    const GenomeMask unmappable =
        GenomeMask::load(folder.write("u.bed", "a\t0\t60\n"), some_contigs());
    const WindowList list = WindowList::read_bed(
        folder.write("w.bed", "a\t0\t100\tx\na\t200\t300\ty\na\t40\t140\tx\na\t250\t350\ty\n"),
        kGeometry, some_contigs());
    const PlannedWindowList taken = take_window_list(some_contigs(), list, unmappable);
    EXPECT_EQ(taken.num_unmappable, 1);
    EXPECT_THAT(taken.list.windows,
                ElementsAre(ListedWindow{"a", 200, 300, "y"}, ListedWindow{"a", 40, 140, "x"},
                            ListedWindow{"a", 250, 350, "y"}));
    EXPECT_THAT(taken.contigs,
                ElementsAre(ListedWindow{"a", 200, 350, "y"}, ListedWindow{"a", 40, 140, "x"}));
}

TEST(GenomeMaskTest, WidensUnitesAndStaysOnTheContig) {
    const TempDir folder;
    const GenomeMask mask =
        GenomeMask::load(folder.write("m.bed", "b\t490\t500\na\t10\t20\na\t45\t60\na\t100\t101\n"),
                         some_contigs(), {}, 20);
    EXPECT_THAT(std::vector<genomics::Range>(mask.on(0).begin(), mask.on(0).end()),
                ElementsAre(genomics::Range{0, 121}));
    EXPECT_THAT(std::vector<genomics::Range>(mask.on(1).begin(), mask.on(1).end()),
                ElementsAre(genomics::Range{470, 500}));
    EXPECT_TRUE(mask.on(2).empty());
    EXPECT_EQ(mask.overlapping(0, 121, 200).size(), 0U);
    EXPECT_EQ(mask.overlapping(0, 120, 200).size(), 1U);
    EXPECT_EQ(mask.digest().size(), 64U);
    EXPECT_EQ(GenomeMask().digest(), "");
    EXPECT_TRUE(GenomeMask().overlapping(0, 0, 100).empty());
}

TEST(GenomeMaskTest, FaultsNameTheRow) {
    const TempDir folder;
    const auto load = [&](const std::string& text) {
        return GenomeMask::load(folder.write("m.bed", text), some_contigs());
    };
    FLAGEN_EXPECT_USER_ERROR(load("a\t0\t5\na\t0\t1001\n"), kInputFile, "a has 1000 bp", "m.bed:2");
    FLAGEN_EXPECT_USER_ERROR(load("chra\t0\t5\n"), kInputFile, "no row", "chra", "m.bed");
    FLAGEN_EXPECT_USER_ERROR(load("a\t5\t1\n"), kInputFile, "m.bed:1");
}

TEST(WindowListTest, ReadsTheWindowsOfTheHumanSet) {
    FLAGEN_SHARED_DATA_OR_SKIP(readme, "human_hg38_windows/README.md");
    std::vector<genomics::Contig> contigs;
    const std::string bed =
        std::string(FLAGEN_PRESETS) + "/human_windows.bed";
    const std::string names =
        testing::run_python("import sys\nprint(*[r.split()[0] for r in open(sys.argv[1])])", {bed});
    std::size_t at = 0;
    for (std::size_t end = 0; (end = names.find_first_of(" \n", at)) != std::string::npos;
         at = end + 1) {
        contigs.push_back({names.substr(at, end - at), 131'072, false});
    }
    const WindowList list =
        WindowList::read_bed(bed, {131'072, 32'768, 32}, genomics::ContigTable(contigs));
    EXPECT_THAT(list.label_counts(),
                ElementsAre(Pair("train", 45), Pair("valid", 10), Pair("test", 10)));
}

}  // namespace
}  // namespace flagen::data
