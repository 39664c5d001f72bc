#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace flagen::apps::report {

/// A place in a drawing: user units, which are CSS pixels at full size; y grows downwards.
struct Point {
    double x = 0.0;
    double y = 0.0;
};

/// Where a text is tied to its point.
enum class Anchor { kStart, kMiddle, kEnd };

/// How a text is set.
struct TextStyle {
    std::string_view css = "tick";
    Anchor anchor = Anchor::kStart;
    double rotate_degrees = 0.0;  ///< About the point; negative turns to the left.
};

/// Builds one inline SVG drawing.
///
/// Colours, strokes and fonts are classes of the page's style sheet (page_style.h), so that a drawing
/// follows the colour scheme and the printer. Everything textual is escaped here. The result is
/// well-formed XML on its own. Coordinates must be finite (@throws Error).
class SvgWriter {
  public:
    /// `label` is what a screen reader says.
    SvgWriter(double width, double height, std::string_view label);

    void line(Point from, Point to, std::string_view css);
    /// `title` is shown when the pointer rests on the shape; an empty one is left out.
    void rect(Point corner, double width, double height, std::string_view css, std::string_view title = {});
    void circle(Point centre, double radius, std::string_view css, std::string_view title = {});
    void polyline(const std::vector<Point>& points, std::string_view css);
    void polygon(const std::vector<Point>& points, std::string_view css, std::string_view title = {});
    void text(Point at, std::string_view content, const TextStyle& style);

    [[nodiscard]] double width() const { return width_; }
    [[nodiscard]] double height() const { return height_; }

    /// The whole drawing. Once only.
    [[nodiscard]] std::string finish();

  private:
    void number(std::string_view attribute, double value);
    void points(const std::vector<Point>& points);
    void close(std::string_view element, std::string_view css, std::string_view title);

    double width_;
    double height_;
    std::string out_;
};

/// Estimated width of a text in the page's sans-serif font.
[[nodiscard]] double text_width(std::string_view text, double font_size = 12.0);

}  // namespace flagen::apps::report
