#pragma once

#include <limits>
#include <span>
#include <string>
#include <vector>

#include "apps/report/svg_writer.h"

namespace flagen::apps::report {

/// A closed interval of data values; low <= high.
struct Range {
    double low = 0.0;
    double high = 1.0;

    [[nodiscard]] double span() const { return high - low; }
    /// Makes room for `value`; one that is not finite changes nothing.
    void include(double value);
    /// Contains nothing yet; the first include() makes it a point.
    [[nodiscard]] static Range empty();
};

/// `range` with a margin of `fraction` of its span on both sides; a point gets a span, and an empty range
/// becomes [0, 1].
[[nodiscard]] Range padded(const Range& range, double fraction = 0.05);

/// At most `max_count` (>= 2) multiples of 1, 2 or 5 times a power of ten within the range, as many as
/// fit, ascending. Values are the doubles nearest to what a person would write: 0.3, not 0.30000000000000004.
/// `min_step` keeps an axis of whole numbers free of fractions.
[[nodiscard]] std::vector<double> nice_ticks(const Range& range, int max_count, double min_step = 0.0);

/// The ticks as text, all with the decimals that their step needs.
[[nodiscard]] std::vector<std::string> tick_labels(const std::vector<double>& ticks);

/// Power of ten, a multiple of 3, that an axis takes out of its labels; 0 for ordinary numbers.
[[nodiscard]] int axis_exponent(const Range& range);

/// Maps data values to places of a drawing.
class LinearScale {
  public:
    LinearScale(const Range& domain, double pixel_low, double pixel_high)
        : domain_(domain), pixel_low_(pixel_low), pixel_high_(pixel_high) {}

    [[nodiscard]] double operator()(double value) const {
        return pixel_low_ + (value - domain_.low) / domain_.span() * (pixel_high_ - pixel_low_);
    }
    [[nodiscard]] const Range& domain() const { return domain_; }

  private:
    Range domain_;
    double pixel_low_;
    double pixel_high_;
};

/// A rectangle of the drawing, left < right and top < bottom.
struct Box {
    double left = 0.0;
    double top = 0.0;
    double right = 0.0;
    double bottom = 0.0;

    [[nodiscard]] double width() const { return right - left; }
    [[nodiscard]] double height() const { return bottom - top; }
};

/// One axis of a plot. The label ends in the unit, after a comma.
struct AxisSpec {
    std::string label;
    Range range;
    double min_step = 0.0;  ///< 1 for whole numbers.
    bool ticks = true;
};

/// The two axes of a plot: draws grid lines, ticks, tick labels that keep their distance, and axis labels
/// outside of `box`, and maps data into it. Needs 64 units left of the box and 48 below it.
class PlotFrame {
  public:
    PlotFrame(SvgWriter& svg, const Box& box, const AxisSpec& x, const AxisSpec& y);

    [[nodiscard]] Point at(double x, double y) const { return {x_(x), y_(y)}; }
    [[nodiscard]] const LinearScale& x() const { return x_; }
    [[nodiscard]] const LinearScale& y() const { return y_; }
    [[nodiscard]] const Box& box() const { return box_; }

  private:
    Box box_;
    LinearScale x_;
    LinearScale y_;
};

/// One entry of a legend.
struct LegendEntry {
    std::string name;
    std::string css;  ///< Of the swatch.
    bool line = false;
};

/// Draws entries side by side with the first swatch at `at` (its vertical middle), or further left if they would not
/// fit.
void draw_legend(SvgWriter& svg, Point at, const std::vector<LegendEntry>& entries);

}  // namespace flagen::apps::report
