#include "flagen/genomics/window_planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "genomics/random_split.h"
#include "genomics/user_error_of.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

using testing::RandomSplit;

WindowPlanOptions options_of(std::int64_t window_bp, std::int64_t stride_bp) {
    WindowPlanOptions options;
    options.window_bp = window_bp;
    options.stride_bp = stride_bp;
    return options;
}

std::vector<std::int64_t> starts_of(const WindowPlan& plan) {
    std::vector<std::int64_t> starts;
    for (const Window& window : plan.windows) {
        starts.push_back(window.start_bp);
    }
    return starts;
}

std::vector<std::int64_t> starts_on(const Contig& contig, std::int64_t window,
                                    std::int64_t stride) {
    return starts_of(plan_tiled_windows(ContigTable({contig}), options_of(window, stride)));
}

using Starts = std::vector<std::int64_t>;

TEST(WindowPlanner, KeepsTheExactFit) {
    EXPECT_EQ(starts_on({"c", 100, false}, 40, 20), (Starts{0, 20, 40, 60}));
    EXPECT_EQ(starts_on({"c", 40, false}, 40, 20), (Starts{0}));
    EXPECT_EQ(starts_on({"c", 80, false}, 40, 40), (Starts{0, 40}));
}

TEST(WindowPlanner, AnchorsTheLastWindowAtTheEnd) {
    EXPECT_EQ(starts_on({"c", 101, false}, 40, 20), (Starts{0, 20, 40, 60, 61}));
    EXPECT_EQ(starts_on({"c", 41, false}, 40, 100), (Starts{0, 1}));
}

TEST(WindowPlanner, CentresShortContigs) {
    EXPECT_EQ(starts_on({"c", 30, false}, 40, 20), (Starts{-5}));
    EXPECT_EQ(starts_on({"c", 31, false}, 40, 20), (Starts{-5}));
    EXPECT_EQ(starts_on({"c", 1, false}, 40, 20), (Starts{-20}));
}

TEST(WindowPlanner, TilesRingsAllRound) {
    EXPECT_EQ(starts_on({"c", 100, true}, 40, 25), (Starts{0, 25, 50, 75}));
    EXPECT_EQ(starts_on({"c", 100, true}, 40, 40), (Starts{0, 40, 80}));
    EXPECT_EQ(starts_on({"c", 40, true}, 40, 10), (Starts{0}));
    EXPECT_EQ(starts_on({"c", 30, true}, 40, 10), (Starts{-5}));
}

TEST(WindowPlanner, PadsShortSegmentsPastTrueEndsOnly) {
    const ContigTable contigs({{"c", 100, false}, {"r", 100, true}});
    const std::vector<Segment> segments{{"c", 0, 30, true, false, false},
                                        {"c", 35, 30, false, false, false},
                                        {"c", 75, 25, false, true, false},
                                        {"r", 90, 30, false, false, false},
                                        {"r", 80, 45, false, false, false}};
    const WindowPlan plan = plan_tiled_windows(contigs, segments, options_of(40, 5));
    EXPECT_EQ(starts_of(plan), (Starts{-10, 75, 80, 85}));
    EXPECT_EQ(plan.segment_of_window, (std::vector<std::size_t>{0, 2, 4, 4}));
    EXPECT_EQ(plan.num_segments_too_short, 2);
}

TEST(WindowPlanner, DropsExcludedWindows) {
    const ContigTable contigs({{"c", 100, false}});
    WindowPlanOptions options = options_of(20, 20);
    options.excluded = {{"c", 5, 15}, {"c", 20, 29}, {"c", 85, 90}, {"c", 40, 55}, {"c", 50, 60}};
    EXPECT_EQ(starts_of(plan_tiled_windows(contigs, options)), (Starts{20, 60, 80}));
    EXPECT_EQ(plan_tiled_windows(contigs, options).num_dropped_excluded, 2);
    options.drop_at_excluded_fraction = 0.0;
    EXPECT_EQ(starts_of(plan_tiled_windows(contigs, options)), (Starts{60}));
    options.drop_at_excluded_fraction = 1.0;
    EXPECT_EQ(starts_of(plan_tiled_windows(contigs, options)), (Starts{0, 20, 60, 80}));
}

TEST(WindowPlanner, CountsExclusionsOverTheOrigin) {
    const ContigTable contigs({{"r", 100, true}});
    WindowPlanOptions options = options_of(40, 25);
    options.excluded = {{"r", 95, 115}};  // 20 of [75, 115), 15 of [0, 40)
    EXPECT_EQ(starts_of(plan_tiled_windows(contigs, options)), (Starts{0, 25, 50}));
    options.window_bp = 250;  // [-75, 175) reads the ring twice and [25, 75) again: 40 of 250
    options.drop_at_excluded_fraction = 0.16;
    EXPECT_EQ(plan_tiled_windows(contigs, options).num_dropped_excluded, 1);
    options.drop_at_excluded_fraction = 0.17;
    EXPECT_EQ(plan_tiled_windows(contigs, options).num_dropped_excluded, 0);
}

