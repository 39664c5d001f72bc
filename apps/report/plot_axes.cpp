#include "apps/report/plot_axes.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "apps/report/markup.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

constexpr double kTolerance = 1e-9;  // of a step: a tick at the very end of a range is in it
constexpr double kLabelGap = 16.0;   // least space between neighbouring labels of the x axis
constexpr double kRowHeight = 38.0;  // least distance of labels of the y axis

struct Step {
    double mantissa;  // 1, 2 or 5
    int exponent;

    [[nodiscard]] double value() const { return mantissa * std::pow(10.0, exponent); }
    // index * step; dividing by a whole power of ten rounds once only.
    [[nodiscard]] double multiple(double index) const {
        return exponent < 0 ? index * mantissa / std::pow(10.0, -exponent) : index * value();
    }
};

std::string superscript(int number) {
    static constexpr std::array<const char*, 10> kDigits = {"\u2070", "\u00B9", "\u00B2", "\u00B3", "\u2074",
                                                            "\u2075", "\u2076", "\u2077", "\u2078", "\u2079"};
    std::string out = number < 0 ? "\u207B" : "";
    for (const char digit : std::to_string(std::abs(number))) {
        out += kDigits[static_cast<std::size_t>(digit - '0')];
    }
    return out;
}

// Ticks of one axis in the units that its labels are written in.
struct AxisTicks {
    std::vector<double> places;  // data values
    std::vector<std::string> labels;
    int exponent = 0;
};

AxisTicks make_ticks(const AxisSpec& axis, int max_count) {
    AxisTicks ticks;
    ticks.exponent = axis_exponent(axis.range);
    const double unit = std::pow(10.0, ticks.exponent);
    ticks.places = nice_ticks({axis.range.low / unit, axis.range.high / unit}, max_count, axis.min_step / unit);
    ticks.labels = tick_labels(ticks.places);
    for (double& place : ticks.places) {
        place *= unit;
    }
    return ticks;
}

// As many ticks as keep their labels apart.
AxisTicks fitting_x_ticks(const AxisSpec& axis, double width) {
    for (int max_count = 9; max_count > 2; --max_count) {
        AxisTicks ticks = make_ticks(axis, max_count);
        double widest = 0.0;
        for (const std::string& label : ticks.labels) {
            widest = std::max(widest, text_width(label));
        }
        const double spacing =
            ticks.places.size() < 2 ? width : (ticks.places[1] - ticks.places[0]) / axis.range.span() * width;
        if (widest + kLabelGap <= spacing) {
            return ticks;
        }
    }
    return make_ticks(axis, 2);
}

std::string axis_text(const AxisSpec& axis, int exponent) {
    return exponent == 0 ? axis.label
                         : std::string(axis.label).append(" (\u00D710").append(superscript(exponent)).append(")");
}

}  // namespace

Range Range::empty() { return {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}; }

void Range::include(double value) {
    if (std::isfinite(value)) {
        low = std::min(low, value);
        high = std::max(high, value);
    }
}

Range padded(const Range& range, double fraction) {
    if (range.low > range.high) {
        return {0.0, 1.0};
    }
    const double magnitude = std::max(std::fabs(range.low), std::fabs(range.high));
    if (range.span() <= magnitude * 1e-12) {
        const double half = magnitude > 0 ? magnitude * 0.1 : 1.0;
        return {range.low - half, range.high + half};
    }
    return {range.low - fraction * range.span(), range.high + fraction * range.span()};
}

std::vector<double> nice_ticks(const Range& range, int max_count, double min_step) {
    FLAGEN_CHECK(max_count >= 2 && range.span() > 0, "ticks need a range and a place for two");
    FLAGEN_CHECK(std::isfinite(range.span()), "the range of an axis is not finite");
    const int start = static_cast<int>(std::floor(std::log10(range.span() / max_count))) - 1;
    for (int exponent = start;; ++exponent) {
        for (const double mantissa : {1.0, 2.0, 5.0}) {
            const Step step{mantissa, exponent};
            const double first = std::ceil(range.low / step.value() - kTolerance);
            const double last = std::floor(range.high / step.value() + kTolerance);
            if (last - first + 1 > max_count || step.value() < min_step * (1 - kTolerance)) {
                continue;
            }
            std::vector<double> ticks;
            for (double index = first; index <= last; ++index) {
                ticks.push_back(step.multiple(index) + 0.0);  // + 0.0 makes -0 a 0
            }
            return ticks;
        }
    }
}

