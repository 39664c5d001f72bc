#include "apps/options/run_config.h"

#include <filesystem>
#include <optional>
#include <utility>

#include "flagen/error.h"
#include "flagen/genomics/interval.h"
#include "flagen/json_object.h"
#include "flagen/problems.h"
#include "flagen/sha256.h"

namespace flagen::apps {
namespace {

constexpr std::int64_t kMaxSteps = 1'000'000'000;

std::vector<genomics::Interval> read_regions(JsonObject& json, const std::string& key) {
    std::vector<genomics::Interval> regions;
    for (const std::string& text : json.get_strings(key, {})) {
        try {
            regions.push_back(genomics::parse_region(text));
        } catch (const UserError& error) {
            json.add_problem(key, error.what());
        }
    }
    return regions;
}

genomics::SplitDefinition read_splits(JsonObject json) {
    genomics::SplitDefinition splits;
    splits.valid_contigs = json.get_strings("valid_contigs", {});
    splits.test_contigs = json.get_strings("test_contigs", {});
    splits.valid_intervals = read_regions(json, "valid_regions");
    splits.test_intervals = read_regions(json, "test_regions");
    splits.fold_file = json.get_string("fold_file", "");
    splits.num_folds = json.get_int("num_folds", 0, 0, 1000);
    splits.fold_block_bp = json.get_int("fold_block", splits.fold_block_bp, 1);
    splits.valid_folds = json.get_strings("valid_folds", {});
    splits.test_folds = json.get_strings("test_folds", {});
    splits.margin_bp = json.get_int("margin", 0, 0);
    return splits;
}

data::GeneTargetsConfig read_targets(JsonObject& json) {
    std::vector<JsonObject> targets = json.get_objects("targets");
    if (targets.size() != 1) {
        json.add_problem("targets", "expected one entry, {\"kind\": \"genes\", ...}, found " +
                                        std::to_string(targets.size()));
        return {};
    }
    targets[0].require_choice("kind", {"genes"});
    return data::GeneTargetsConfig::from_json(targets[0]);
}

DataConfig read_data(JsonObject json) {
    DataConfig data;
    data.genome.fasta = json.require_string("fasta");
    data.genome.circular = json.get_strings("circular", {});
    data.genome.alias = json.get_string("alias", "");
    data.genome.allow_truncated = json.get_bool("allow_truncated", false);
    data.windows = data::WindowDatasetConfig::from_json(json);
    data.splits = read_splits(json.get_object("splits"));
    data.genes = read_targets(json);
    return data;
}

TrainConfig read_train(JsonObject json) {
    TrainConfig train;
    train.batch_size = json.get_int("batch_size", train.batch_size, 1, 65536);
    train.max_steps = json.get_int("max_steps", train.max_steps, 1, kMaxSteps);
    train.seed = static_cast<std::uint64_t>(json.get_int("seed", 0, 0));
    train.loss = json.get_choice("loss", train.loss, {"mse", "huber"});
    train.huber_delta = json.get_number("huber_delta", train.huber_delta, 1e-6, 1e6);
    train.deviation_weight = json.get_number("deviation_weight", train.deviation_weight, 0.0, 1e6);
    train.global_clipnorm = json.get_number("global_clipnorm", train.global_clipnorm, 0.0, 1e9);
    json.get_choice("optimizer", "adamw", {"adamw"});
    json.get_choice("precision", "fp32", {"fp32"});
    train.adamw.beta1 = json.get_number("adam_beta1", train.adamw.beta1, 0.0, 0.999999);
    train.adamw.beta2 = json.get_number("adam_beta2", train.adamw.beta2, 0.0, 0.999999);
    train.adamw.epsilon = json.get_number("adam_epsilon", train.adamw.epsilon, 0.0, 1.0);
    train.adamw.weight_decay = json.get_number("weight_decay", train.adamw.weight_decay, 0.0, 10.0);
    JsonObject schedule = json.get_object("learning_rate");
    train.learning_rate = models::LearningRate::from_json(schedule, train.max_steps);
    train.log_every_steps = json.get_int("log_every_steps", train.log_every_steps, 1, kMaxSteps);
    train.valid_every_steps = json.get_int("valid_every_steps", train.valid_every_steps, 1, kMaxSteps);
    train.checkpoint_every_steps =
        json.get_int("checkpoint_every_steps", train.checkpoint_every_steps, 1, kMaxSteps);
    train.keep_checkpoints = json.get_int("keep_checkpoints", train.keep_checkpoints, 2, 1'000'000);
    train.patience = json.get_int("patience", train.patience, 0, 1'000'000);
    // A gene's score is the best of the run; a validation that no checkpoint holds could not be kept.
    if (train.valid_every_steps % train.checkpoint_every_steps != 0) {
        json.add_problem("valid_every_steps",
                         "must be a multiple of checkpoint_every_steps (" +
                             std::to_string(train.checkpoint_every_steps) + "), found " +
                             std::to_string(train.valid_every_steps));
    }
    return train;
}

PredictConfig read_predict(JsonObject json) {
    PredictConfig predict;
    predict.stride_bp = json.get_int("stride", predict.stride_bp, 1);
    predict.shifts_bp = json.get_ints("shifts", predict.shifts_bp);
    return predict;
}

// Borzoi's keys that have no meaning here; accepted so that its files need no edit for them.
void ignore_borzoi_keys(JsonObject train, JsonObject model) {
    for (const char* key : {"shuffle_buffer", "num_gpu"}) {
        train.ignore(key);
    }
    for (const char* key : {"verbose"}) {
        model.ignore(key);
    }
}

std::pair<std::string, std::string> split_override(const std::string& text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
        throw_user_error(UserFault::kConfig, "--set expects key=value, found \"", text, "\"");
    }
    return {text.substr(0, equals), text.substr(equals + 1)};
}

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

void write_data(JsonObject json, const DataConfig& data, PathPolicy policy) {
    const auto set_path_key = [policy](JsonObject& object, const std::string& key, const std::string& path) {
        if (policy == PathPolicy::kAbsolute && !path.empty()) {
            object.set(key, absolute(path));
        }
    };
    set_path_key(json, "fasta", data.genome.fasta);
    set_path_key(json, "alias", data.genome.alias);
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
    set_path_key(splits, "fold_file", data.splits.fold_file);
    splits.set("num_folds", data.splits.num_folds);
    splits.set("fold_block", data.splits.fold_block_bp);
    splits.set("valid_folds", data.splits.valid_folds);
    splits.set("test_folds", data.splits.test_folds);
    splits.set("margin", data.splits.margin_bp);

    JsonObject genes = json.append_object("targets");
    genes.set("kind", "genes");
    set_path_key(genes, "matrix", data.genes.matrix);
    set_path_key(genes, "annotation", data.genes.annotation);
    genes.set("feature", data.genes.features);
    genes.set("gene_id", data.genes.gene_id);
    genes.set("coding_feature", data.genes.coding_features);
    genes.set("coding_gene_id", data.genes.coding_gene_id);
    genes.set("value", data.genes.value);
    genes.set("transform", data.genes.transform);
    genes.set("max_missing_genes", data.genes.max_missing_genes);
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
    json.set("global_clipnorm", train.global_clipnorm);
    json.set("optimizer", "adamw");
    json.set("precision", "fp32");
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
    write_data(root.set_object("data"), config.data, policy);
    JsonObject model = root.set_object("model");
    config.model.write(model);
    write_train(root.set_object("train"), config.train);
    JsonObject predict = root.set_object("predict");
    predict.set("stride", config.predict.stride_bp);
    predict.set("shifts", config.predict.shifts_bp);
    return root.dump(indent);
}

}  // namespace

RunConfig RunConfig::load(const std::string& path, const std::vector<std::string>& overrides) {
    JsonObject root = JsonObject::read_file(path);
    for (const std::string& text : overrides) {
        const auto [key, value] = split_override(text);
        root.set_path(key, value);
    }
    RunConfig config;
    config.data = read_data(root.get_object("data"));
    JsonObject model = root.get_object("model");
    config.model = models::ModelConfig::from_json(model, config.data.windows.window_bp);
    config.train = read_train(root.get_object("train"));
    config.data.windows.seed = config.train.seed;
    config.predict = read_predict(root.get_object("predict"));
    ignore_borzoi_keys(root.get_object("train"), model);
    root.finish();
    root.problems().throw_if_any(path);
    return config;
}

std::string RunConfig::resolved_text() const { return write_config(*this, PathPolicy::kAbsolute, 2) + "\n"; }

std::string RunConfig::digest() const { return sha256_of(write_config(*this, PathPolicy::kLeaveOut, -1)); }

}  // namespace flagen::apps
