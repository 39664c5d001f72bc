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

constexpr std::size_t kMaxRows = 40;
constexpr std::size_t kMaxName = 30;
constexpr std::array<const char*, 4> kDots = {"dot s0", "dot s1", "dot s2", "dot s3"};

// Defined values only, largest first.
std::vector<NamedValue> sorted(const ValueGroup& group) {
    std::vector<NamedValue> values;
    std::copy_if(group.values.begin(), group.values.end(), std::back_inserter(values),
                 [](const NamedValue& value) { return std::isfinite(value.value); });
    std::stable_sort(values.begin(), values.end(),
                     [](const NamedValue& a, const NamedValue& b) { return a.value > b.value; });
    return values;
}

double median_of_sorted(const std::vector<NamedValue>& values) {
    const std::size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half].value : (values[half - 1].value + values[half].value) / 2;
}

std::string describe(const std::string& group, const NamedValue& value) {
    return detail::concatenate(value.name, ", ", group, ": r = ", fixed(value.value, 3));
}

std::string axis_label(const CorrelationsPlot& plot) { return detail::concatenate("Pearson r over ", plot.over); }

std::vector<LegendEntry> legend_of(const std::vector<ValueGroup>& groups) {
    std::vector<LegendEntry> legend;
    for (std::size_t g = 0; g < groups.size(); ++g) {
        legend.push_back({groups[g].name, kDots[g], false});
    }
    return legend;
}

std::string draw_rows(const CorrelationsPlot& plot, const Range& range, const std::string& title) {
    const std::vector<ValueGroup>& groups = plot.groups;
    // Undefined values of the last group go to the end, in their own order.
    std::vector<std::size_t> order(groups.back().values.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
        order[i] = i;
    }
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const double left = groups.back().values[a].value;
        const double right = groups.back().values[b].value;
        return std::isfinite(left) && (!std::isfinite(right) || left > right);
    });
    constexpr double kRow = 20.0;
    std::size_t longest = 4;
    for (const NamedValue& value : groups.back().values) {
        longest = std::max(longest, count_characters(shortened(value.name, kMaxName)));
    }
    const double left = std::max(76.0, 16.0 + static_cast<double>(longest) * 12.0 * 0.58);
    const double height = kRow * static_cast<double>(order.size()) + 12;
    SvgWriter svg(560, 36 + height + 52, title);
    const Box box{left, 32, 540, 32 + height};
    const PlotFrame frame(svg, box, {axis_label(plot), range}, {"", {0, 1}, 0, false});
    for (std::size_t row = 0; row < order.size(); ++row) {
        const double y = box.top + 6 + kRow * (static_cast<double>(row) + 0.5);
        const std::string& name = groups.back().values[order[row]].name;
        svg.line({box.left, y}, {box.right, y}, "grid");
        svg.text({box.left - 8, y + 4}, shortened(name, kMaxName), {"tick", Anchor::kEnd, 0});
        for (std::size_t g = 0; g < groups.size(); ++g) {
            const NamedValue& value = groups[g].values[order[row]];
            if (std::isfinite(value.value)) {
                svg.circle({frame.x()(value.value), y}, 5, kDots[g], describe(groups[g].name, value));
            }
        }
    }
    draw_legend(svg, {box.left, 14}, legend_of(groups));
    return svg.finish();
}

std::string draw_strip(const CorrelationsPlot& plot, const Range& range, const std::string& title) {
    const std::vector<ValueGroup>& groups = plot.groups;
    SvgWriter svg(1140, 330, title);
    const Box box{68, 36, 1120, 276};
    double longest = 1;
    for (const ValueGroup& group : groups) {
        longest = std::max(longest, static_cast<double>(group.values.size()));
    }
    const PlotFrame frame(svg, box,
                          {detail::concatenate("rank of the ", plot.what, " in its split"), {0.0, longest + 1}, 1.0},
                          {axis_label(plot), range});
    for (std::size_t g = 0; g < groups.size(); ++g) {
        const auto values = sorted(groups[g]);
        for (std::size_t i = 0; i < values.size(); ++i) {
            svg.circle(frame.at(static_cast<double>(i + 1), values[i].value), 2.6, kDots[g],
                       describe(groups[g].name, values[i]));
        }
    }
    draw_legend(svg, {box.left, 14}, legend_of(groups));
    return svg.finish();
}

}  // namespace

Figure correlations_figure(const CorrelationsPlot& plot) {
    const std::vector<ValueGroup>& groups = plot.groups;
    FLAGEN_CHECK(!groups.empty() && groups.size() <= kDots.size(), "a strip has one to four groups");
    Figure figure;
    figure.title = detail::concatenate("r of each ", plot.what, " over ", plot.over, ": median ");
    Range range = Range::empty();
    for (const ValueGroup& group : groups) {
        FLAGEN_CHECK_EQ(group.values.size(), groups.front().values.size(), "groups of a strip differ");
        const auto values = sorted(group);
        figure.title += &group == &groups.front() ? "" : ", ";
        if (values.empty()) {
            figure.title += detail::concatenate("undefined in ", group.name);
            figure.caption += detail::concatenate(group.name, ": r is undefined for every ", plot.what, ". ");
            continue;
        }
        range.include(values.front().value);
        range.include(values.back().value);
        figure.title += detail::concatenate(fixed(median_of_sorted(values), 3), " in ", group.name);
        figure.caption +=
            detail::concatenate(group.name, ": best ", values.front().name, " (", fixed(values.front().value, 3),
                                "), worst ", values.back().name, " (", fixed(values.back().value, 3), "). ");
        if (values.size() < group.values.size()) {
            figure.caption += detail::concatenate(group.values.size() - values.size(), " undefined and not drawn. ");
        }
    }
    if (range.low > range.high) {
        return figure;
    }
    range = padded(range, 0.06);
    figure.wide = groups.back().values.size() > kMaxRows;
    figure.svg = figure.wide ? draw_strip(plot, range, figure.title) : draw_rows(plot, range, figure.title);
    return figure;
}

}  // namespace flagen::apps::report