std::vector<std::string> tick_labels(const std::vector<double>& ticks) {
    int decimals = 0;
    if (ticks.size() >= 2) {
        decimals = std::max(0, -static_cast<int>(std::floor(std::log10(ticks[1] - ticks[0]) + kTolerance)));
    } else if (ticks.size() == 1 && ticks[0] != std::round(ticks[0])) {
        decimals = std::max(0, 2 - static_cast<int>(std::floor(std::log10(std::fabs(ticks[0])))));
    }
    std::vector<std::string> labels;
    labels.reserve(ticks.size());
    for (const double tick : ticks) {
        labels.push_back(decimals == 0 && std::fabs(tick) < 1e15 ? with_commas(std::llround(tick))
                                                                 : fixed(tick, decimals));
    }
    return labels;
}

int axis_exponent(const Range& range) {
    const double largest = std::max(std::fabs(range.low), std::fabs(range.high));
    if (largest == 0.0 || (largest >= 0.02 && largest < 1e6)) {
        return 0;
    }
    return 3 * static_cast<int>(std::floor(std::log10(largest) / 3.0));
}

PlotFrame::PlotFrame(SvgWriter& svg, const Box& box, const AxisSpec& x, const AxisSpec& y)
    : box_(box), x_(x.range, box.left, box.right), y_(y.range, box.bottom, box.top) {
    int x_exponent = 0;
    int y_exponent = 0;
    if (y.ticks) {
        const AxisTicks ticks = make_ticks(y, std::max(2, static_cast<int>(box.height() / kRowHeight)));
        y_exponent = ticks.exponent;
        for (std::size_t i = 0; i < ticks.places.size(); ++i) {
            const double place = y_(ticks.places[i]);
            svg.line({box.left, place}, {box.right, place}, "grid");
            svg.text({box.left - 8, place + 4}, ticks.labels[i], {"tick", Anchor::kEnd, 0});
        }
    }
    if (x.ticks) {
        const AxisTicks ticks = fitting_x_ticks(x, box.width());
        x_exponent = ticks.exponent;
        for (std::size_t i = 0; i < ticks.places.size(); ++i) {
            const double place = x_(ticks.places[i]);
            svg.line({place, box.bottom}, {place, box.bottom + 5}, "axis");
            svg.text({place, box.bottom + 19}, ticks.labels[i], {"tick", Anchor::kMiddle, 0});
        }
    }
    svg.line({box.left, box.bottom}, {box.right, box.bottom}, "axis");
    svg.text({(box.left + box.right) / 2, box.bottom + (x.ticks ? 40 : 24)}, axis_text(x, x_exponent),
             {"label", Anchor::kMiddle, 0});
    svg.text({box.left - 48, (box.top + box.bottom) / 2}, axis_text(y, y_exponent), {"label", Anchor::kMiddle, -90});
}

void draw_legend(SvgWriter& svg, Point at, const std::vector<LegendEntry>& entries) {
    constexpr double kSwatch = 18.0;
    constexpr double kGap = 18.0;
    double width = 0.0;
    for (const LegendEntry& entry : entries) {
        width += kSwatch + 6 + text_width(entry.name) + kGap;
    }
    at.x = std::max(4.0, std::min(at.x, svg.width() - width));
    for (const LegendEntry& entry : entries) {
        if (entry.line) {
            svg.line({at.x, at.y}, {at.x + kSwatch, at.y}, entry.css);
        } else {
            svg.rect({at.x + 3, at.y - 6}, 12, 12, entry.css);
        }
        svg.text({at.x + kSwatch + 6, at.y + 4}, entry.name, {"key", Anchor::kStart, 0});
        at.x += kSwatch + 6 + text_width(entry.name) + kGap;
    }
}

}  // namespace flagen::apps::report
