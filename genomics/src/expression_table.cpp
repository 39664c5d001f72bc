#include "flagen/genomics/expression_table.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <utility>

#include "flagen/error.h"
#include "text_line_reader.h"

namespace flagen::genomics {

namespace {

[[nodiscard]] std::string lower_case(std::string_view text) {
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char letter) {
        return static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    });
    return lower;
}

/// Separator that the name or, failing that, the header asks for.
[[nodiscard]] char separator_for(const std::string& path, std::string_view header) {
    std::string_view name = path;
    for (const std::string_view suffix : {".gz", ".bgz"}) {
        if (name.ends_with(suffix)) {
            name.remove_suffix(suffix.size());
            break;
        }
    }
    if (name.ends_with(".csv")) {
        return ',';
    }
    if (name.ends_with(".tsv") || name.ends_with(".tab")) {
        return '\t';
    }
    return header.find('\t') == std::string_view::npos ? ',' : '\t';
}

[[nodiscard]] bool is_missing(std::string_view field) {
    if (field.empty()) {
        return true;
    }
    const std::string lower = field.size() <= 3 ? lower_case(field) : std::string{};
    return lower == "na" || lower == "nan";
}

class TableParser {
  public:
    explicit TableParser(const std::string& path) : lines_(path) {}

    [[nodiscard]] ExpressionTable parse() {
        read_header();
        std::string_view line;
        std::int64_t blank_line = 0;
        while (lines_.next(line)) {
            if (line.empty()) {
                blank_line = blank_line == 0 ? lines_.line_number() : blank_line;
                continue;
            }
            if (blank_line != 0) {
                lines_.fail("blank line between rows of the expression table, line ", blank_line);
            }
            read_row(line);
        }
        FLAGEN_USER_CHECK(UserFault::kInputFile, !gene_ids_.empty(),
                          "expression table holds no gene: ", lines_.path());
        return {std::move(gene_ids_), std::move(samples_), std::move(values_)};
    }

  private:
    void read_header() {
        std::string_view header;
        FLAGEN_USER_CHECK(UserFault::kInputFile, lines_.next(header),
                          "expression table is empty: ", lines_.path());
        separator_ = separator_for(lines_.path(), header);
        split_row(header);
        if (fields_.size() < 2) {
            lines_.fail(
                "expression table needs a header with a gene column and at least one "
                "sample, separated by ",
                separator_ == ',' ? "commas" : "tabs", ": ", quoted(header));
        }
        std::unordered_map<std::string, std::size_t> columns;
        for (std::size_t column = 1; column < fields_.size(); ++column) {
            const std::string& sample = fields_[column];
            if (sample.empty()) {
                lines_.fail("sample name is empty in column ", column + 1);
            }
            const auto [first, is_new] = columns.emplace(sample, column);
            if (!is_new) {
                lines_.fail("sample stands twice in the header: ", quoted(sample), " in columns ",
                            first->second + 1, " and ", column + 1);
            }
            samples_.push_back(sample);
        }
    }

    void read_row(std::string_view line) {
        split_row(line);
        if (fields_.size() != samples_.size() + 1) {
            lines_.fail("row has ", fields_.size(), " columns, the header has ",
                        samples_.size() + 1,
                        fields_.size() == samples_.size() + 2
                            ? "; a header needs a cell above the gene ids: "
                            : ": ",
                        quoted(line));
        }
        if (fields_[0].empty()) {
            lines_.fail("gene id is empty");
        }
        const auto [first, is_new] = id_lines_.emplace(fields_[0], lines_.line_number());
        if (!is_new) {
            lines_.fail("gene stands twice in the expression table: ", quoted(fields_[0]),
                        " in lines ", first->second, " and ", lines_.line_number());
        }
        gene_ids_.push_back(fields_[0]);
        for (std::size_t column = 1; column < fields_.size(); ++column) {
            values_.push_back(parse_value(column));
        }
    }

