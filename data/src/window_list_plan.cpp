// Laying windows in the parts of a genome.
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "flagen/data/window_list.h"
#include "flagen/error.h"
#include "flagen/genomics/range.h"
#include "flagen/genomics/window_planner.h"

namespace flagen::data {
namespace {

using genomics::Segment;

/// Stretches of one label, and how its windows are spaced.
struct LabelledSegments {
    std::string label;
    std::vector<Segment> segments;
    std::int64_t stride_bp = 0;
};

genomics::ContigTable linear(const genomics::ContigTable& contigs) {
    std::vector<genomics::Contig> copies;
    for (std::size_t i = 0; i < contigs.size(); ++i) {
        copies.push_back({contigs.at(i).name, contigs.at(i).length_bp, false});
    }
    return genomics::ContigTable(std::move(copies));
}

std::vector<LabelledSegments> labelled_segments(const genomics::ContigTable& contigs,
                                                const WindowListOptions& options) {
    std::vector<LabelledSegments> labelled;
    if (options.splits.num_folds == 0) {
        const genomics::SplitPlan plan(contigs, options.splits);
        for (const auto split :
             {genomics::Split::kTrain, genomics::Split::kValid, genomics::Split::kTest}) {
            labelled.push_back(
                {genomics::split_name(split), plan.segments(split),
                 split == genomics::Split::kTrain ? options.stride_bp : options.eval_stride_bp});
        }
        return labelled;
    }
    for (std::int64_t fold = 0; fold < options.splits.num_folds; ++fold) {
        // Each fold in turn is the held-out one: the folds of a later training run are the same.
        genomics::SplitDefinition definition = options.splits;
        definition.test_folds = {std::to_string(fold)};
        definition.valid_folds.clear();
        const genomics::SplitPlan plan(contigs, definition);
        labelled.push_back({"fold" + std::to_string(fold), plan.segments(genomics::Split::kTest),
                            options.stride_bp});
    }
    return labelled;
}

/// The parts of `segments` outside of gaps, as stretches that no window may leave.
std::vector<Segment> without_gaps(const std::vector<Segment>& segments,
                                  const genomics::ContigTable& contigs, const GenomeMask& gaps) {
    std::vector<Segment> result;
    for (const Segment& segment : segments) {
        const auto holes =
            gaps.overlapping(*contigs.find(segment.contig), segment.start_bp, segment.end_bp());
        for (const genomics::Range& range : genomics::complement(
                 {segment.start_bp, segment.end_bp()}, {holes.begin(), holes.end()})) {
            result.push_back({segment.contig, range.start_bp, range.length_bp()});
        }
    }
    return result;
}

}  // namespace

PlannedWindowList plan_window_list(const genomics::ContigTable& all_contigs,
                                   const WindowGeometry& geometry, const GenomeMask& gaps,
                                   const GenomeMask& unmappable, const WindowListOptions& options) {
    geometry.check();
    const genomics::ContigTable contigs = linear(all_contigs);
    PlannedWindowList planned;
    planned.list.geometry = geometry;
    genomics::WindowPlanOptions layout;
    layout.window_bp = geometry.output_bp();
    layout.excluded = unmappable.intervals(contigs);
    layout.drop_at_excluded_fraction = options.drop_at_unmappable;
    for (const LabelledSegments& part : labelled_segments(contigs, options)) {
        layout.stride_bp = part.stride_bp == 0 ? geometry.output_bp() : part.stride_bp;
        const std::vector<Segment> segments = without_gaps(part.segments, contigs, gaps);
        const genomics::WindowPlan plan = genomics::plan_tiled_windows(contigs, segments, layout);
        for (const genomics::Window& window : plan.windows) {
            planned.list.windows.push_back(
                {window.contig, window.start_bp, window.end_bp(), part.label});
        }
        for (const Segment& segment : segments) {
            planned.contigs.push_back(
                {segment.contig, segment.start_bp, segment.end_bp(), part.label});
            if (segment.length_bp < geometry.output_bp()) {
                planned.short_contigs_bp += segment.length_bp;
            }
        }
        planned.num_unmappable += plan.num_dropped_excluded;
        planned.num_contigs_short += plan.num_segments_too_short;
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, !planned.list.windows.empty(),
                      "no stretch of the genome holds the output of a window, ",
                      geometry.output_bp(), " bp",
                      planned.num_unmappable > 0 ? ", that is mappable" : "");
    return planned;
}

PlannedWindowList take_window_list(const genomics::ContigTable& contigs, WindowList list,
                                   const GenomeMask& unmappable, double drop_at_unmappable) {
    PlannedWindowList taken;
    taken.list.geometry = list.geometry;
    const double limit = drop_at_unmappable * static_cast<double>(list.geometry.output_bp());
    // By label, in the order of their first window, and contig.
    std::vector<std::pair<std::string, std::vector<std::vector<genomics::Range>>>> covered;
    for (ListedWindow& window : list.windows) {
        const std::size_t index = *contigs.find(window.contig);
        const std::int64_t masked =
            genomics::shared_bp({window.start_bp, window.end_bp}, unmappable.on(index));
        if (masked > 0 && static_cast<double>(masked) >= limit) {
            ++taken.num_unmappable;
            continue;
        }
        auto found = covered.begin();
        while (found != covered.end() && found->first != window.label) {
            ++found;
        }
        if (found == covered.end()) {
            covered.emplace_back(window.label,
                                 std::vector<std::vector<genomics::Range>>(contigs.size()));
            found = covered.end() - 1;
        }
        found->second[index].push_back({window.start_bp, window.end_bp});
        taken.list.windows.push_back(std::move(window));
    }
    FLAGEN_USER_CHECK(UserFault::kInputFile, !taken.list.windows.empty(),
                      "no listed window is mappable: all ", taken.num_unmappable, " are dropped");
    for (auto& [label, by_contig] : covered) {
        for (std::size_t index = 0; index < by_contig.size(); ++index) {
            for (const auto& range : genomics::united(std::move(by_contig[index]))) {
                taken.contigs.push_back(
                    {contigs.at(index).name, range.start_bp, range.end_bp, label});
            }
        }
    }
    return taken;
}

}  // namespace flagen::data
