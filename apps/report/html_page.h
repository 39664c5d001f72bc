#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flagen::apps::report {

/// A drawing with the words around it. Texts are plain; the page escapes them.
struct Figure {
    std::string title;    ///< What is seen, as a sentence or nearly one.
    std::string caption;  ///< How to read it; may be empty.
    std::string svg;      ///< Of SvgWriter; empty: the title says why there is nothing to draw.
    bool wide = false;    ///< Takes the whole width of the page.
};

/// A table of plain texts. The first `num_label_columns` columns are words, set to the left; the others are
/// numbers, set to the right.
struct Table {
    struct Cell {
        std::string text;
        bool strong = false;
    };
    std::string caption;
    std::vector<std::string> columns;
    std::vector<std::vector<Cell>> rows;
    std::size_t num_label_columns = 1;
    std::vector<std::size_t> rules;  ///< Rows with a line above them.
};

/// One large number of the headline.
struct Tile {
    std::string number;
    std::string name;
    std::string note;
};

/// Name and value of one fact.
using Fact = std::pair<std::string, std::string>;

/// Builds one self-contained HTML page: style sheet and drawings inline, no script, nothing from the network (its
/// content security policy forbids both). Follows the reader's colour scheme; prints in the light one.
///
/// Every text given to it is plain text and is escaped here; drawings come from SvgWriter, which does the same.
class HtmlPage {
  public:
    HtmlPage(std::string_view title, std::string_view subtitle);

    void section(std::string_view heading);
    void paragraph(std::string_view text);
    /// Says what is missing and why, set apart from ordinary text.
    void note(std::string_view text);
    void tiles(const std::vector<Tile>& tiles);
    void facts(const std::vector<Fact>& facts);
    void table(const Table& table);
    /// Figures side by side where there is room.
    void figures(const std::vector<Figure>& figures);
    /// Text as it is, behind a line to open it.
    void collapsed(std::string_view summary, std::string_view preformatted);

    /// The whole page. Once only.
    [[nodiscard]] std::string finish(std::string_view footer);

  private:
    void element(std::string_view name, std::string_view css, std::string_view text);

    std::string out_;
    bool in_section_ = false;
};

}  // namespace flagen::apps::report
