#include "apps/report/html_page.h"

#include <algorithm>
#include <utility>

#include "apps/report/markup.h"
#include "apps/report/page_style.h"

namespace flagen::apps::report {

HtmlPage::HtmlPage(std::string_view title, std::string_view subtitle) {
    out_ =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n";
    element("title", "", title);
    out_ += "<style>";
    out_ += kPageStyle;
    out_ += "</style>\n</head>\n<body>\n<main>\n<header>\n";
    element("h1", "", title);
    element("p", "subtitle", subtitle);
    out_ += "</header>\n";
}

void HtmlPage::element(std::string_view name, std::string_view css, std::string_view text) {
    out_ += '<';
    out_ += name;
    if (!css.empty()) {
        out_ += " class=\"" + escape(css) + "\"";
    }
    out_ += ">" + escape(text) + "</";
    out_ += name;
    out_ += ">\n";
}

void HtmlPage::section(std::string_view heading) {
    out_ += in_section_ ? "</section>\n<section>\n" : "<section>\n";
    in_section_ = true;
    element("h2", "", heading);
}

void HtmlPage::paragraph(std::string_view text) { element("p", "", text); }

void HtmlPage::note(std::string_view text) { element("p", "note", text); }

void HtmlPage::tiles(const std::vector<Tile>& tiles) {
    out_ += "<div class=\"tiles\">\n";
    for (const Tile& tile : tiles) {
        out_ += "<div class=\"tile\">";
        element("span", "number", tile.number);
        element("span", "name", tile.name);
        element("span", "detail", tile.note);
        out_ += "</div>\n";
    }
    out_ += "</div>\n";
}

void HtmlPage::facts(const std::vector<Fact>& facts) {
    out_ += "<dl>\n";
    for (const auto& [name, value] : facts) {
        element("dt", "", name);
        element("dd", "", value);
    }
    out_ += "</dl>\n";
}

void HtmlPage::table(const Table& table) {
    out_ += "<div class=\"scroll\"><table>\n";
    if (!table.caption.empty()) {
        element("caption", "", table.caption);
    }
    const auto css = [&table](std::size_t column) { return column < table.num_label_columns ? "word" : "figure"; };
    out_ += "<thead><tr>\n";
    for (std::size_t column = 0; column < table.columns.size(); ++column) {
        element("th", css(column), table.columns[column]);
    }
    out_ += "</tr></thead>\n<tbody>\n";
    for (std::size_t row = 0; row < table.rows.size(); ++row) {
        const bool ruled = std::find(table.rules.begin(), table.rules.end(), row) != table.rules.end();
        out_ += ruled ? "<tr class=\"rule\">\n" : "<tr>\n";
        for (std::size_t column = 0; column < table.rows[row].size(); ++column) {
            const Table::Cell& cell = table.rows[row][column];
            element("td", std::string(css(column)).append(cell.strong ? " strong" : ""), cell.text);
        }
        out_ += "</tr>\n";
    }
    out_ += "</tbody></table></div>\n";
}

void HtmlPage::figures(const std::vector<Figure>& figures) {
    out_ += "<div class=\"figures\">\n";
    for (const Figure& figure : figures) {
        out_ += figure.wide ? "<figure class=\"wide\">\n" : "<figure>\n";
        element("h3", "", figure.title);
        out_ += figure.svg;
        if (!figure.caption.empty()) {
            element("figcaption", "", figure.caption);
        }
        out_ += "</figure>\n";
    }
    out_ += "</div>\n";
}

void HtmlPage::collapsed(std::string_view summary, std::string_view preformatted) {
    out_ += "<details>\n";
    element("summary", "", summary);
    element("pre", "", preformatted);
    out_ += "</details>\n";
}

std::string HtmlPage::finish(std::string_view footer) {
    if (in_section_) {
        out_ += "</section>\n";
    }
    element("footer", "", footer);
    return std::move(out_) + "</main>\n</body>\n</html>\n";
}

}  // namespace flagen::apps::report
