#include "apps/runtime/training_section.h"

#include <torch/torch.h>

#include <utility>

#include "apps/runtime/predictor.h"
#include "apps/runtime/trained_model.h"
#include "flagen/error.h"
#include "flagen/models/to_device.h"

namespace flagen::apps {
namespace {

// Listed windows of a cache, or the training segments tiled.
std::shared_ptr<const data::WindowDataset> training_windows(data::WindowDatasetConfig config, const RunData& data) {
    const auto tracks = data.tracks ? data.tracks->windows : nullptr;
    if (!data.tracks || data.tracks->listed.windows.empty()) {
        return std::make_shared<const data::WindowDataset>(data.reference, data.targets.spans, data.plan, config, tracks);
    }
    config.max_shift_bp = data.tracks->window_shift_bp;
    return std::make_shared<const data::WindowDataset>(data.reference, data.targets.spans, data.plan, config, tracks,
                                                       data.listed_windows(genomics::Split::kTrain));
}

models::ExpressionLoss make_loss(const TrainConfig& config, const models::TargetScale& scale) {
    models::ExpressionLoss loss;
    loss.kind = config.loss == "huber" ? models::ExpressionLoss::Kind::kHuber : models::ExpressionLoss::Kind::kMse;
    loss.huber_delta = config.huber_delta;
    loss.mean_scale = scale.mean_scale;
    loss.deviation_scale = scale.deviation_scale;
    loss.deviation_weight = config.deviation_weight;
    return loss;
}

}  // namespace

TrainingSection::TrainingSection(const DataConfig& section, const RunConfig& run)
    : config_(section),
      run_(run),
      data_(RunData::load(section, run.model)),
      inputs_(InputDigests::of(section, data_)) {
    if (config_.genes) {
        transform_ = data::TargetTransform::fit(config_.genes->transform, data_.targets.values,
                                                data_.rows(genomics::Split::kTrain), data_.targets.samples);
        table_ = std::make_shared<const data::TargetTable>(data::TargetTable::make(data_.targets, transform_));
    }
    validator_.emplace(config_, run_.predict, data_, transform_);
    windows_ = training_windows(config_.windows, data_);
}

void TrainingSection::prepare(models::ExpressionModel& model) {
    if (table_) {
        const at::Tensor rows = at::tensor(data_.rows(genomics::Split::kTrain), at::kLong);
        const auto scale =
            models::TargetScale::fit(table_->values.index_select(0, rows), table_->mask.index_select(0, rows));
        model->genes().set_target_scale(scale.sample_mean, scale.mean_scale, scale.deviation_scale);
        gene_loss_ = make_loss(run_.train, scale);
    }
    if (data_.tracks) {
        const std::int64_t units = run_.model.find_track_head(config_.tracks->head)->units;
        FLAGEN_USER_CHECK(UserFault::kConfig, units == data_.tracks->table.num_tracks(), "model.head_",
                          config_.tracks->head, " has ", units, " units, but ", config_.tracks->table, " has ",
                          data_.tracks->table.num_tracks(), " tracks");
    }
}

at::Tensor TrainingSection::loss(models::ExpressionModel& model, const data::Batch& batch) const {
    const bool genes = table_ && batch.genes.window.size(0) > 0;
    std::vector<std::string> track_heads;
    if (data_.tracks) {
        track_heads.push_back(config_.tracks->head);
    }
    if (!genes && track_heads.empty()) {
        return {};
    }
    const at::Device device = model->device();
    const auto output =
        model->forward(batch.tokens, genes ? gene_queries(batch.genes) : models::GeneQueries{}, track_heads);
    at::Tensor loss;
    if (genes) {
        loss = config_.gene_weight * gene_loss_(output.genes, models::to_device(batch.genes.targets, device),
                                                models::to_device(batch.genes.mask, device));
    }
    for (const std::string& head : track_heads) {
        const at::Tensor track_loss =
            config_.track_weight *
            run_.train.track_loss(output.tracks.at(head), models::to_device(batch.tracks, device));
        loss = loss.defined() ? loss + track_loss : track_loss;
    }
    return loss;
}

void TrainingSection::add_texts(std::map<std::string, std::string>& texts) const {
    if (table_) {
        texts.emplace(kTransformFile, transform_.to_json_text());
        texts.emplace(kSamplesFile, samples_to_json(data_.targets.samples));
    }
    if (data_.tracks) {
        texts.emplace(track_table_file(config_.tracks->head), data_.tracks->table.to_text());
    }
}

}  // namespace flagen::apps
