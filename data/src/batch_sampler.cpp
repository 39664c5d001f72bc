#include "flagen/data/batch_sampler.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "flagen/data/counter_random.h"
#include "flagen/error.h"
#include "flagen/json_object.h"

namespace flagen::data {

BatchSampler::BatchSampler(std::vector<ResumableSampler> sections, std::int64_t batch_size)
    : sections_(std::move(sections)), batch_size_(batch_size) {
    FLAGEN_CHECK(!sections_.empty(), "a batch sampler needs a section");
    FLAGEN_CHECK(batch_size >= 1, "batch size ", batch_size);
    for (std::size_t i = 0; i < sections_.size(); ++i) {
        const SamplerOptions& options = sections_[i].options();
        FLAGEN_CHECK(sections_.size() == 1 || options.num_epochs < 0, "section ", i, " of ",
                     sections_.size(), " ends after ", options.num_epochs, " epochs");
        const std::int64_t num_batches = (options.num_examples + batch_size - 1) / batch_size;
        unshuffled_.insert(unshuffled_.end(), static_cast<std::size_t>(num_batches), i);
    }
}

std::size_t BatchSampler::section_of(std::int64_t batch) {
    if (sections_.size() == 1) {
        return 0;
    }
    const auto epoch_size = static_cast<std::int64_t>(unshuffled_.size());
    const std::int64_t epoch = batch / epoch_size;
    if (epoch != order_epoch_) {
        order_ = epoch_order(sections_.front().options().seed, epoch, epoch_size,
                             RandomPurpose::kSections);
        order_epoch_ = epoch;
    }
    const std::int64_t place = order_[static_cast<std::size_t>(batch % epoch_size)];
    return unshuffled_[static_cast<std::size_t>(place)];
}

std::optional<SampledBatch> BatchSampler::next() {
    SampledBatch batch;
    batch.section = section_of(num_batches_);
    ResumableSampler& section = sections_[batch.section];
    while (static_cast<std::int64_t>(batch.ids.size()) < batch_size_ && !section.done()) {
        batch.ids.push_back(section.next());
    }
    if (batch.ids.empty()) {
        return std::nullopt;
    }
    ++num_batches_;
    return batch;
}

BatchSamplerState BatchSampler::state() const {
    BatchSamplerState state;
    state.num_batches = num_batches_;
    for (const ResumableSampler& section : sections_) {
        state.sections.push_back(section.state());
    }
    return state;
}

void BatchSampler::restore(const BatchSamplerState& state) {
    FLAGEN_USER_CHECK(UserFault::kConfig, state.sections.size() == sections_.size(),
                      "the number of data sections changed since the state was saved: ",
                      state.sections.size(), " then, ", sections_.size(), " now");
    FLAGEN_CHECK(state.num_batches >= 0, "batches: ", state.num_batches);
    for (std::size_t i = 0; i < sections_.size(); ++i) {
        sections_[i].restore(state.sections[i]);
    }
    num_batches_ = state.num_batches;
}

std::string to_json_text(const BatchSamplerState& state) {
    JsonObject json;
    json.set("num_batches", state.num_batches);
    for (const SamplerState& section : state.sections) {
        JsonObject entry = json.append_object("sections");
        entry.set("seed", std::to_string(section.seed));
        entry.set("num_examples", section.num_examples);
        entry.set("num_consumed", section.num_consumed);
    }
    return json.dump();
}

BatchSamplerState batch_sampler_state_from_json(const std::string& text,
                                                const std::string& source_name) {
    JsonObject json = JsonObject::parse(text, source_name, UserFault::kInputFile);
    BatchSamplerState state;
    state.num_batches = json.require_int("num_batches", 0);
    for (JsonObject& entry : json.get_objects("sections")) {
        SamplerState section;
        const std::string seed = entry.require_string("seed");
        const auto [end, error] =
            std::from_chars(seed.data(), seed.data() + seed.size(), section.seed);
        if (error != std::errc() || end != seed.data() + seed.size() || seed.empty()) {
            entry.add_problem("seed", "not an unsigned 64-bit integer: \"" + seed + "\"");
        }
        section.num_examples = entry.require_int("num_examples", 1);
        section.num_consumed = entry.require_int("num_consumed", 0);
        state.sections.push_back(section);
    }
    json.finish();
    json.problems().throw_if_any(source_name, UserFault::kInputFile);
    return state;
}

}  // namespace flagen::data
