#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "apps/report/figures.h"
#include "apps/report/markup.h"
#include "apps/report/plot_axes.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

constexpr int kNumBins = 40;  // of [-1, 1]: 0.05 wide

std::vector<double> defined(const std::vector<double>& values) {
    std::vector<double> kept;
    std::copy_if(values.begin(), values.end(), std::back_inserter(kept), [](double v) { return std::isfinite(v); });
    std::sort(kept.begin(), kept.end());
    return kept;
}

double median_of_sorted(const std::vector<double>& values) {
    const std::size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::array<double, kNumBins> count_bins(const std::vector<double>& values) {
    std::array<double, kNumBins> counts{};
    for (const double value : values) {
        const int bin = std::clamp(static_cast<int>(std::floor((value + 1) / 2 * kNumBins)), 0, kNumBins - 1);
        counts[static_cast<std::size_t>(bin)] += 1;
    }
    return counts;
}

double bin_edge(std::size_t bin) { return -1.0 + 2.0 * static_cast<double>(bin) / kNumBins; }

}  // namespace

Figure gene_histogram_figure(const GeneCorrelations& correlations) {
    const auto plain = defined(correlations.plain);
    const auto centred = defined(correlations.centred);
    Figure figure;
    if (plain.empty() || centred.empty()) {
        figure.title = detail::concatenate("r of each gene across samples, ", correlations.split,
                                           ": undefined for every gene (too few samples, or all of them equal)");
        return figure;
    }
    figure.title = detail::concatenate("r of each gene across samples, ", correlations.split, ": median ",
                                       fixed(median_of_sorted(centred), 3), " centred, ",
                                       fixed(median_of_sorted(plain), 3), " as measured");
    const auto filled = count_bins(centred);
    const auto outline = count_bins(plain);
    const double most =
        std::max(*std::max_element(filled.begin(), filled.end()), *std::max_element(outline.begin(), outline.end()));
    SvgWriter svg(560, 330, figure.title);
    const Box box{68, 36, 540, 276};
    const PlotFrame frame(svg, box, {"Pearson r across samples", {-1, 1}}, {"genes", {0, most * 1.06}, 1.0});
    std::vector<Point> steps;
    for (std::size_t bin = 0; bin < filled.size(); ++bin) {
        const Point top = frame.at(bin_edge(bin), filled[bin]);
        const double right = frame.x()(bin_edge(bin + 1));
        svg.rect({top.x + 0.5, top.y}, right - top.x - 1, box.bottom - top.y, "bar s0",
                 detail::concatenate(fixed(bin_edge(bin), 2), " to ", fixed(bin_edge(bin + 1), 2), ": ", filled[bin],
                                     " genes centred, ", outline[bin], " as measured"));
        steps.push_back(frame.at(bin_edge(bin), outline[bin]));
        steps.push_back(frame.at(bin_edge(bin + 1), outline[bin]));
    }
    svg.polyline(steps, "line outline");
    const double middle = frame.x()(median_of_sorted(centred));
    svg.line({middle, box.top}, {middle, box.bottom}, "median");
    draw_legend(
        svg, {box.left, 14},
        {{"centred", "bar s0", false}, {"as measured", "line outline", true}, {"median, centred", "median", true}});
    figure.caption = detail::concatenate(
        centred.size(), " genes",
        centred.size() < correlations.centred.size()
            ? detail::concatenate("; ", correlations.centred.size() - centred.size(), " are undefined (constant)")
            : std::string(),
        ". Centred: after each gene's and each sample's mean is taken away, so that what all genes share counts for "
        "nothing.");
    figure.svg = svg.finish();
    return figure;
}

}  // namespace flagen::apps::report
