#include "flagen/genomics/bed_reader.h"

#include <cmath>
#include <string_view>

#include "text_line_reader.h"

namespace flagen::genomics {

namespace {

/// Says whether `line` is `word`, alone or before a blank.
[[nodiscard]] bool begins_with_word(std::string_view line, std::string_view word) {
    return line.starts_with(word) && (line.size() == word.size() || line[word.size()] == ' ');
}

[[nodiscard]] bool is_skipped(std::string_view line) {
    return line.starts_with('#') || line.find_first_not_of(" \t") == std::string_view::npos ||
           begins_with_word(line, "track") || begins_with_word(line, "browser");
}

}  // namespace

class BedReader::Impl {
  public:
    explicit Impl(const std::string& path) : lines_(path) {}

    bool next(BedRecord& record) {
        std::string_view line;
        while (lines_.next(line)) {
            if (!is_skipped(line)) {
                read_row(line, record);
                return true;
            }
        }
        return false;
    }

  private:
    void read_row(std::string_view line, BedRecord& record) {
        split_fields(line, '\t', columns_);
        if (columns_.size() < 3) {
            lines_.fail("BED row has ", columns_.size(),
                        " tab-separated columns, at least 3 are needed",
                        line.find(' ') == std::string_view::npos
                            ? ": "
                            : "; columns are separated by tabs, not blanks: ",
                        quoted(line));
        }
        if (num_columns_ == 0) {
            num_columns_ = columns_.size();
        } else if (columns_.size() != num_columns_) {
            lines_.fail("BED row has ", columns_.size(), " columns, the first row had ",
                        num_columns_, ": ", quoted(line));
        }
        record.line_number = lines_.line_number();
        if (columns_[0].empty() || columns_[0].find(' ') != std::string_view::npos) {
            lines_.fail("contig name is empty or holds a blank: ", quoted(columns_[0]));
        }
        record.interval.contig = columns_[0];
        record.interval.start_bp = position(1, "start");
        record.interval.end_bp = position(2, "end");
        if (record.interval.end_bp < record.interval.start_bp) {
            lines_.fail("end lies before start: ", record.interval.start_bp, "..",
                        record.interval.end_bp);
        }
        if (record.interval.end_bp == record.interval.start_bp) {
            lines_.fail("interval is empty, start equals end: ", record.interval.start_bp);
        }
        record.name = column(3);
        record.score = score();
        record.strand = strand();
    }

    [[nodiscard]] std::string_view column(std::size_t index) const {
        return index < columns_.size() ? columns_[index] : std::string_view{};
    }

    [[nodiscard]] std::int64_t position(std::size_t index, const char* name) const {
        const std::string_view text = columns_[index];
        std::int64_t value = 0;
        if (!parse_position(text, value)) {
            lines_.fail(name, text.starts_with('-') ? " is negative: " : " is not a whole number: ",
                        quoted(text));
        }
        return value;
    }

    [[nodiscard]] std::optional<double> score() const {
        if (columns_.size() < 5 || columns_[4] == ".") {
            return std::nullopt;
        }
        double value = 0.0;
        if (!parse_number(columns_[4], value) || !std::isfinite(value)) {
            lines_.fail("score is not a number: ", quoted(columns_[4]));
        }
        return value;
    }

    [[nodiscard]] Strand strand() const {
        if (columns_.size() < 6 || columns_[5] == ".") {
            return Strand::kUnknown;
        }
        if (columns_[5] != "+" && columns_[5] != "-") {
            lines_.fail("strand is not one of + - .: ", quoted(columns_[5]));
        }
        return columns_[5] == "+" ? Strand::kForward : Strand::kReverse;
    }

    TextLineReader lines_;
    std::vector<std::string_view> columns_;
    std::size_t num_columns_ = 0;
};

BedReader::BedReader(const std::string& path) : impl_(std::make_unique<Impl>(path)) {}
BedReader::~BedReader() = default;
BedReader::BedReader(BedReader&&) noexcept = default;
BedReader& BedReader::operator=(BedReader&&) noexcept = default;

bool BedReader::next(BedRecord& record) { return impl_->next(record); }

std::vector<BedRecord> read_bed(const std::string& path) {
    std::vector<BedRecord> records;
    BedReader reader(path);
    for (BedRecord record; reader.next(record);) {
        records.push_back(record);
    }
    FLAGEN_USER_CHECK(UserFault::kInputFile, !records.empty(),
                      "BED file holds no interval: ", path);
    return records;
}

}  // namespace flagen::genomics
