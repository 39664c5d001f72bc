#include "flagen/data/resumable_sampler.h"

#include <charconv>
#include <system_error>

#include "flagen/data/counter_random.h"
#include "flagen/error.h"
#include "flagen/json_object.h"

namespace flagen::data {

ResumableSampler::ResumableSampler(const SamplerOptions& options) : options_(options) {
    FLAGEN_CHECK(options.num_examples >= 1, "examples: ", options.num_examples);
    FLAGEN_CHECK(options.world >= 1, "world size ", options.world);
    FLAGEN_CHECK(options.rank >= 0 && options.rank < options.world, "rank ", options.rank,
                 " of a world of ", options.world);
    FLAGEN_CHECK(options.num_epochs >= -1, "epochs: ", options.num_epochs);
}

bool ResumableSampler::done() const {
    if (options_.num_epochs < 0) {
        return false;
    }
    return num_consumed_ + options_.rank >= options_.num_epochs * options_.num_examples;
}

SampleId ResumableSampler::next() {
    FLAGEN_CHECK(!done(), "no sample left after ", num_consumed_);
    const std::int64_t position = num_consumed_ + options_.rank;
    SampleId id{position / options_.num_examples, position % options_.num_examples};
    if (options_.shuffle) {
        if (id.epoch != order_epoch_) {
            order_ = epoch_order(options_.seed, id.epoch, options_.num_examples);
            order_epoch_ = id.epoch;
        }
        id.index = order_[static_cast<std::size_t>(id.index)];
    }
    num_consumed_ += options_.world;
    return id;
}

SamplerState ResumableSampler::state() const {
    return {options_.seed, options_.num_examples, num_consumed_};
}

void ResumableSampler::restore(const SamplerState& state) {
    FLAGEN_USER_CHECK(UserFault::kConfig, state.num_examples == options_.num_examples,
                      "the number of training windows changed since the state was saved: ",
                      state.num_examples, " then, ", options_.num_examples,
                      " now; resume with the data and configuration of the saved run");
    FLAGEN_USER_CHECK(UserFault::kConfig, state.seed == options_.seed,
                      "the seed changed since the state was saved: ", state.seed, " then, ",
                      options_.seed, " now; resume with the seed of the saved run");
    FLAGEN_CHECK(state.num_consumed >= 0, "consumed: ", state.num_consumed);
    num_consumed_ = state.num_consumed;
}

std::string to_json_text(const SamplerState& state) {
    JsonObject json;
    json.set("seed", std::to_string(state.seed));
    json.set("num_examples", state.num_examples);
    json.set("num_consumed", state.num_consumed);
    return json.dump();
}

SamplerState sampler_state_from_json(const std::string& text, const std::string& source_name) {
    JsonObject json = JsonObject::parse(text, source_name, UserFault::kInputFile);
    SamplerState state;
    const std::string seed = json.require_string("seed");
    const auto [end, error] = std::from_chars(seed.data(), seed.data() + seed.size(), state.seed);
    if (error != std::errc() || end != seed.data() + seed.size() || seed.empty()) {
        json.add_problem("seed", "not an unsigned 64-bit integer: \"" + seed + "\"");
    }
    state.num_examples = json.require_int("num_examples", 1);
    state.num_consumed = json.require_int("num_consumed", 0);
    json.finish();
    json.problems().throw_if_any(source_name, UserFault::kInputFile);
    return state;
}

}  // namespace flagen::data
