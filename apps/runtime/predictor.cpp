#include "apps/runtime/predictor.h"

#include <torch/torch.h>

#include <limits>
#include <unordered_map>

#include "flagen/data/prefetch_loader.h"

namespace flagen::apps {
namespace {

// Puts a model into evaluation mode for one scope.
class EvaluationMode {
  public:
    explicit EvaluationMode(models::ExpressionModel& model) : model_(model), was_training_(model->is_training()) {
        model_->eval();
    }
    ~EvaluationMode() { model_->train(was_training_); }
    EvaluationMode(const EvaluationMode&) = delete;
    EvaluationMode& operator=(const EvaluationMode&) = delete;

  private:
    models::ExpressionModel& model_;
    bool was_training_;
};

}  // namespace

data::EvaluationOptions evaluation_options(const DataConfig& section, const PredictConfig& predict,
                                           const std::vector<std::int64_t>& shifts_bp) {
    return {section.windows.window_bp, predict.stride_bp, section.windows.margin_bp, shifts_bp};
}

models::GeneQueries gene_queries(const data::GeneRows& rows) {
    return {rows.window,       rows.start_bp,       rows.end_bp,      rows.strand,
            rows.piece_offset, rows.piece_start_bp, rows.piece_end_bp};
}

GenePrediction predict_genes(models::ExpressionModel& model,
                             const std::shared_ptr<const genomics::ReferenceGenome>& reference,
                             const std::vector<genomics::GeneSpan>& genes,
                             const std::vector<std::int64_t>& rows, const data::EvaluationOptions& options,
                             const PredictionProgress& progress) {
    const auto plan = std::make_shared<const data::EvaluationPlan>(
        data::plan_gene_evaluation(genes, rows, reference->contigs(), options));
    std::unordered_map<std::int64_t, std::int64_t> output_row;  // gene -> row of the result
    for (std::size_t i = 0; i < rows.size(); ++i) {
        output_row.emplace(rows[i], static_cast<std::int64_t>(i));
    }
    const std::int64_t num_samples = model->genes().num_samples();
    const auto num_rows = static_cast<std::int64_t>(rows.size());
    at::Tensor sum = at::zeros({num_rows, num_samples}, at::kDouble);
    at::Tensor count = at::zeros({num_rows, 1}, at::kDouble);

    const EvaluationMode evaluation_mode(model);
    const torch::NoGradGuard no_gradients;
    const auto source = std::make_shared<const data::EvaluationSource>(reference, plan);
    const auto num_passes = static_cast<std::int64_t>(plan->passes.size());
    if (num_passes > 0) {
        const data::ResumableSampler in_order({num_passes, 0, false, 1, 0, 1});
        data::PrefetchLoader loader({{source, nullptr}}, data::BatchSampler({in_order}, 1), {1, 2});
        std::int64_t done = 0;
        while (auto batch = loader.next()) {
            const at::Tensor predicted =
                model->forward(batch->tokens, gene_queries(batch->genes)).genes.to(at::kCPU);
            at::Tensor index = at::empty({predicted.size(0)}, at::kLong);
            for (std::int64_t g = 0; g < predicted.size(0); ++g) {
                index[g] = output_row.at(batch->genes.gene_index[g].item<std::int64_t>());
            }
            sum.index_add_(0, index, predicted.to(at::kDouble));
            count.index_add_(0, index, at::ones({predicted.size(0), 1}, at::kDouble));
            if (progress && !progress(++done, num_passes)) {
                return {at::Tensor{}, plan->genes, false};
            }
        }
    }
    at::Tensor values = (sum / count).to(at::kFloat);
    values.masked_fill_((count == 0).expand_as(values), std::numeric_limits<float>::quiet_NaN());
    return {values, plan->genes, true};
}

}  // namespace flagen::apps
