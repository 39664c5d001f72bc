#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <numeric>

#include "apps/report/figures.h"
#include "apps/report/markup.h"
#include "apps/report/plot_axes.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

constexpr std::size_t kMaxDots = 2500;
constexpr double kHexRadius = 6.0;
constexpr std::array<const char*, 6> kShades = {"d0", "d1", "d2", "d3", "d4", "d5"};

const char* shade(double share) {
    const auto level = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * 5.999);
    return kShades[level];
}

// Number of points within `radius` of each, itself included: a sweep over points sorted by x.
std::vector<double> crowding(const std::vector<Point>& points, double radius) {
    std::vector<std::size_t> order(points.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return points[a].x < points[b].x; });
    std::vector<double> counts(points.size(), 1.0);
    for (std::size_t i = 0; i < order.size(); ++i) {
        for (std::size_t j = i + 1; j < order.size(); ++j) {
            const Point& a = points[order[i]];
            const Point& b = points[order[j]];
            if (b.x - a.x > radius) {
                break;
            }
            if (std::hypot(b.x - a.x, b.y - a.y) <= radius) {
                counts[order[i]] += 1;
                counts[order[j]] += 1;
            }
        }
    }
    return counts;
}

std::string describe(const NamedPair& pair) {
    return detail::concatenate(pair.name, ": observed ", fixed(pair.observed, 2), ", predicted ",
                               fixed(pair.predicted, 2));
}

// Crowded dots last, so that no lone one hides them. Returns the largest count.
double draw_dots(SvgWriter& svg, const std::vector<Point>& places, const std::vector<NamedPair>& pairs) {
    const std::vector<double> counts = crowding(places, 9.0);
    std::vector<std::size_t> order(places.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return counts[a] < counts[b]; });
    const double most = std::max(2.0, *std::max_element(counts.begin(), counts.end()));
    for (const std::size_t i : order) {
        svg.circle(places[i], 2.6, shade(std::log(counts[i]) / std::log(most)), describe(pairs[i]));
    }
    return most;
}

// Hexagons, pointed at the top: rows are 1.5 radii apart and every other one is moved by half a width.
double draw_hexagons(SvgWriter& svg, const std::vector<Point>& places) {
    const double width = std::numbers::sqrt3 * kHexRadius;
    std::map<std::pair<long, long>, double> counts;
    const auto centre = [&](long row, long column) {
        return Point{(static_cast<double>(column) + (row % 2 == 0 ? 0.0 : 0.5)) * width,
                     static_cast<double>(row) * 1.5 * kHexRadius};
    };
    for (const Point& place : places) {
        const long near_row = std::lround(place.y / (1.5 * kHexRadius));
        std::pair<long, long> best{};
        double best_distance = std::numeric_limits<double>::infinity();
        for (long row = near_row - 1; row <= near_row + 1; ++row) {
            const long column = std::lround(place.x / width - (row % 2 == 0 ? 0.0 : 0.5));
            const Point middle = centre(row, column);
            const double distance = std::hypot(place.x - middle.x, place.y - middle.y);
            if (distance < best_distance) {
                best_distance = distance;
                best = {row, column};
            }
        }
        counts[best] += 1;
    }
    double most = 2.0;
    for (const auto& [cell, count] : counts) {
        most = std::max(most, count);
    }
    for (const auto& [cell, count] : counts) {
        const Point middle = centre(cell.first, cell.second);
        std::vector<Point> corners;
        for (int corner = 0; corner < 6; ++corner) {
            const double angle = std::numbers::pi * (1.0 / 6.0 + corner / 3.0);
            corners.push_back({middle.x + kHexRadius * std::cos(angle), middle.y + kHexRadius * std::sin(angle)});
        }
        svg.polygon(corners, shade(std::log(count) / std::log(most)),
                    detail::concatenate(with_commas(std::llround(count)), count == 1 ? " gene" : " genes"));
    }
    return most;
}

void draw_ramp(SvgWriter& svg, const Box& box, double most, const char* what) {
    const std::string text = detail::concatenate("1 to ", with_commas(std::llround(most)), " genes ", what);
    double x = box.left;
    for (const char* css : kShades) {
        svg.rect({x, 28}, 12, 12, css);
        x += 12;
    }
    svg.text({x + 6, 38}, text, {"key", Anchor::kStart, 0});
}

}  // namespace

Figure scatter_figure(const ScatterPlot& plot) {
    Figure figure;
    figure.title =
        detail::concatenate("Predicted against observed gene means, ", plot.split, ": r = ", fixed(plot.pearson, 3),
                            " over ", with_commas(static_cast<std::int64_t>(plot.pairs.size())), " genes");
    if (plot.pairs.empty()) {
        return figure;
    }
    Range range = Range::empty();
    for (const NamedPair& pair : plot.pairs) {
        range.include(pair.observed);
        range.include(pair.predicted);
    }
    range = padded(range, 0.04);
    SvgWriter svg(560, 580, figure.title);
    const Box box{68, 54, 540, 526};
    const PlotFrame frame(svg, box, {detail::concatenate("observed mean over samples, ", plot.unit), range},
                          {detail::concatenate("predicted mean over samples, ", plot.unit), range});
    std::vector<Point> places;
    for (const NamedPair& pair : plot.pairs) {
        places.push_back(frame.at(pair.observed, pair.predicted));
    }
    const bool dots = places.size() <= kMaxDots;
    const double most = dots ? draw_dots(svg, places, plot.pairs) : draw_hexagons(svg, places);
    svg.line(frame.at(range.low, range.low), frame.at(range.high, range.high), "identity");
    svg.text({box.left, 16},
             detail::concatenate("r = ", fixed(plot.pearson, 3), "  \u00B7  \u03C1 = ", fixed(plot.spearman, 3),
                                 "  \u00B7  R\u00B2 = ", fixed(plot.r2, 3)),
             {"value", Anchor::kStart, 0});
    draw_ramp(svg, box, most, dots ? "nearby" : "in a cell");
    figure.caption =
        "Dashed: predicted = observed. r is Pearson's, \u03C1 Spearman's; R\u00B2 is of the predictions as they are, "
        "so it "
        "counts a wrong scale or offset.";
    figure.svg = svg.finish();
    return figure;
}

}  // namespace flagen::apps::report
