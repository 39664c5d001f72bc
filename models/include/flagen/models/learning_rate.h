#pragma once

#include <cstdint>
#include <string>

namespace flagen {
class JsonObject;
}

namespace flagen::models {

enum class LearningRateKind {
    kConstant,      ///< `peak` throughout
    kOneCycle,      ///< cosine from peak / start_divisor up to the peak, cosine down
    kWarmupCosine,  ///< straight line from 0 up to the peak, cosine down to final_ratio * peak
};

/// A learning rate that is a pure function of the step, so resuming needs no state but the step.
///
/// kOneCycle equals torch.optim.lr_scheduler.OneCycleLR(max_lr = peak, pct_start = warmup_fraction,
/// div_factor = start_divisor, final_div_factor = end_divisor, anneal_strategy = "cos") without its
/// momentum cycle: L. N. Smith, N. Topin, "Super-convergence", 2018, arXiv:1708.07120. With W =
/// warmup_fraction * total_steps - 1 and E = total_steps - 1:
///
///     step <= W   cos(peak / start_divisor -> peak),                       progress step / W
///     else        cos(peak -> peak / (start_divisor * end_divisor)),       progress (step - W) /
///     (E - W)
///
/// kWarmupCosine: (step + 1) / warmup_steps * peak while step < warmup_steps, then
/// final + (peak - final) * (1 + cos(pi * p)) / 2, p = (step - warmup_steps) / (total_steps -
/// warmup_steps).
struct LearningRate {
    LearningRateKind kind = LearningRateKind::kOneCycle;
    double peak = 2e-3;
    std::int64_t total_steps = 1;
    double warmup_fraction = 0.3;   ///< kOneCycle: share of the steps on the way up, in (0, 1)
    double start_divisor = 25.0;    ///< kOneCycle
    double end_divisor = 1e4;       ///< kOneCycle
    std::int64_t warmup_steps = 0;  ///< kWarmupCosine
    double final_ratio = 0.0;       ///< kWarmupCosine

    /// The rate for the update number `step`, counted from 0. Steps past the end keep the last
    /// rate.
    [[nodiscard]] double at(std::int64_t step) const;

    /// Reads {"kind": "one_cycle" | "warmup_cosine" | "constant", "peak", ...}; faults become
    /// problems of `object`. The number of steps is the run's, not the schedule's.
    [[nodiscard]] static LearningRate from_json(JsonObject& object, std::int64_t total_steps);
};

}  // namespace flagen::models
