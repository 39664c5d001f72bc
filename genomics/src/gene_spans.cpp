#include "flagen/genomics/gene_spans.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>

#include "flagen/error.h"
#include "flagen/genomics/annotation_reader.h"

namespace flagen::genomics {

namespace {

constexpr std::size_t kMaxNamesListed = 40;

/// Joins names for a message: "a, b, c", cut when there are very many.
template <typename Names>
[[nodiscard]] std::string listed(const Names& names) {
    std::string text;
    std::size_t num_listed = 0;
    for (const std::string& name : names) {
        if (num_listed == kMaxNamesListed) {
            return text + ", ...";
        }
        text += (num_listed == 0 ? "" : ", ") + name;
        ++num_listed;
    }
    return text;
}

/// Collects rows into spans.
class SpanCollector {
  public:
    explicit SpanCollector(const std::string& path) : path_(path) {}

    void add(const AnnotationRecord& record, std::string_view id) {
        const auto [found, is_new] = rows_.emplace(std::string(id), spans_.size());
        if (is_new) {
            spans_.push_back({found->first, record.contig, 0, 0, record.strand, {}});
            first_lines_.push_back(record.line_number);
        }
        GeneSpan& span = spans_[found->second];
        if (span.contig != record.contig) {
            fail("contigs", span.contig, record.contig, record, found->second);
        }
        if (span.strand != record.strand) {
            fail("strands", std::string{strand_symbol(span.strand)},
                 std::string{strand_symbol(record.strand)}, record, found->second);
        }
        span.pieces.push_back({record.start_bp, record.end_bp});
    }

    [[nodiscard]] std::vector<GeneSpan> take() {
        for (GeneSpan& span : spans_) {
            span.pieces = united(std::move(span.pieces));
            span.start_bp = span.pieces.front().start_bp;
            span.end_bp = span.pieces.back().end_bp;
        }
        return std::move(spans_);
    }

  private:
    [[noreturn]] void fail(const char* what, const std::string& first, const std::string& second,
                           const AnnotationRecord& record, std::size_t span) const {
        throw_user_error(UserFault::kInputFile, "rows of one gene lie on different ", what, ": ",
                         spans_[span].id, " on ", first, " and ", second, " (", path_, ":",
                         first_lines_[span], " and ", path_, ":", record.line_number,
                         "); choose an attribute that tells them apart");
    }

    const std::string& path_;
    std::vector<GeneSpan> spans_;
    std::vector<std::int64_t> first_lines_;
    std::unordered_map<std::string, std::size_t> rows_;
};

/// Features and attribute to read, with the GTF default put in once the format is known.
struct Choice {
    std::vector<std::string> features;
    std::string id_attribute;

    [[nodiscard]] bool complete() const { return !features.empty() && !id_attribute.empty(); }

    void complete_for(AnnotationFormat format, const std::string& path) {
        const bool is_gtf = format != AnnotationFormat::kGff3;
        FLAGEN_USER_CHECK(UserFault::kConfig, is_gtf || complete(),
                          "GFF3 annotation needs the feature and the gene id attribute to be "
                          "named: ",
                          path, "; for example feature \"gene\" and attribute \"locus_tag\"");
        if (features.empty()) {
            features = {"exon"};
        }
        if (id_attribute.empty()) {
            id_attribute = "gene_id";
        }
    }

    [[nodiscard]] bool holds(const std::string& type) const {
        return std::find(features.begin(), features.end(), type) != features.end();
    }

    [[nodiscard]] std::string quoted_features() const {
        std::string text;
        for (const std::string& feature : features) {
            text += (text.empty() ? "\"" : ", \"") + feature + "\"";
        }
        return text;
    }
};

}  // namespace

std::vector<GeneSpan> load_gene_spans(const std::string& path,
                                      const std::vector<std::string>& features,
                                      const std::string& id_attribute, GeneSpanCounts* counts) {
    Choice choice{features, id_attribute};
    SpanCollector collector(path);
    GeneSpanCounts seen;
    std::set<std::string> types;
    std::set<std::string> attributes;
    AnnotationReader reader(path);
    for (AnnotationRecord record; reader.next(record);) {
        if (!choice.complete()) {
            choice.complete_for(reader.format(), path);
        }
        types.insert(record.type);
        if (!choice.holds(record.type)) {
            continue;
        }
        bool has_id = false;
        for (const AnnotationAttribute& entry : record.attributes) {
            if (entry.key == choice.id_attribute && !entry.value.empty()) {
                collector.add(record, entry.value);
                has_id = true;
            }
        }
        ++(has_id ? seen.num_rows : seen.num_rows_without_id);
        if (seen.num_rows == 0) {
            for (const AnnotationAttribute& entry : record.attributes) {
                attributes.insert(entry.key);
            }
        }
    }
    FLAGEN_USER_CHECK(UserFault::kInputFile, !types.empty(),
                      "annotation holds no feature row: ", path);
    FLAGEN_USER_CHECK(UserFault::kConfig, seen.num_rows + seen.num_rows_without_id > 0,
                      "no row of ", path, " is of type ", choice.quoted_features(),
                      "; seen: ", listed(types));
    FLAGEN_USER_CHECK(UserFault::kConfig, seen.num_rows > 0, "no ", choice.quoted_features(),
                      " row of ", path, " has attribute \"", choice.id_attribute,
                      "\"; seen: ", attributes.empty() ? "none" : listed(attributes));
    if (counts != nullptr) {
        *counts = seen;
    }
    return collector.take();
}

}  // namespace flagen::genomics
