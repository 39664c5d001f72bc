#include "flagen/data/gene_targets.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "flagen/data/target_transform.h"
#include "flagen/error.h"
#include "flagen/genomics/expression_table.h"

namespace flagen::data {
namespace {

using genomics::GeneSpan;
using genomics::Range;
using genomics::Strand;

using SpanById = std::unordered_map<std::string, GeneSpan>;

constexpr std::size_t kNamedInMessage = 5;

SpanById spans_by_id(const std::string& path, const std::vector<std::string>& features,
                     const std::string& id_attribute) {
    SpanById result;
    for (GeneSpan& span : genomics::load_gene_spans(path, features, id_attribute)) {
        std::string id = span.id;
        result.emplace(std::move(id), std::move(span));
    }
    return result;
}

/// Names the contig as the genome does and checks that the gene lies on it.
void settle_on_contig(GeneSpan& span, const GeneTargetsConfig& config,
                      const genomics::ContigTable& contigs,
                      const genomics::ContigAliases& aliases) {
    const auto found = aliases.find(contigs, span.contig);
    const genomics::Contig& contig =
        found.has_value() ? contigs.at(*found) : contigs.require(span.contig, config.annotation);
    span.contig = contig.name;
    const bool fits = contig.circular ? span.start_bp < contig.length_bp &&
                                            span.end_bp - span.start_bp <= contig.length_bp
                                      : span.end_bp <= contig.length_bp;
    FLAGEN_USER_CHECK(
        UserFault::kInputFile, fits, "gene lies past the end of its contig: ", span.id, " at ",
        contig.name, ":", span.start_bp + 1, "-", span.end_bp, " of ", contig.length_bp, " bp (",
        config.annotation, "); is the annotation of another assembly, or the contig circular?");
}

void take_coding_pieces(GeneSpan& span, const SpanById& coding, const GeneTargetsConfig& config) {
    span.pieces.clear();
    const auto found = coding.find(span.id);
    if (found == coding.end()) {
        return;
    }
    const GeneSpan& rows = found->second;
    FLAGEN_USER_CHECK(UserFault::kInputFile, rows.strand == span.strand,
                      "coding rows stand on another strand than their gene: ", span.id, " (",
                      config.annotation, ")");
    FLAGEN_USER_CHECK(
        UserFault::kInputFile, rows.start_bp >= span.start_bp && rows.end_bp <= span.end_bp,
        "coding rows reach over their gene: ", span.id, " at ", span.start_bp + 1, "-", span.end_bp,
        ", rows at ", rows.start_bp + 1, "-", rows.end_bp, " (", config.annotation, ")");
    span.pieces = rows.pieces;
}

void check_dropped(const std::vector<DroppedGene>& dropped, std::size_t num_ids,
                   const GeneTargetsConfig& config) {
    const double share = static_cast<double>(dropped.size()) / static_cast<double>(num_ids);
    if (share <= config.max_missing_genes && dropped.size() < num_ids) {
        return;
    }
    std::string some;
    for (std::size_t i = 0; i < std::min(dropped.size(), kNamedInMessage); ++i) {
        some += (i == 0 ? "" : ", ") + dropped[i].id + " (" + dropped[i].reason + ")";
    }
    throw_user_error(UserFault::kInputFile,
                     "too many ids of the expression matrix have no gene: ", dropped.size(), " of ",
                     num_ids, ", at most ", 100.0 * config.max_missing_genes,
                     " % may (max_missing_genes): ", some,
                     dropped.size() > kNamedInMessage ? ", ..." : "", " (", config.matrix, " and ",
                     config.annotation, ")");
}

}  // namespace

GeneTargetsConfig GeneTargetsConfig::from_json(JsonObject& json) {
    GeneTargetsConfig config;
    config.matrix = json.require_string("matrix");
    config.annotation = json.require_string("annotation");
    config.features = json.get_strings("feature", {});
    config.gene_id = json.get_string("gene_id", "");
    config.coding_features = json.get_strings("coding_feature", {});
    config.coding_gene_id = json.get_string("coding_gene_id", "");
    config.value = json.require_choice("value", {"log2_tpm", "log2p1", "counts", "raw"});
    config.transform = json.get_choice("transform", "none", TargetTransform::names());
    config.max_missing_genes =
        json.get_number("max_missing_genes", config.max_missing_genes, 0.0, 1.0);
    if ((config.value == "log2_tpm" || config.value == "log2p1") &&
        config.transform.starts_with("log2p1")) {
        json.add_problem("transform", config.transform + " takes a second logarithm of " +
                                          config.value + "; use " +
                                          (config.transform == "log2p1" ? "none" : "zscore"));
    }
    return config;
}

GeneTargets load_gene_targets(const GeneTargetsConfig& config, const genomics::ContigTable& contigs,
                              const genomics::ContigAliases& aliases) {
    const auto table = genomics::ExpressionTable::load(config.matrix);
    SpanById spans = spans_by_id(config.annotation, config.features, config.gene_id);
    SpanById coding;
    if (!config.coding_features.empty()) {
        coding =
            spans_by_id(config.annotation, config.coding_features,
                        config.coding_gene_id.empty() ? config.gene_id : config.coding_gene_id);
    }

    GeneTargets targets;
    targets.samples = table.samples();
    targets.value = config.value;
    std::vector<std::size_t> kept;
    for (std::size_t row = 0; row < table.num_genes(); ++row) {
        const std::string& id = table.gene_ids()[row];
        const auto found = spans.find(id);
        if (found == spans.end()) {
            targets.dropped.push_back({id, "not in the annotation"});
            continue;
        }
        GeneSpan& span = found->second;
        if (span.strand == Strand::kUnknown) {
            targets.dropped.push_back({id, "no strand in the annotation"});
            continue;
        }
        if (!config.coding_features.empty()) {
            const auto rows = coding.find(id);
            FLAGEN_USER_CHECK(UserFault::kInputFile,
                              rows == coding.end() || rows->second.contig == span.contig,
                              "coding rows stand on another contig than their gene: ", id, " (",
                              config.annotation, ")");
            take_coding_pieces(span, coding, config);
        }
        settle_on_contig(span, config, contigs, aliases);
        targets.spans.push_back(std::move(span));
        kept.push_back(row);
    }
    check_dropped(targets.dropped, table.num_genes(), config);

    targets.values = at::empty({targets.num_genes(), targets.num_samples()}, at::kFloat);
    auto* out = targets.values.mutable_data_ptr<float>();
    const std::size_t width = table.num_samples();
    for (std::size_t i = 0; i < kept.size(); ++i) {
        std::memcpy(out + i * width, table.values().data() + kept[i] * width,
                    width * sizeof(float));
    }
    return targets;
}

std::string dropped_genes_tsv(const std::vector<DroppedGene>& dropped) {
    std::string text = "gene_id\treason\n";
    for (const DroppedGene& gene : dropped) {
        text += gene.id + "\t" + gene.reason + "\n";
    }
    return text;
}

}  // namespace flagen::data
