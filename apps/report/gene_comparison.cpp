#include "apps/report/gene_comparison.h"

#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <span>
#include <unordered_map>

#include "apps/runtime/evaluator.h"
#include "apps/runtime/run_data.h"
#include "flagen/data/prediction_store.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

// Scale names as a person writes them.
std::string unit_of(const std::string& scale) {
    if (scale == "log2_tpm") {
        return "log2 TPM";
    }
    return scale == "raw" ? "as measured" : scale;
}

// Means over the samples in which the gene was measured, on both sides, as ExpressionMetrics takes them.
void set_means(LocusGene& gene, std::span<const float> measured, std::span<const float> predicted) {
    double observed_sum = 0.0;
    double predicted_sum = 0.0;
    std::int64_t count = 0;
    for (std::size_t s = 0; s < measured.size(); ++s) {
        if (!std::isnan(measured[s])) {
            observed_sum += measured[s];
            predicted_sum += predicted[s];
            ++count;
        }
    }
    gene.observed = observed_sum / static_cast<double>(count);  // 0 / 0 is NaN: missing
    gene.predicted = predicted_sum / static_cast<double>(count);
}

}  // namespace

GeneComparison compare_genes(const RunData& data, const EvaluationScale& scale,
                             const data::GenePredictions& predictions) {
    FLAGEN_USER_CHECK(UserFault::kInputFile, predictions.samples == data.targets.samples,
                      "the predictions are of other samples than the expression table has");
    std::unordered_map<std::string, std::size_t> row_of;
    for (std::size_t i = 0; i < data.targets.spans.size(); ++i) {
        row_of.emplace(data.targets.spans[i].id, i);
    }
    const auto num_samples = data.targets.samples.size();
    const auto num_genes = predictions.genes.size();
    const at::Tensor raw = torch::tensor(predictions.values, at::kFloat)
                               .view({static_cast<std::int64_t>(num_genes), static_cast<std::int64_t>(num_samples)});
    const at::Tensor predicted = scale.apply(raw, data.targets.samples).contiguous();
    const at::Tensor measured = scale.apply(data.targets.values, data.targets.samples).contiguous();

    GeneComparison comparison;
    comparison.unit = unit_of(scale.name);
    comparison.samples = predictions.samples;
    std::vector<models::ExpressionMetrics> metrics;
    for (const char* name : {"valid", "test"}) {
        comparison.splits.push_back({name, {}, {}});
        metrics.emplace_back(static_cast<std::int64_t>(num_samples));
    }
    for (std::size_t g = 0; g < num_genes; ++g) {
        const data::PredictedGene& gene = predictions.genes[g];
        const auto row = row_of.find(gene.id);
        FLAGEN_USER_CHECK(UserFault::kInputFile, row != row_of.end(),
                          "the predictions hold a gene that the expression table lacks: ", gene.id);
        const std::span m_row(measured.const_data_ptr<float>() + row->second * num_samples, num_samples);
        const std::span p_row(predicted.const_data_ptr<float>() + g * num_samples, num_samples);
        const bool held_out = gene.split == "valid" || gene.split == "test";
        ComparedGene compared;
        compared.place = {gene.id, gene.strand, gene.start_bp, gene.end_bp, held_out, 0, 0};
        compared.contig = gene.contig;
        compared.split = gene.split;
        set_means(compared.place, m_row, p_row);
        comparison.genes.push_back(compared);
        if (p_row.empty() || std::isnan(p_row[0])) {
            ++comparison.num_without_prediction;
            continue;
        }
        for (std::size_t i = 0; i < metrics.size(); ++i) {
            if (gene.split == comparison.splits[i].split) {
                metrics[i].add(p_row, m_row);
                if (std::isfinite(compared.place.observed)) {
                    comparison.splits[i].means.push_back({gene.id, compared.place.observed, compared.place.predicted});
                }
            }
        }
    }
    for (std::size_t i = 0; i < metrics.size(); ++i) {
        comparison.splits[i].scores = metrics[i].scores();
    }
    std::erase_if(comparison.splits, [](const SplitComparison& split) { return split.means.empty(); });
    return comparison;
}

}  // namespace flagen::apps::report
