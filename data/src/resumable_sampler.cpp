#include "flagen/data/resumable_sampler.h"

#include "flagen/data/counter_random.h"
#include "flagen/error.h"

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

}  // namespace flagen::data
