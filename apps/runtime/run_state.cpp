#include "apps/runtime/run_state.h"

#include <cmath>

#include "flagen/error.h"
#include "flagen/json_object.h"

namespace flagen::apps {

std::string RunState::to_json_text() const {
    JsonObject root;
    root.set("sampler", data::to_json_text(sampler));
    if (std::isfinite(best_score)) {
        root.set("best_score", best_score);
    }
    root.set("validations_without_best", validations_without_best);
    for (const StepSums& section : sums) {
        JsonObject entry = root.append_object("sums");
        entry.set("loss", section.loss);
        entry.set("gradient_norm", section.gradient_norm);
        entry.set("num_steps", section.num_steps);
        if (section.num_skipped > 0) {
            entry.set("num_skipped", section.num_skipped);
        }
    }
    root.set("stopped_early", stopped_early);
    if (scaler) {
        JsonObject entry = root.set_object("loss_scale");
        entry.set("factor", scaler->factor);
        entry.set("finite_steps", scaler->finite_steps);
    }
    return root.dump();
}

RunState RunState::from_json_text(const std::string& text, std::size_t num_sections, const std::string& source) {
    JsonObject root = JsonObject::parse(text, source, UserFault::kInputFile);
    RunState state;
    state.sampler = data::batch_sampler_state_from_json(root.require_string("sampler"), source);
    state.best_score = root.get_number("best_score", state.best_score);
    state.validations_without_best = root.require_int("validations_without_best", 0);
    for (JsonObject& entry : root.get_objects("sums")) {
        StepSums section;
        section.loss = entry.require_number("loss");
        section.gradient_norm = entry.require_number("gradient_norm");
        section.num_steps = entry.require_int("num_steps", 0);
        section.num_skipped = entry.get_int("num_skipped", 0, 0);
        state.sums.push_back(section);
    }
    state.stopped_early = root.require_bool("stopped_early");
    if (root.has("loss_scale")) {
        JsonObject entry = root.get_object("loss_scale");
        state.scaler.emplace();
        state.scaler->factor = entry.require_number("factor");
        state.scaler->finite_steps = entry.require_int("finite_steps", 0);
    }
    root.finish();
    if (state.sums.size() != num_sections) {
        root.add_problem("sums", detail::concatenate(state.sums.size(), " sections, expected ", num_sections));
    }
    root.problems().throw_if_any(source, UserFault::kInputFile);
    return state;
}

}  // namespace flagen::apps
