#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "apps/runtime/gradient_scaler.h"
#include "flagen/data/batch_sampler.h"

namespace flagen::apps {

/// Sums over the steps of one data section since its last line of metrics.jsonl.
struct StepSums {
    double loss = 0.0;
    double gradient_norm = 0.0;
    std::int64_t num_steps = 0;
    std::int64_t num_skipped = 0;  ///< Further steps, left out because gradients in fp16 were not finite.
};

/// What a checkpoint must hold beside tensors for the run to go on as if nothing had happened.
struct RunState {
    data::BatchSamplerState sampler;
    double best_score = -std::numeric_limits<double>::infinity();
    std::int64_t validations_without_best = 0;
    std::vector<StepSums> sums;  ///< By section.
    bool stopped_early = false;
    std::optional<GradientScaler> scaler;  ///< Of runs in fp16.

    [[nodiscard]] std::string to_json_text() const;
    /// Inverse of to_json_text().
    /// @throws UserError (kInputFile) naming `source` if it is malformed or of another number of sections.
    [[nodiscard]] static RunState from_json_text(const std::string& text, std::size_t num_sections,
                                                 const std::string& source);
};

}  // namespace flagen::apps