TEST(WindowPlanner, CentresOnIntervals) {
    const ContigTable contigs({{"c", 1000, false}, {"r", 1000, true}});
    // mid = floor((start + end) / 2), [mid - L / 2, mid + L / 2).
    EXPECT_EQ(centred_window(contigs, {"c", 500, 511}, 100), (Window{"c", 455, 100}));
    EXPECT_EQ(centred_window(contigs, {"c", 501, 511}, 101), (Window{"c", 456, 101}));
    EXPECT_EQ(centred_window(contigs, {"c", 0, 10}, 100), (Window{"c", -45, 100}));
    EXPECT_EQ(centred_window(contigs, {"c", 990, 1000}, 100), (Window{"c", 945, 100}));
    EXPECT_EQ(centred_window(contigs, {"r", 0, 10}, 100, Strand::kReverse),
              (Window{"r", 955, 100, Strand::kReverse}));
    EXPECT_EQ(centred_window(contigs, {"r", 990, 1030}, 100), (Window{"r", 960, 100}));
    WindowPlanOptions options = options_of(100, 1);
    options.excluded = {{"c", 400, 500}};
    const WindowPlan plan =
        plan_centred_windows(contigs, {{"c", 440, 460}, {"r", 440, 460}}, options);
    EXPECT_EQ(starts_of(plan), (Starts{400}));
    EXPECT_EQ(plan.segment_of_window, (std::vector<std::size_t>{1}));
    EXPECT_EQ(plan.num_dropped_excluded, 1);
}

TEST(WindowPlanner, RejectsImpossibleRequests) {
    const ContigTable contigs({{"c", 1000, false}});
    const auto plan_with = [&](auto change) {
        WindowPlanOptions options = options_of(10, 10);
        change(options);
        return plan_tiled_windows(contigs, options);
    };
    FLAGEN_EXPECT_USER_ERROR(plan_with([](auto& o) { o.window_bp = 0; }), kConfig,
                             "window length is not between 1 and 2^53: 0");
    FLAGEN_EXPECT_USER_ERROR(plan_with([](auto& o) { o.stride_bp = -1; }), kConfig,
                             "stride of the windows is not between 1 and 2^53: -1");
    FLAGEN_EXPECT_USER_ERROR(plan_with([](auto& o) { o.drop_at_excluded_fraction = 1.5; }), kConfig,
                             "excluded fraction is not in [0, 1]: 1.5");
    FLAGEN_EXPECT_USER_ERROR(plan_with([](auto& o) {
                                 o.excluded = {{"d", 1, 2}};
                             }),
                             kConfig,
                             "excluded interval is on a contig that the genome lacks: d:1-2");
    FLAGEN_EXPECT_USER_ERROR(plan_with([](auto& o) {
                                 o.excluded = {{"c", 1, 1001}};
                             }),
                             kConfig, "excluded interval reaches past its contig: c:1-1001");
    FLAGEN_EXPECT_USER_ERROR(centred_window(contigs, {"c", 5, 5}, 10), kInputFile,
                             "centre of a window holds no base: c:5-5");
}

/// The windows of one segment: inside it, all of it, no more of them than needed.
void check_segment(const Segment& segment, const std::vector<Window>& windows,
                   const WindowPlanOptions& options, const Contig& contig) {
    const std::int64_t window_bp = options.window_bp;
    if (segment.length_bp < window_bp) {
        const bool has_room =
            segment.at_contig_start || segment.at_contig_end || segment.whole_ring;
        ASSERT_EQ(windows.size(), has_room ? 1U : 0U);
        return;
    }
    const std::int64_t stride = options.stride_bp;
    const bool tiles_ring = segment.whole_ring && segment.length_bp > window_bp;
    const std::int64_t needed = tiles_ring
                                    ? (segment.length_bp + stride - 1) / stride
                                    : (segment.length_bp - window_bp + stride - 1) / stride + 1;
    ASSERT_EQ(static_cast<std::int64_t>(windows.size()), needed);
    std::set<std::int64_t> covered;
    for (std::size_t i = 0; i < windows.size(); ++i) {
        ASSERT_GE(windows[i].start_bp, segment.start_bp);
        if (!tiles_ring) {
            ASSERT_LE(windows[i].end_bp(), segment.end_bp());
        }
        if (i > 0) {
            ASSERT_GT(windows[i].start_bp, windows[i - 1].start_bp);
            ASSERT_LE(windows[i].start_bp, windows[i - 1].start_bp + stride);
        }
        for (std::int64_t at = windows[i].start_bp; at < windows[i].end_bp(); ++at) {
            covered.insert(at % contig.length_bp);
        }
    }
    if (stride <= window_bp) {
        ASSERT_EQ(static_cast<std::int64_t>(covered.size()), segment.length_bp);
    }
}

