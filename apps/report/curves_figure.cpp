#include <algorithm>
#include <array>
#include <utility>

#include "apps/report/figures.h"
#include "apps/report/markup.h"
#include "apps/report/plot_axes.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

constexpr std::size_t kMaxPoints = 400;
constexpr std::size_t kMaxDots = 60;  // more dots than these would hide their line
constexpr std::array<const char*, 4> kLines = {"line s0", "line s1", "line s2", "line s3"};
constexpr std::array<const char*, 4> kDots = {"dot s0", "dot s1", "dot s2", "dot s3"};

std::vector<Point> thinned(const std::vector<Point>& points) {
    if (points.size() <= kMaxPoints) {
        return points;
    }
    std::vector<Point> means;
    for (std::size_t bucket = 0; bucket < kMaxPoints; ++bucket) {
        const std::size_t begin = bucket * points.size() / kMaxPoints;
        const std::size_t end = (bucket + 1) * points.size() / kMaxPoints;
        Point sum;
        for (std::size_t i = begin; i < end; ++i) {
            sum.x += points[i].x;
            sum.y += points[i].y;
        }
        const auto count = static_cast<double>(end - begin);
        means.push_back({sum.x / count, sum.y / count});
    }
    return means;
}

}  // namespace

Figure curves_figure(const CurvesPlot& plot) {
    FLAGEN_CHECK(!plot.series.empty() && plot.series.size() <= kLines.size(), "a plot has one to four curves");
    Range steps{0.0, 0.0};
    Range values = Range::empty();
    std::vector<std::vector<Point>> curves;
    for (const Series& series : plot.series) {
        curves.push_back(thinned(series.points));
        for (const Point& point : curves.back()) {
            steps.include(point.x);
            values.include(point.y);
        }
    }
    SvgWriter svg(560, 330, plot.title);
    const Box box{68, plot.series.size() > 1 || plot.marked_step ? 36.0 : 16.0, 540, 276};
    if (steps.span() <= 0) {
        steps.high = 1;
    }
    const PlotFrame frame(svg, box, {"training step", {0.0, steps.high}, 1.0}, {plot.y_label, padded(values, 0.06)});
    std::vector<LegendEntry> legend;
    if (plot.marked_step && *plot.marked_step <= steps.high) {
        const double x = frame.x()(*plot.marked_step);
        svg.line({x, box.top}, {x, box.bottom}, "median");
    }
    for (std::size_t i = 0; i < curves.size(); ++i) {
        std::vector<Point> pixels;
        for (const Point& point : curves[i]) {
            pixels.push_back(frame.at(point.x, point.y));
        }
        svg.polyline(pixels, kLines[i]);
        if (pixels.size() <= kMaxDots) {
            for (std::size_t p = 0; p < pixels.size(); ++p) {
                svg.circle(pixels[p], 3, kDots[i],
                           detail::concatenate("step ", step_number(curves[i][p].x), ": ", fixed(curves[i][p].y, 4)));
            }
        }
        if (plot.series.size() > 1) {
            legend.push_back({plot.series[i].name, kLines[i], true});
        }
    }
    if (plot.marked_step) {
        legend.push_back({plot.mark_name, "median", true});
    }
    draw_legend(svg, {box.left, 14}, legend);
    return {plot.title, plot.caption, svg.finish(), false};
}

}  // namespace flagen::apps::report
