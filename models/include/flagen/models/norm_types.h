#pragma once

#include <string>
#include <utility>
#include <vector>

namespace flagen::models {

enum class NormType { kNone, kBatch, kLayer, kRms };
enum class Activation { kNone, kRelu, kGelu, kGeluTanh, kSilu };

[[nodiscard]] const std::vector<std::pair<NormType, std::string>>& norm_type_names();
/// The norms that work on one token alone: all but batch.
[[nodiscard]] const std::vector<std::pair<NormType, std::string>>& token_norm_names();
[[nodiscard]] const std::vector<std::pair<Activation, std::string>>& activation_names();

/// Names in the blocks that come from Borzoi's files: there `batch-sync` is batch, and `gelu` is
/// the tanh form.
[[nodiscard]] const std::vector<std::pair<NormType, std::string>>& borzoi_norm_names();
[[nodiscard]] const std::vector<std::pair<Activation, std::string>>& borzoi_activation_names();

struct NormSettings {
    double epsilon = 1e-5;        ///< Added to the variance.
    double batch_momentum = 0.1;  ///< Share of a batch's statistics in the running ones.
};

}  // namespace flagen::models
