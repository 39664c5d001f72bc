#include "apps/options/run_config.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "flagen/error.h"
#include "flagen/genomics/interval.h"
#include "flagen/json_object.h"
#include "flagen/problems.h"

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

TrackTargetsConfig read_track_targets(JsonObject& json) {
    TrackTargetsConfig tracks;
    tracks.head = json.require_string("head");
    tracks.table = json.require_string("table");
    tracks.folder = json.get_string("folder", "");
    tracks.transform = json.require_choice("transform", {"old", "new", "none"});
    tracks.blacklist = json.get_string("blacklist", "");
    tracks.cache = json.get_string("cache", "");
    tracks.window_shift = json.get_int("window_shift", tracks.window_shift, 0);
    return tracks;
}

// False where an entry is of no known kind: what follows from the kinds would mislead.
bool read_targets(JsonObject& json, DataConfig& data) {
    for (JsonObject& target : json.get_objects("targets")) {
        const std::size_t before = target.problems().size();
        const std::string kind = target.require_choice("kind", {"genes", "tracks"});
        if (target.problems().size() != before) {
            for (const std::string& key : target.keys()) {
                target.ignore(key);
            }
            return false;
        }
        const bool known_before = kind == "genes" ? data.genes.has_value() : data.tracks.has_value();
        if (known_before) {
            target.add_problem("kind", "stands twice; one entry of a kind is possible");
        }
        const double weight = target.get_number("weight", 1.0, 0.0, 1e6);
        if (kind == "genes") {
            data.genes = data::GeneTargetsConfig::from_json(target);
            data.gene_weight = weight;
        } else {
            data.tracks = read_track_targets(target);
            data.track_weight = weight;
        }
    }
    if (!data.genes && !data.tracks) {
        json.add_problem("targets", "expected an entry, as {\"kind\": \"genes\", ...}");
        return false;
    }
    return true;
}

DataConfig read_section(JsonObject& json, bool& targets_known) {
    DataConfig data;
    data.genome.fasta = json.require_string("fasta");
    data.genome.circular = json.get_strings("circular", {});
    data.genome.alias = json.get_string("alias", "");
    data.genome.allow_truncated = json.get_bool("allow_truncated", false);
    data.windows = data::WindowDatasetConfig::from_json(json);
    data.splits = read_splits(json.get_object("splits"));
    targets_known = read_targets(json, data) && targets_known;
    return data;
}

// What sections must agree on, and what they may not share.
void check_sections(const std::vector<DataConfig>& sections, std::vector<JsonObject>& json) {
    std::optional<std::size_t> with_genes;
    for (std::size_t i = 0; i < sections.size(); ++i) {
        const DataConfig& section = sections[i];
        if (section.windows.window_bp != sections.front().windows.window_bp) {
            json[i].add_problem("seq_length", "differs from the first section's, " +
                                                  std::to_string(sections.front().windows.window_bp));
        }
        if (section.genes && with_genes) {
            json[i].add_problem("targets", "genes stand in " + json[*with_genes].path() +
                                               " already; the model has one genes head");
        }
        with_genes = section.genes && !with_genes ? i : with_genes;
        for (std::size_t before = 0; section.tracks && before < i; ++before) {
            if (sections[before].tracks && sections[before].tracks->head == section.tracks->head) {
                json[i].add_problem("targets", "head " + section.tracks->head + " is trained by " +
                                                   json[before].path() + " already");
            }
        }
    }
}

std::vector<DataConfig> read_data(JsonObject& root, bool& targets_known) {
    std::vector<JsonObject> json = root.get_objects("data");
    if (json.empty()) {
        // Absent or of a wrong type: what a section needs is told as if it stood there empty.
        json.push_back(root.get_object("data"));
    }
    std::vector<DataConfig> sections;
    for (JsonObject& section : json) {
        sections.push_back(read_section(section, targets_known));
    }
    if (targets_known) {
        check_sections(sections, json);
    }
    return sections;
}

