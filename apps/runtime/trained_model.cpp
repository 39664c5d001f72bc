#include "apps/runtime/trained_model.h"

#include <filesystem>
#include <utility>

#include "flagen/error.h"
#include "flagen/json_object.h"
#include "flagen/models/checkpoint.h"
#include "flagen/models/checkpoint_folder.h"
#include "flagen/problems.h"

namespace flagen::apps {
namespace {

namespace fs = std::filesystem;

// A run folder holds checkpoints/; a checkpoint folder holds manifest.json.
std::string checkpoint_of(const std::string& path) {
    if (fs::exists(fs::path(path) / "manifest.json")) {
        return path;
    }
    const fs::path folder = fs::path(path) / "checkpoints";
    if (!fs::is_directory(folder)) {
        throw_user_error(UserFault::kConfig, "neither a checkpoint (manifest.json) nor a run folder (checkpoints/): ",
                         path);
    }
    models::CheckpointFolder checkpoints(folder.string());
    if (const auto best = checkpoints.hinted("best")) {
        return *best;
    }
    const auto newest = checkpoints.newest_valid(nullptr);
    if (!newest) {
        throw_user_error(UserFault::kInputFile, "the run folder holds no checkpoint yet: ", path);
    }
    return newest->path;
}

const std::string& text_of(const models::CheckpointState& state, const std::string& name, const std::string& path) {
    const auto found = state.texts.find(name);
    if (found == state.texts.end()) {
        throw_user_error(UserFault::kInputFile, "the checkpoint lacks ", name, ": ", path);
    }
    return found->second;
}

std::vector<std::string> samples_from_json(const std::string& text, const std::string& source) {
    JsonObject root = JsonObject::parse(text, source, UserFault::kInputFile);
    std::vector<std::string> samples = root.require_strings("samples");
    root.finish();
    root.problems().throw_if_any(source, UserFault::kInputFile);
    return samples;
}

// Another configuration may move files and windows and leave sections out, but not change what the numbers of a head
// mean.
void check_tracks(const RunConfig& own, const RunConfig& used, const std::string& checkpoint) {
    std::map<std::string, std::string> transform_of_head;
    for (const DataConfig& section : own.data) {
        if (section.tracks) {
            transform_of_head[section.tracks->head] = section.tracks->transform;
        }
    }
    for (const DataConfig& section : used.data) {
        if (!section.tracks) {
            continue;
        }
        const auto found = transform_of_head.find(section.tracks->head);
        FLAGEN_USER_CHECK(UserFault::kConfig, found != transform_of_head.end(), "the model was not trained on tracks of head ",
                          section.tracks->head, ", which the configuration names: ", checkpoint);
        FLAGEN_USER_CHECK(UserFault::kConfig, found->second == section.tracks->transform,
                          "the model was trained with transform ", found->second, ", the configuration says ",
                          section.tracks->transform, ": ", checkpoint);
    }
}

}  // namespace

std::string track_table_file(const std::string& head) { return "targets_" + head + ".txt"; }

std::string samples_to_json(const std::vector<std::string>& samples) {
    JsonObject root;
    root.set("samples", samples);
    return root.dump() + "\n";
}

TrainedModel TrainedModel::load(const std::string& path, const std::vector<std::string>& overrides,
                                const std::string& config_path) {
    TrainedModel trained;
    trained.checkpoint = checkpoint_of(path);
    models::CheckpointLoadOptions options;
    options.weights_only = true;
    const models::CheckpointState state = models::load_checkpoint(trained.checkpoint, options);
    trained.step = state.step;
    trained.model_sha256 = state.model_sha256;
    text_of(state, kConfigFile, trained.checkpoint);
    trained.config = RunConfig::load(
        config_path.empty() ? (fs::path(trained.checkpoint) / kConfigFile).string() : config_path, overrides);
    check_tracks(RunConfig::load((fs::path(trained.checkpoint) / kConfigFile).string()), trained.config,
                 trained.checkpoint);
    const auto source = [&](const std::string& name) { return (fs::path(trained.checkpoint) / name).string(); };
    if (trained.config.model.genes) {
        trained.transform = data::TargetTransform::from_json_text(text_of(state, kTransformFile, trained.checkpoint),
                                                                  source(kTransformFile));
        trained.samples = samples_from_json(text_of(state, kSamplesFile, trained.checkpoint), source(kSamplesFile));
    }
    for (const DataConfig& section : trained.config.data) {
        if (section.tracks) {
            const std::string name = track_table_file(section.tracks->head);
            text_of(state, name, trained.checkpoint);
            trained.tracks.emplace(section.tracks->head, data::TrackTable::load(source(name)));
        }
    }
    trained.model = models::ExpressionModel(trained.config.model, static_cast<std::int64_t>(trained.samples.size()));
    models::copy_tensors(state.model, models::module_tensors(*trained.model), trained.checkpoint);
    trained.model->eval();
    return trained;
}

void TrainedModel::move_to(const RunDevice& device) {
    model->to(device.device);
    model->set_precision(config.train.precision);
}

}  // namespace flagen::apps
