#include "flagen/models/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "flagen/json_object.h"

namespace flagen::models {
namespace {

/// From `start` (progress 0) to `end` (progress 1) along half a cosine.
double cosine_between(double start, double end, double progress) {
    return end + (start - end) / 2.0 * (1.0 + std::cos(std::numbers::pi * progress));
}

double one_cycle(const LearningRate& rate, double step) {
    const auto total = static_cast<double>(std::max<std::int64_t>(rate.total_steps, 1));
    const double start = rate.peak / rate.start_divisor;
    const double top = rate.warmup_fraction * total - 1.0;
    const double end = total - 1.0;
    if (step <= top) {
        return cosine_between(start, rate.peak, top > 0.0 ? step / top : 1.0);
    }
    return cosine_between(rate.peak, start / rate.end_divisor, (step - top) / (end - top));
}

double warmup_cosine(const LearningRate& rate, double step) {
    const auto warmup = static_cast<double>(rate.warmup_steps);
    if (step < warmup) {
        return rate.peak * (step + 1.0) / warmup;
    }
    const double length = static_cast<double>(rate.total_steps) - warmup;
    const double progress = length > 0.0 ? std::min(1.0, (step - warmup) / length) : 1.0;
    return cosine_between(rate.peak, rate.final_ratio * rate.peak, progress);
}

}  // namespace

double LearningRate::at(std::int64_t step) const {
    const auto clamped = static_cast<double>(
        std::clamp<std::int64_t>(step, 0, std::max<std::int64_t>(total_steps, 1) - 1));
    switch (kind) {
        case LearningRateKind::kConstant:
            return peak;
        case LearningRateKind::kOneCycle:
            return one_cycle(*this, clamped);
        case LearningRateKind::kWarmupCosine:
            return warmup_cosine(*this, clamped);
    }
    return peak;
}

LearningRate LearningRate::from_json(JsonObject& object, std::int64_t total_steps) {
    constexpr double kSmallest = 1e-12;
    LearningRate rate;
    rate.total_steps = total_steps;
    const std::string kind =
        object.get_choice("kind", "one_cycle", {"one_cycle", "warmup_cosine", "constant"});
    rate.peak = object.get_number("peak", rate.peak, kSmallest, 100.0);
    if (kind == "one_cycle") {
        rate.warmup_fraction =
            object.get_number("warmup_fraction", rate.warmup_fraction, 1e-6, 0.999);
        rate.start_divisor = object.get_number("start_divisor", rate.start_divisor, 1.0, 1e12);
        rate.end_divisor = object.get_number("end_divisor", rate.end_divisor, 1.0, 1e12);
    } else if (kind == "warmup_cosine") {
        rate.kind = LearningRateKind::kWarmupCosine;
        rate.warmup_steps =
            object.get_int("warmup_steps", 0, 0, std::max<std::int64_t>(total_steps, 0));
        rate.final_ratio = object.get_number("final_ratio", rate.final_ratio, 0.0, 1.0);
    } else {
        rate.kind = LearningRateKind::kConstant;
    }
    return rate;
}

}  // namespace flagen::models
