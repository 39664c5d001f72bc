#include "flagen/genomics/annotation_reader.h"

#include <algorithm>

#include "text_line_reader.h"

namespace flagen::genomics {

namespace {

constexpr std::size_t kNumColumns = 9;

[[nodiscard]] int hex_digit(char letter) {
    if (letter >= '0' && letter <= '9') {
        return letter - '0';
    }
    const char lower = static_cast<char>(letter | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

[[nodiscard]] std::string percent_decoded(std::string_view text) {
    std::string decoded;
    decoded.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size()) {
            const int high = hex_digit(text[i + 1]);
            const int low = hex_digit(text[i + 2]);
            if (high >= 0 && low >= 0) {
                decoded += static_cast<char>(high * 16 + low);
                i += 2;
                continue;
            }
        }
        decoded += text[i];
    }
    return decoded;
}

[[nodiscard]] std::string_view trimmed(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(' ');
    if (begin == std::string_view::npos) {
        return {};
    }
    return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

/// Tells the formats apart by column 9: GFF3 has '=' before the first blank or quote.
[[nodiscard]] AnnotationFormat format_of_attributes(std::string_view column) {
    const std::string_view text = trimmed(column);
    const std::size_t mark = text.find_first_of("= \";");
    if (mark == std::string_view::npos || text[mark] == ';') {
        return AnnotationFormat::kUnknown;
    }
    return text[mark] == '=' ? AnnotationFormat::kGff3 : AnnotationFormat::kGtf;
}

}  // namespace

std::optional<std::string_view> AnnotationRecord::attribute(std::string_view key) const {
    for (const AnnotationAttribute& entry : attributes) {
        if (entry.key == key) {
            return entry.value;
        }
    }
    return std::nullopt;
}

std::vector<std::string_view> AnnotationRecord::attribute_values(std::string_view key) const {
    std::vector<std::string_view> values;
    for (const AnnotationAttribute& entry : attributes) {
        if (entry.key == key) {
            values.emplace_back(entry.value);
        }
    }
    return values;
}

class AnnotationReader::Impl {
  public:
    explicit Impl(const std::string& path) : lines_(path) {}

    bool next(AnnotationRecord& record) {
        std::string_view line;
        while (!at_fasta_ && lines_.next(line)) {
            if (line.starts_with("##")) {
                read_directive(line);
            } else if (line.starts_with('>')) {
                at_fasta_ = true;
            } else if (!line.starts_with('#') && !trimmed(line).empty()) {
                read_row(line, record);
                return true;
            }
        }
        return false;
    }

    [[nodiscard]] AnnotationFormat format() const { return format_; }
    [[nodiscard]] const std::string& path() const { return lines_.path(); }

  private:
    void read_directive(std::string_view line) {
        constexpr std::string_view kVersion = "##gff-version";
        if (trimmed(line) == "##FASTA") {
            at_fasta_ = true;
        } else if (line.starts_with(kVersion)) {
            const std::string_view version = trimmed(line.substr(kVersion.size()));
            if (version == "3" || version.starts_with("3.")) {
                format_ = AnnotationFormat::kGff3;
            } else if (version == "2" || version.starts_with("2.")) {
                format_ = AnnotationFormat::kGtf;
            } else {
                lines_.fail("unknown GFF version: ", quoted(version));
            }
        }
    }

    void read_row(std::string_view line, AnnotationRecord& record) {
        split_fields(line, '\t', columns_);
        if (columns_.size() != kNumColumns) {
            lines_.fail("annotation row has ", columns_.size(),
                        " tab-separated columns, not 9: ", quoted(line));
        }
        for (std::size_t column = 0; column < kNumColumns - 1; ++column) {
            if (columns_[column].empty()) {
                lines_.fail("column ", column + 1, " is empty; a missing value is \".\"");
            }
        }
        if (format_ == AnnotationFormat::kUnknown) {
            format_ = format_of_attributes(columns_[8]);
        }
        record.line_number = lines_.line_number();
        record.contig = text_of(columns_[0]);
        record.source = text_of(columns_[1]);
        record.type = text_of(columns_[2]);
        read_coordinates(record);
        double score = 0.0;
        if (columns_[5] != "." && !parse_number(columns_[5], score)) {
            lines_.fail("score is not a number: ", quoted(columns_[5]));
        }
        record.strand = read_strand();
        record.phase = read_phase();
        record.attributes.clear();
        if (columns_[8] == "." || trimmed(columns_[8]).empty()) {
            return;
        }
        if (format_ == AnnotationFormat::kGff3) {
            read_gff3_attributes(record);
        } else {
            read_gtf_attributes(record);
        }
    }

