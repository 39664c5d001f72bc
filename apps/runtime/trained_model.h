#pragma once

#include <map>
#include <string>
#include <vector>

#include "apps/options/run_config.h"
#include "apps/runtime/device.h"
#include "flagen/data/target_transform.h"
#include "flagen/data/track_table.h"
#include "flagen/models/expression_model.h"

namespace flagen::apps {

/// Names of the small files that a checkpoint carries beside its tensors.
inline constexpr const char* kConfigFile = "config.json";        ///< RunConfig::resolved_text()
inline constexpr const char* kTransformFile = "transform.json";  ///< TargetTransform::to_json_text()
inline constexpr const char* kSamplesFile = "samples.json";      ///< {"samples": [names in order]}
/// "targets_human.txt": TrackTable::to_text() of the tracks that a head was trained on.
[[nodiscard]] std::string track_table_file(const std::string& head);

/// A model with all that its predictions need to be understood.
struct TrainedModel {
    RunConfig config;
    models::ExpressionModel model{nullptr};
    data::TargetTransform transform;    ///< Of the genes.
    std::vector<std::string> samples;   ///< Empty without genes.
    std::map<std::string, data::TrackTable> tracks;  ///< By head, of those that were trained.
    std::string checkpoint;    ///< Folder that it was read from.
    std::string model_sha256;  ///< Of the weights' file.
    std::int64_t step = 0;

    /// Reads a checkpoint folder, or the best (else the newest) one of a run folder. The
    /// configuration is the checkpoint's, or the file `config_path` if that is not empty.
    /// @throws UserError naming the folder and what is wrong with it.
    [[nodiscard]] static TrainedModel load(const std::string& path, const std::vector<std::string>& overrides,
                                           const std::string& config_path = {});

    /// What choose_device() has to know of it.
    [[nodiscard]] DeviceLoad load_on_device() const { return {&config.model, config.train.precision}; }
    /// Moves the model there; it runs in the precision of the configuration.
    void move_to(const RunDevice& device);
};

/// {"samples": [...]} for kSamplesFile.
[[nodiscard]] std::string samples_to_json(const std::vector<std::string>& samples);

}  // namespace flagen::apps
