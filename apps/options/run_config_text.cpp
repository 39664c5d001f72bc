#include <filesystem>
#include <string>

#include "apps/options/run_config.h"
#include "flagen/json_object.h"
#include "flagen/sha256.h"

namespace flagen::apps {
namespace {

std::string absolute(const std::string& path) {
    return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

enum class PathPolicy { kAbsolute, kLeaveOut };

void write_regions(JsonObject& json, const std::string& key, const std::vector<genomics::Interval>& regions) {
    std::vector<std::string> texts;
    for (const auto& region : regions) {
        texts.push_back(region.contig + ":" + std::to_string(region.start_bp + 1) + "-" +
                        std::to_string(region.end_bp));
    }
    json.set(key, texts);
}

void set_file(JsonObject& json, const std::string& key, const std::string& path, PathPolicy policy) {
    if (policy == PathPolicy::kAbsolute && !path.empty()) {
        json.set(key, absolute(path));
    }
}

void write_gene_targets(JsonObject json, const DataConfig& data, PathPolicy policy) {
    const data::GeneTargetsConfig& genes = *data.genes;
    json.set("kind", "genes");
    set_file(json, "matrix", genes.matrix, policy);
    set_file(json, "annotation", genes.annotation, policy);
    json.set("feature", genes.features);
    json.set("gene_id", genes.gene_id);
    json.set("coding_feature", genes.coding_features);
    json.set("coding_gene_id", genes.coding_gene_id);
    json.set("value", genes.value);
    json.set("transform", genes.transform);
    json.set("max_missing_genes", genes.max_missing_genes);
    json.set("weight", data.gene_weight);
}

void write_track_targets(JsonObject json, const DataConfig& data, PathPolicy policy) {
    const TrackTargetsConfig& tracks = *data.tracks;
    json.set("kind", "tracks");
    json.set("head", tracks.head);
    set_file(json, "table", tracks.table, policy);
    set_file(json, "folder", tracks.folder, policy);
    set_file(json, "blacklist", tracks.blacklist, policy);
    set_file(json, "cache", tracks.cache, policy);
    json.set("transform", tracks.transform);
    json.set("window_shift", tracks.window_shift);
    json.set("weight", data.track_weight);
}

void write_data(JsonObject json, const DataConfig& data, PathPolicy policy) {
    set_file(json, "fasta", data.genome.fasta, policy);
    set_file(json, "alias", data.genome.alias, policy);
    json.set("circular", data.genome.circular);
    json.set("allow_truncated", data.genome.allow_truncated);
    json.set("seq_length", data.windows.window_bp);
    json.set("stride", data.windows.stride_bp);
    json.set("max_shift", data.windows.max_shift_bp);
    json.set("reverse_complement", data.windows.random_reverse_complement);
    json.set("strand_mode", data.windows.strand_mode == data::StrandMode::kSense ? "sense" : "both");
    json.set("margin", data.windows.margin_bp);
    json.set("mutate_rate", data.windows.mutate_rate);

    JsonObject splits = json.set_object("splits");
    splits.set("valid_contigs", data.splits.valid_contigs);
    splits.set("test_contigs", data.splits.test_contigs);
    write_regions(splits, "valid_regions", data.splits.valid_intervals);
    write_regions(splits, "test_regions", data.splits.test_intervals);
    set_file(splits, "fold_file", data.splits.fold_file, policy);
    splits.set("num_folds", data.splits.num_folds);
    splits.set("fold_block", data.splits.fold_block_bp);
    splits.set("valid_folds", data.splits.valid_folds);
    splits.set("test_folds", data.splits.test_folds);
    splits.set("margin", data.splits.margin_bp);

    if (data.genes) {
        write_gene_targets(json.append_object("targets"), data, policy);
    }
    if (data.tracks) {
        write_track_targets(json.append_object("targets"), data, policy);
    }
}

void write_learning_rate(JsonObject json, const models::LearningRate& rate) {
    switch (rate.kind) {
        case models::LearningRateKind::kConstant:
            json.set("kind", "constant");
            break;
        case models::LearningRateKind::kOneCycle:
            json.set("kind", "one_cycle");
            json.set("warmup_fraction", rate.warmup_fraction);
            json.set("start_divisor", rate.start_divisor);
            json.set("end_divisor", rate.end_divisor);
            break;
        case models::LearningRateKind::kWarmupCosine:
            json.set("kind", "warmup_cosine");
            json.set("warmup_steps", rate.warmup_steps);
            json.set("final_ratio", rate.final_ratio);
            break;
    }
    json.set("peak", rate.peak);
}

void write_train(JsonObject json, const TrainConfig& train) {
    json.set("batch_size", train.batch_size);
    json.set("max_steps", train.max_steps);
    json.set("seed", static_cast<std::int64_t>(train.seed));
    json.set("loss", train.loss);
    json.set("huber_delta", train.huber_delta);
    json.set("deviation_weight", train.deviation_weight);
    json.set("total_weight", train.track_loss.total_weight);
    json.set("weight_range", train.track_loss.weight_range);
    json.set("weight_exp", train.track_loss.weight_exp);
    json.set("global_clipnorm", train.global_clipnorm);
    json.set("optimizer", "adamw");
    json.set("precision", models::precision_name(train.precision));
    json.set("adam_beta1", train.adamw.beta1);
    json.set("adam_beta2", train.adamw.beta2);
    json.set("adam_epsilon", train.adamw.epsilon);
    json.set("weight_decay", train.adamw.weight_decay);
    write_learning_rate(json.set_object("learning_rate"), train.learning_rate);
    json.set("log_every_steps", train.log_every_steps);
    json.set("valid_every_steps", train.valid_every_steps);
    json.set("checkpoint_every_steps", train.checkpoint_every_steps);
    json.set("keep_checkpoints", train.keep_checkpoints);
    json.set("patience", train.patience);
}

std::string write_config(const RunConfig& config, PathPolicy policy, int indent) {
    JsonObject root;
    for (const DataConfig& section : config.data) {
        const bool alone = config.data.size() == 1;
        write_data(alone ? root.set_object("data") : root.append_object("data"), section, policy);
    }
    JsonObject model = root.set_object("model");
    config.model.write(model);
    write_train(root.set_object("train"), config.train);
    JsonObject predict = root.set_object("predict");
    predict.set("stride", config.predict.stride_bp);
    predict.set("shifts", config.predict.shifts_bp);
    return root.dump(indent);
}

}  // namespace

std::string RunConfig::resolved_text() const { return write_config(*this, PathPolicy::kAbsolute, 2) + "\n"; }

std::string RunConfig::digest() const { return sha256_of(write_config(*this, PathPolicy::kLeaveOut, -1)); }

}  // namespace flagen::apps