/// Plans all splits of random genomes: no base is read by windows of two splits, padding lies off
/// linear contigs only, and segments are covered.
TEST(WindowPlanner, RandomPlansShareNoBaseBetweenSplits) {
    std::size_t num_windows = 0;
    std::size_t num_padded = 0;
    std::size_t num_over_origin = 0;
    for (std::uint64_t seed = 0; seed < 1500; ++seed) {
        RandomSplit truth(seed);
        const WindowPlanOptions options = options_of(truth.between(1, 90), truth.between(1, 100));
        const SplitPlan plan(truth.contigs(), truth.definition());
        std::map<std::pair<std::size_t, std::int64_t>, Split> readers;
        for (const Split split : {Split::kTrain, Split::kValid, Split::kTest}) {
            const auto segments = plan.segments(split);
            const WindowPlan windows = plan_tiled_windows(truth.contigs(), segments, options);
            ASSERT_EQ(windows.windows.size(), windows.segment_of_window.size());
            std::vector<std::vector<Window>> of_segment(segments.size());
            for (std::size_t i = 0; i < windows.windows.size(); ++i) {
                const Window& window = windows.windows[i];
                of_segment[windows.segment_of_window[i]].push_back(window);
                ASSERT_EQ(window.length_bp, options.window_bp);
                const std::size_t index = *truth.contigs().find(window.contig);
                const Contig& contig = truth.contigs().at(index);
                num_over_origin += contig.circular && window.end_bp() > contig.length_bp ? 1 : 0;
                std::int64_t num_read = 0;
                for (std::int64_t at = window.start_bp; at < window.end_bp(); ++at) {
                    if (!contig.circular && (at < 0 || at >= contig.length_bp)) {
                        continue;  // read as N
                    }
                    ++num_read;
                    ASSERT_EQ(truth.use(index, at), split) << "seed " << seed;
                    const auto [reader, is_new] = readers.emplace(
                        std::pair{index,
                                  ((at % contig.length_bp) + contig.length_bp) % contig.length_bp},
                        split);
                    ASSERT_EQ(reader->second, split) << "seed " << seed;
                }
                ASSERT_GT(num_read, 0);
                num_padded += num_read < window.length_bp ? 1 : 0;
                ++num_windows;
            }
            for (std::size_t i = 0; i < segments.size(); ++i) {
                const std::size_t index = *truth.contigs().find(segments[i].contig);
                check_segment(segments[i], of_segment[i], options, truth.contigs().at(index));
                if (HasFatalFailure()) {
                    FAIL() << "seed " << seed;
                }
            }
            ASSERT_EQ(windows.num_segments_too_short,
                      std::count_if(of_segment.begin(), of_segment.end(),
                                    [](const auto& list) { return list.empty(); }));
        }
    }
    EXPECT_GT(num_windows, 10'000U);
    EXPECT_GT(num_padded, 100U);
    EXPECT_GT(num_over_origin, 1'000U);
}

/// The data set's own windows: stride 262,144, the last one anchored, planned by its author.
TEST(WindowPlanner, YeastWindowsEqualThePublishedOnes) {
    FLAGEN_SHARED_DATA_OR_SKIP(sizes, "yeast_R64-1-1/genome/chrom.sizes");
    FLAGEN_SHARED_DATA_OR_SKIP(windows, "yeast_R64-1-1/windows_524288.bed");
    std::vector<Contig> contigs;
    std::istringstream rows(testing::tool_output("cat '" + sizes + "'"));
    std::string name;
    for (std::int64_t length = 0; rows >> name >> length;) {
        contigs.push_back({name, length, false});
    }
    const ContigTable table(std::move(contigs));
    std::string ours;
    std::int64_t num_padded = 0;
    for (const Window& window : plan_tiled_windows(table, options_of(524'288, 262'144)).windows) {
        if (table.at(*table.find(window.contig)).length_bp < 524'288) {
            ++num_padded;
            continue;
        }
        ours += window.contig + "\t" + std::to_string(window.start_bp) + "\t" +
                std::to_string(window.end_bp()) + "\n";
    }
    EXPECT_EQ(ours, testing::tool_output("cut -f 1-3 '" + windows + "'"));
    EXPECT_EQ(num_padded, 5);  // I, III, VI, IX, Mito
}

}  // namespace
}  // namespace flagen::genomics
