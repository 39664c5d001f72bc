#include "apps/report/svg_writer.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "apps/report/markup.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

// "12.5", "3": two decimals are finer than a pixel; independent of any locale.
std::string coordinate(double value) {
    FLAGEN_CHECK(std::isfinite(value), "a drawing's coordinate is not finite");
    std::array<char, 64> digits{};
    const double rounded = std::round(value * 100.0) / 100.0 + 0.0;  // + 0.0 makes -0 a 0
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), rounded).ptr;
    return {digits.data(), end};
}

const char* anchor_name(Anchor anchor) {
    switch (anchor) {
        case Anchor::kStart: return "start";
        case Anchor::kMiddle: return "middle";
        case Anchor::kEnd: return "end";
    }
    return "start";
}

}  // namespace

double text_width(std::string_view text, double font_size) {
    return static_cast<double>(count_characters(text)) * font_size * 0.6;
}

SvgWriter::SvgWriter(double width, double height, std::string_view label) : width_(width), height_(height) {
    out_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ";
    out_ += coordinate(width) + " " + coordinate(height) + "\"";
    number("width", width);
    number("height", height);
    out_ += " role=\"img\" aria-label=\"" + escape(label) + "\">\n";
}

void SvgWriter::number(std::string_view attribute, double value) {
    out_ += ' ';
    out_ += attribute;
    out_ += "=\"" + coordinate(value) + "\"";
}

void SvgWriter::points(const std::vector<Point>& points) {
    out_ += " points=\"";
    for (const Point& point : points) {
        out_ += coordinate(point.x) + "," + coordinate(point.y) + " ";
    }
    out_ += '"';
}

void SvgWriter::close(std::string_view element, std::string_view css, std::string_view title) {
    out_ += " class=\"" + escape(css) + "\"";
    if (title.empty()) {
        out_ += "/>\n";
        return;
    }
    out_ += "><title>" + escape(title) + "</title></";
    out_ += element;
    out_ += ">\n";
}

void SvgWriter::line(Point from, Point to, std::string_view css) {
    out_ += "<line";
    number("x1", from.x);
    number("y1", from.y);
    number("x2", to.x);
    number("y2", to.y);
    close("line", css, {});
}

void SvgWriter::rect(Point corner, double width, double height, std::string_view css, std::string_view title) {
    FLAGEN_CHECK(width >= 0 && height >= 0, "a rectangle has a negative size");
    out_ += "<rect";
    number("x", corner.x);
    number("y", corner.y);
    number("width", width);
    number("height", height);
    close("rect", css, title);
}

void SvgWriter::circle(Point centre, double radius, std::string_view css, std::string_view title) {
    out_ += "<circle";
    number("cx", centre.x);
    number("cy", centre.y);
    number("r", radius);
    close("circle", css, title);
}

void SvgWriter::polyline(const std::vector<Point>& points, std::string_view css) {
    out_ += "<polyline";
    this->points(points);
    close("polyline", css, {});
}

void SvgWriter::polygon(const std::vector<Point>& points, std::string_view css, std::string_view title) {
    out_ += "<polygon";
    this->points(points);
    close("polygon", css, title);
}

void SvgWriter::text(Point at, std::string_view content, const TextStyle& style) {
    out_ += "<text";
    number("x", at.x);
    number("y", at.y);
    out_ += " text-anchor=\"";
    out_ += anchor_name(style.anchor);
    out_ += '"';
    if (style.rotate_degrees != 0.0) {
        out_ += " transform=\"rotate(" + coordinate(style.rotate_degrees) + " " + coordinate(at.x) + " " +
                coordinate(at.y) + ")\"";
    }
    out_ += " class=\"" + escape(style.css) + "\">" + escape(content) + "</text>\n";
}

std::string SvgWriter::finish() { return std::move(out_) + "</svg>\n"; }

}  // namespace flagen::apps::report