    void read_coordinates(AnnotationRecord& record) const {
        std::int64_t start = 0;
        if (!parse_position(columns_[3], start)) {
            lines_.fail("start is not a whole number: ", quoted(columns_[3]));
        }
        if (start == 0) {
            lines_.fail("start is 0; annotation coordinates count from 1");
        }
        if (!parse_position(columns_[4], record.end_bp)) {
            lines_.fail("end is not a whole number: ", quoted(columns_[4]));
        }
        if (record.end_bp < start) {
            lines_.fail("end lies before start: ", start, "..", record.end_bp);
        }
        record.start_bp = start - 1;
    }

    [[nodiscard]] Strand read_strand() const {
        if (columns_[6] == "+") {
            return Strand::kForward;
        }
        if (columns_[6] == "-") {
            return Strand::kReverse;
        }
        if (columns_[6] != "." && columns_[6] != "?") {
            lines_.fail("strand is not one of + - . ?: ", quoted(columns_[6]));
        }
        return Strand::kUnknown;
    }

    [[nodiscard]] int read_phase() const {
        const std::string_view phase = columns_[7];
        if (phase == ".") {
            return AnnotationRecord::kNoPhase;
        }
        if (phase != "0" && phase != "1" && phase != "2") {
            lines_.fail("phase is not one of 0 1 2 .: ", quoted(phase));
        }
        return phase[0] - '0';
    }

    [[nodiscard]] std::string text_of(std::string_view field) const {
        return format_ == AnnotationFormat::kGff3 ? percent_decoded(field) : std::string(field);
    }

    void read_gff3_attributes(AnnotationRecord& record) {
        split_fields(columns_[8], ';', parts_);
        for (const std::string_view part : parts_) {
            const std::string_view entry = trimmed(part);
            if (entry.empty()) {
                continue;
            }
            const std::size_t equals = entry.find('=');
            if (equals == std::string_view::npos || equals == 0) {
                lines_.fail("GFF3 attribute is not of the form key=value: ", quoted(entry));
            }
            const std::string key = percent_decoded(entry.substr(0, equals));
            const std::string_view value = entry.substr(equals + 1);
            if (key == "ID" || key == "Name" || key == "Target") {
                record.attributes.push_back({key, percent_decoded(value)});
                continue;
            }
            split_fields(value, ',', values_);
            for (const std::string_view single : values_) {
                record.attributes.push_back({key, percent_decoded(single)});
            }
        }
    }

    void read_gtf_attributes(AnnotationRecord& record) const {
        std::string_view rest = columns_[8];
        while (true) {
            const std::size_t begin = rest.find_first_not_of(" ;");
            if (begin == std::string_view::npos || rest[begin] == '#') {
                return;  // A '#' here starts a comment, which GTF 2.2 allows.
            }
            rest.remove_prefix(begin);
            const std::size_t key_end = rest.find_first_of(" ;\"=");
            if (key_end == std::string_view::npos || rest[key_end] != ' ') {
                lines_.fail("GTF attribute is not of the form key \"value\": ", quoted(rest));
            }
            const std::string key(rest.substr(0, key_end));
            rest = rest.substr(key_end);
            rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
            record.attributes.push_back({key, std::string(take_gtf_value(key, rest))});
        }
    }

    /// Takes a quoted or bare value from the front of `rest`.
    std::string_view take_gtf_value(const std::string& key, std::string_view& rest) const {
        std::string_view value;
        if (rest.starts_with('"')) {
            const std::size_t close = rest.find('"', 1);
            if (close == std::string_view::npos) {
                lines_.fail("quote is not closed in attribute ", key, ": ", quoted(rest));
            }
            value = rest.substr(1, close - 1);
            rest.remove_prefix(close + 1);
        } else {
            const std::size_t end = std::min(rest.find_first_of(" ;"), rest.size());
            value = rest.substr(0, end);
            rest.remove_prefix(end);
            if (value.empty()) {
                lines_.fail("attribute has no value: ", key);
            }
        }
        if (!rest.empty() && rest.find_first_not_of(' ') != std::string_view::npos &&
            rest[rest.find_first_not_of(' ')] != ';') {
            lines_.fail("text after the value of attribute ", key, ": ", quoted(trimmed(rest)));
        }
        return value;
    }

    TextLineReader lines_;
    AnnotationFormat format_ = AnnotationFormat::kUnknown;
    bool at_fasta_ = false;
    std::vector<std::string_view> columns_;
    std::vector<std::string_view> parts_;
    std::vector<std::string_view> values_;
};

AnnotationReader::AnnotationReader(const std::string& path) : impl_(std::make_unique<Impl>(path)) {}
AnnotationReader::~AnnotationReader() = default;
AnnotationReader::AnnotationReader(AnnotationReader&&) noexcept = default;
AnnotationReader& AnnotationReader::operator=(AnnotationReader&&) noexcept = default;

bool AnnotationReader::next(AnnotationRecord& record) { return impl_->next(record); }
AnnotationFormat AnnotationReader::format() const { return impl_->format(); }
const std::string& AnnotationReader::path() const { return impl_->path(); }

}  // namespace flagen::genomics
