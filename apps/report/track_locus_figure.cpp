#include <algorithm>
#include <cmath>

#include "apps/report/figures.h"
#include "apps/report/locus_axis.h"
#include "apps/report/markup.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

constexpr double kWidth = 1140.0;
constexpr double kTop = 36.0;
constexpr double kStrip = 52.0;  // height of one coverage strip
constexpr double kGap = 6.0;     // between observed and predicted of one track
constexpr double kRow = 2 * kStrip + kGap + 34.0;

// Largest finite bin of each column of pixels.
std::vector<double> columns(const std::vector<float>& bins, std::size_t num_columns) {
    num_columns = std::min(num_columns, bins.size());
    std::vector<double> largest(num_columns, 0.0);
    for (std::size_t i = 0; i < bins.size(); ++i) {
        double& column = largest[i * num_columns / bins.size()];
        if (std::isfinite(bins[i])) {
            column = std::max(column, static_cast<double>(bins[i]));
        }
    }
    return largest;
}

void draw_coverage(SvgWriter& svg, const Box& box, const std::vector<double>& values, double most, const char* css) {
    std::vector<Point> outline{{box.left, box.bottom}};
    const double width = box.width() / static_cast<double>(values.size());
    for (std::size_t i = 0; i < values.size();) {
        std::size_t end = i + 1;  // of a run of equal columns: one step of the outline
        while (end < values.size() && values[end] == values[i]) {
            ++end;
        }
        const double y = box.bottom - std::min(values[i] / most, 1.0) * box.height();
        outline.push_back({box.left + width * static_cast<double>(i), y});
        outline.push_back({box.left + width * static_cast<double>(end), y});
        i = end;
    }
    outline.push_back({box.right, box.bottom});
    svg.polygon(outline, css);
    svg.line({box.left, box.bottom}, {box.right, box.bottom}, "axis");
}

// The least round number at or above the data, so that a strip needs only two labels.
double nice_top(double most) {
    const double power = std::pow(10.0, std::floor(std::log10(most)));
    for (const double mantissa : {1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0}) {
        if (mantissa * power >= most) {
            return mantissa * power;
        }
    }
    return 10.0 * power;
}

// `top_label` is empty for the lower strip of a pair: both have one scale.
void draw_strip_axis(SvgWriter& svg, const Box& box, const std::string& top_label) {
    svg.line({box.left, box.top}, {box.right, box.top}, "grid");
    if (!top_label.empty()) {
        svg.text({box.left - 8, box.top + 8}, top_label, {"tick", Anchor::kEnd, 0});
    }
    svg.text({box.left - 8, box.bottom + 3}, "0", {"tick", Anchor::kEnd, 0});
}

void draw_track(SvgWriter& svg, const LocusTrack& track, double left, double top) {
    const auto num_columns = static_cast<std::size_t>(kWidth - 16 - left);
    const auto observed = columns(track.observed, num_columns);
    const auto predicted = columns(track.predicted, num_columns);
    double most = 0.0;
    for (const auto* values : {&observed, &predicted}) {
        for (const double value : *values) {
            most = std::max(most, value);
        }
    }
    most = most > 0 ? nice_top(most) : 1.0;
    svg.text({left, top + 12}, detail::concatenate(shortened(track.name, 60), ", ", track.unit),
             {"label", Anchor::kStart, 0});
    const Box upper{left, top + 20, kWidth - 16, top + 20 + kStrip};
    const Box lower{left, upper.bottom + kGap, kWidth - 16, upper.bottom + kGap + kStrip};
    draw_strip_axis(svg, upper, tick_labels({most}).front());
    draw_strip_axis(svg, lower, {});
    if (observed.empty()) {
        svg.text({left + 8, upper.bottom - kStrip / 2}, "the measured track was not read", {"tick", Anchor::kStart, 0});
    } else {
        draw_coverage(svg, upper, observed, most, "observed");
    }
    draw_coverage(svg, lower, predicted, most, "predicted");
}

}  // namespace

Figure track_locus_figure(const TrackLocus& locus) {
    Figure figure;
    figure.wide = true;
    if (locus.tracks.empty()) {
        figure.title = "No predicted track covers the locus";
        return figure;
    }
    const std::size_t num_bins = locus.tracks.front().predicted.size();
    FLAGEN_CHECK(num_bins > 0, "a track of a locus has no bins");
    const std::size_t num_drawn = std::min(locus.tracks.size(), kMaxLocusTracks);
    const std::int64_t end_bp = locus.start_bp + locus.bin_bp * static_cast<std::int64_t>(num_bins);
    figure.title = detail::concatenate("Observed over predicted tracks along ",
                                       region_text(shortened(locus.contig, 40), locus.start_bp, end_bp), " in bins of ",
                                       base_pairs(locus.bin_bp));
    constexpr double kLeft = 80.0;
    SvgWriter svg(kWidth, kTop + kRow * static_cast<double>(num_drawn) + kGenomeHeight, figure.title);
    for (std::size_t i = 0; i < num_drawn; ++i) {
        const LocusTrack& track = locus.tracks[i];
        FLAGEN_CHECK_EQ(track.predicted.size(), num_bins, "tracks of a locus differ in their bins");
        FLAGEN_CHECK(track.observed.empty() || track.observed.size() == num_bins, "observed and predicted bins differ");
        draw_track(svg, track, kLeft, kTop + kRow * static_cast<double>(i));
    }
    const LinearScale position({static_cast<double>(locus.start_bp), static_cast<double>(end_bp)}, kLeft, kWidth - 16);
    const Box genome{kLeft, kTop + kRow * static_cast<double>(num_drawn), kWidth - 16, svg.height()};
    draw_genome(svg, position, genome, locus.contig, locus.genes);
    std::vector<LegendEntry> legend = {{"observed", "observed", false}, {"predicted", "predicted", false}};
    add_gene_legend(legend, locus.genes);
    draw_legend(svg, {kLeft, 14}, legend);
    if (const std::size_t num_tracks = std::max(locus.num_tracks, locus.tracks.size()); num_drawn < num_tracks) {
        figure.caption = detail::concatenate("The first ", num_drawn, " of ", num_tracks, " tracks are drawn. ");
    }
    if (locus.genes.empty()) {
        figure.caption += "No gene of the annotation overlaps the region. ";
    }
    figure.svg = svg.finish();
    return figure;
}

}  // namespace flagen::apps::report