TrainConfig read_train(JsonObject json) {
    TrainConfig train;
    train.batch_size = json.get_int("batch_size", train.batch_size, 1, 65536);
    train.max_steps = json.get_int("max_steps", train.max_steps, 1, kMaxSteps);
    train.seed = static_cast<std::uint64_t>(json.get_int("seed", 0, 0));
    const std::string loss = json.get_choice("loss", train.loss, {"mse", "huber", "poisson_mn"});
    train.loss = loss == "poisson_mn" ? train.loss : loss;
    train.huber_delta = json.get_number("huber_delta", train.huber_delta, 1e-6, 1e6);
    train.deviation_weight = json.get_number("deviation_weight", train.deviation_weight, 0.0, 1e6);
    train.track_loss.total_weight = json.get_number("total_weight", train.track_loss.total_weight, 0.0, 1e6);
    train.track_loss.weight_range = json.get_number("weight_range", train.track_loss.weight_range, 1.0, 1e9);
    train.track_loss.weight_exp = json.get_number("weight_exp", train.track_loss.weight_exp, 2.0, 64.0);
    if (std::fmod(train.track_loss.weight_exp, 2.0) != 0.0) {
        json.add_problem("weight_exp", "must be an even number: an odd one weighs one side of the window only");
    }
    train.global_clipnorm = json.get_number("global_clipnorm", train.global_clipnorm, 0.0, 1e9);
    json.get_choice("optimizer", "adamw", {"adamw"});
    train.precision = models::precision_of_name(json.get_choice("precision", "fp32", {"fp32", "bf16", "fp16"}));
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

// What data and model must agree on.
void check_heads(const RunConfig& config, JsonObject& model) {
    const bool gene_head = config.model.genes.has_value();
    if (gene_head != config.genes_section().has_value()) {
        model.add_problem("heads", gene_head ? "has genes, but data.targets has no entry of kind genes"
                                             : "lacks genes, but data.targets has an entry of kind genes");
    }
    std::vector<std::string> names;
    for (const auto& head : config.model.track_heads) {
        names.push_back(head.name);
    }
    for (const DataConfig& section : config.data) {
        const std::string wanted = section.tracks ? section.tracks->head : "";
        if (!wanted.empty() && std::find(names.begin(), names.end(), wanted) == names.end()) {
            model.add_problem("head_" + wanted, "is missing, but data.targets names it" + did_you_mean(wanted, names));
        }
    }
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

// Of a section's random numbers: sections must not draw the same shifts. The first has the run's.
std::uint64_t section_seed(std::uint64_t seed, std::size_t section) {
    constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15U;  // odd, so that no two sections are equal
    return seed + section * kStep;
}

std::pair<std::string, std::string> split_override(const std::string& text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
        throw_user_error(UserFault::kConfig, "--set expects key=value, found \"", text, "\"");
    }
    return {text.substr(0, equals), text.substr(equals + 1)};
}

}  // namespace

RunConfig RunConfig::load(const std::string& path, const std::vector<std::string>& overrides) {
    JsonObject root = JsonObject::read_file(path);
    for (const std::string& text : overrides) {
        const auto [key, value] = split_override(text);
        root.set_path(key, value);
    }
    RunConfig config;
    bool targets_known = true;
    config.data = read_data(root, targets_known);
    JsonObject model = root.get_object("model");
    config.model = models::ModelConfig::from_json(model, config.data.front().windows.window_bp);
    config.train = read_train(root.get_object("train"));
    for (std::size_t i = 0; i < config.data.size(); ++i) {
        DataConfig& section = config.data[i];
        section.windows.seed = section_seed(config.train.seed, i);
        // Borzoi has these two in the model section.
        if (model.has("augment_rc")) {
            section.windows.random_reverse_complement = model.get_bool("augment_rc", true);
        }
        if (model.has("augment_shift") && section.tracks) {
            section.tracks->window_shift = model.get_int("augment_shift", section.tracks->window_shift, 0);
        }
    }
    config.predict = read_predict(root.get_object("predict"));
    if (targets_known) {
        check_heads(config, model);
    }
    ignore_borzoi_keys(root.get_object("train"), model);
    root.finish();
    root.problems().throw_if_any(path);
    config.ignored_keys = root.ignored_keys();
    return config;
}

std::optional<std::size_t> RunConfig::genes_section() const {
    const auto found = std::find_if(data.begin(), data.end(), [](const DataConfig& section) { return section.genes; });
    return found == data.end() ? std::nullopt : std::optional<std::size_t>(found - data.begin());
}

std::string RunConfig::section_names() const {
    std::string names;
    for (const DataConfig& section : data) {
        names += (names.empty() ? "" : ", ") + section.head();
    }
    return names;
}

}  // namespace flagen::apps