    [[nodiscard]] float parse_value(std::size_t column) const {
        const std::string& field = fields_[column];
        if (is_missing(field)) {
            return std::numeric_limits<float>::quiet_NaN();
        }
        double value = 0.0;
        const bool parsed = parse_number(field, value);
        if (!parsed || std::isnan(value)) {
            fail_value(column, "value is not a number (NA or an empty field means missing)");
        }
        if (std::isinf(value)) {
            fail_value(column, "value is infinite");
        }
        if (std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())) {
            fail_value(column, "value does not fit single precision");
        }
        return static_cast<float>(value);
    }

    [[noreturn]] void fail_value(std::size_t column, const char* fault) const {
        lines_.fail(fault, ": ", quoted(fields_[column]), " for gene ", quoted(fields_[0]),
                    ", sample ", quoted(samples_[column - 1]), ", column ", column + 1);
    }

    /// Splits a row into fields_, with quotes taken off and outer blanks dropped.
    void split_row(std::string_view line) {
        fields_.clear();
        while (true) {
            const std::size_t begin = std::min(line.find_first_not_of(' '), line.size());
            line.remove_prefix(begin);
            if (line.starts_with('"')) {
                fields_.push_back(take_quoted(line));
            } else {
                const std::string_view field = line.substr(0, line.find(separator_));
                line.remove_prefix(field.size());
                const std::size_t last = field.find_last_not_of(' ');
                fields_.emplace_back(
                    field.substr(0, last == std::string_view::npos ? 0 : last + 1));
            }
            if (line.empty()) {
                return;
            }
            line.remove_prefix(1);
        }
    }

    [[nodiscard]] std::string take_quoted(std::string_view& line) const {
        std::string field;
        std::size_t i = 1;
        while (true) {
            const std::size_t quote = line.find('"', i);
            if (quote == std::string_view::npos) {
                lines_.fail("quoted field is not closed on its line, column ", fields_.size() + 1);
            }
            field += line.substr(i, quote - i);
            i = quote + 1;
            if (i >= line.size() || line[i] != '"') {
                break;
            }
            field += '"';
            ++i;
        }
        line.remove_prefix(i);
        line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
        if (!line.empty() && line.front() != separator_) {
            lines_.fail("text after a closing quote, column ", fields_.size() + 1);
        }
        return field;
    }

    TextLineReader lines_;
    char separator_ = ',';
    std::vector<std::string> fields_;
    std::vector<std::string> gene_ids_;
    std::vector<std::string> samples_;
    std::vector<float> values_;
    std::unordered_map<std::string, std::int64_t> id_lines_;
};

[[nodiscard]] std::unordered_map<std::string, std::size_t> index_of(
    const std::vector<std::string>& names) {
    std::unordered_map<std::string, std::size_t> index;
    for (std::size_t i = 0; i < names.size(); ++i) {
        FLAGEN_CHECK(index.emplace(names[i], i).second, "name stands twice: ", names[i]);
    }
    return index;
}

[[nodiscard]] std::optional<std::size_t> find_in(
    const std::unordered_map<std::string, std::size_t>& index, const std::string& name) {
    const auto found = index.find(name);
    return found == index.end() ? std::nullopt : std::optional<std::size_t>(found->second);
}

}  // namespace

ExpressionTable::ExpressionTable(std::vector<std::string> gene_ids,
                                 std::vector<std::string> samples, std::vector<float> values)
    : gene_ids_(std::move(gene_ids)), samples_(std::move(samples)), values_(std::move(values)) {
    FLAGEN_CHECK_EQ(values_.size(), gene_ids_.size() * samples_.size(),
                    "values of an expression table");
    gene_rows_ = index_of(gene_ids_);
    sample_columns_ = index_of(samples_);
}

ExpressionTable ExpressionTable::load(const std::string& path) { return TableParser(path).parse(); }

std::optional<std::size_t> ExpressionTable::find_gene(const std::string& id) const {
    return find_in(gene_rows_, id);
}

std::optional<std::size_t> ExpressionTable::find_sample(const std::string& name) const {
    return find_in(sample_columns_, name);
}

std::size_t ExpressionTable::num_missing() const {
    return static_cast<std::size_t>(std::count_if(values_.begin(), values_.end(),
                                                  [](float value) { return std::isnan(value); }));
}

}  // namespace flagen::genomics
