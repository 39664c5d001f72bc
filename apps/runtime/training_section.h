#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/options/run_config.h"
#include "apps/runtime/run_data.h"
#include "apps/runtime/run_record.h"
#include "apps/runtime/validator.h"
#include "flagen/data/batch.h"
#include "flagen/data/target_transform.h"
#include "flagen/data/window_dataset.h"
#include "flagen/models/expression_loss.h"
#include "flagen/models/expression_model.h"

namespace flagen::apps {

/// One data section of a training run: its inputs, its training windows, its heads and their loss, its validation.
///
/// A step on one of its batches computes its own heads only: those of other sections get no gradient, and the
/// optimiser passes them by.
class TrainingSection {
  public:
    /// Reads and checks everything that `section` of `run` names. Keeps the references.
    /// @throws UserError as the readers do.
    TrainingSection(const DataConfig& section, const RunConfig& run);
    TrainingSection(const TrainingSection&) = delete;
    TrainingSection& operator=(const TrainingSection&) = delete;

    [[nodiscard]] std::string head() const { return config_.head(); }
    [[nodiscard]] const RunData& data() const { return data_; }
    [[nodiscard]] const InputDigests& inputs() const { return inputs_; }
    [[nodiscard]] const std::shared_ptr<const data::WindowDataset>& windows() const { return windows_; }
    /// Targets of the genes; null without genes.
    [[nodiscard]] const std::shared_ptr<const data::TargetTable>& table() const { return table_; }

    /// Gives the model's gene head the scale of the section's targets, for a model at its start.
    /// @throws UserError (kConfig) if a head has another number of tracks than the section's table.
    void prepare(models::ExpressionModel& model);

    /// The weighted sum over target kinds; undefined where the batch has nothing to score.
    [[nodiscard]] at::Tensor loss(models::ExpressionModel& model, const data::Batch& batch) const;

    [[nodiscard]] Validation validate(models::ExpressionModel& model) const { return validator_->run(model); }

    /// Adds the small files by which a checkpoint's predictions are understood (trained_model.h).
    void add_texts(std::map<std::string, std::string>& texts) const;

  private:
    const DataConfig& config_;
    const RunConfig& run_;
    RunData data_;
    InputDigests inputs_;
    data::TargetTransform transform_;                 // of the genes
    std::shared_ptr<const data::TargetTable> table_;  // null without genes
    std::shared_ptr<const data::WindowDataset> windows_;
    std::optional<Validator> validator_;
    models::ExpressionLoss gene_loss_;
};

}  // namespace flagen::apps
