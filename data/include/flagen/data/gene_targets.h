#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/gene_spans.h"
#include "flagen/json_object.h"

namespace flagen::data {

/// Where the measurements of genes come from, and how they are read.
struct GeneTargetsConfig {
    std::string matrix;      ///< Expression table, genes x samples (CSV or TSV, optionally gzip).
    std::string annotation;  ///< GTF or GFF3.
    std::vector<std::string> features;  ///< Row types whose rows of one id make a gene's span.
    std::string gene_id;                ///< Attribute that holds the matrix's ids.
    /// Row types that make `pieces`, for example CDS, so that a model can read codons in frame;
    /// empty means the rows of `features`. Ids come from `coding_gene_id`, or `gene_id` if that is
    /// empty.
    std::vector<std::string> coding_features;
    std::string coding_gene_id;
    std::string value = "raw";        ///< What the numbers are: log2_tpm, log2p1, counts or raw.
    std::string transform = "none";   ///< One of TargetTransform::names().
    double max_missing_genes = 0.05;  ///< Largest share of matrix ids that may be dropped.

    /// Reads and checks `matrix`, `annotation`, `feature`, `gene_id`, `coding_feature`,
    /// `coding_gene_id`, `value`, `transform` and `max_missing_genes`; faults go to json's
    /// problems. A second logarithm (value log2_tpm or log2p1 with a log2p1 transform) is one. The
    /// caller reads its own keys and calls finish().
    [[nodiscard]] static GeneTargetsConfig from_json(JsonObject& json);
};

/// A matrix id that became no target.
struct DroppedGene {
    std::string id;
    std::string reason;
};

/// Measured genes with their place in the genome; G genes in matrix order, S samples.
struct GeneTargets {
    /// [G] `pieces` are the coding rows if they were asked for (empty for a gene without one), else
    /// the rows of the span. Contigs are named as in the genome.
    std::vector<genomics::GeneSpan> spans;
    std::vector<std::string> samples;  ///< [S]
    at::Tensor values;                 ///< [G, S] fp32 as measured; NaN = missing.
    std::vector<DroppedGene> dropped;  ///< Matrix ids without annotation or without a strand.
    std::string value;                 ///< GeneTargetsConfig::value, for records.

    [[nodiscard]] std::int64_t num_genes() const { return static_cast<std::int64_t>(spans.size()); }
    [[nodiscard]] std::int64_t num_samples() const {
        return static_cast<std::int64_t>(samples.size());
    }
};

/// Joins the matrix with the annotation.
///
/// @throws UserError (kInputFile) if more than max_missing_genes of the ids are dropped (names the
///         first ones), if a gene's contig is neither in the genome nor in `aliases` (names the
///         likely one), if a gene is off its contig, if its coding rows lie on another contig or
///         strand or outside of its span, and as ExpressionTable and load_gene_spans() do.
[[nodiscard]] GeneTargets load_gene_targets(const GeneTargetsConfig& config,
                                            const genomics::ContigTable& contigs,
                                            const genomics::ContigAliases& aliases = {});

/// The list of dropped ids as a table for `genes_dropped.tsv`: a header, then id and reason.
[[nodiscard]] std::string dropped_genes_tsv(const std::vector<DroppedGene>& dropped);

}  // namespace flagen::data
