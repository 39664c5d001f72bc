#include "flagen/data/prefetch_loader.h"

#include <utility>
#include <vector>

#include "flagen/error.h"
#include "ordered_prefetcher.h"

namespace flagen::data {
namespace {

/// The samples of one batch, and where the sampler stands after them.
struct BatchTicket {
    std::vector<SampleId> ids;
    SamplerState state_after;
};

}  // namespace

struct PrefetchLoader::State {
    State(std::shared_ptr<const ExampleSource> source_, const ResumableSampler& sampler_,
          std::shared_ptr<const TargetTable> targets_, const LoaderOptions& options)
        : source(std::move(source_)),
          sampler(sampler_),
          targets(std::move(targets_)),
          batch_size(options.batch_size),
          delivered(sampler.state()),
          prefetcher([this] { return draw(); },
                     [this](const BatchTicket& ticket) { return make(ticket); },
                     static_cast<std::size_t>(options.num_threads),
                     static_cast<std::size_t>(options.queue_depth)) {}

    std::optional<BatchTicket> draw() {
        BatchTicket ticket;
        while (static_cast<std::int64_t>(ticket.ids.size()) < batch_size && !sampler.done()) {
            ticket.ids.push_back(sampler.next());
        }
        if (ticket.ids.empty()) {
            return std::nullopt;
        }
        ticket.state_after = sampler.state();
        return ticket;
    }

    Batch make(const BatchTicket& ticket) const {
        std::vector<WindowExample> examples;
        examples.reserve(ticket.ids.size());
        for (const SampleId& id : ticket.ids) {
            examples.push_back(source->example(id));
        }
        Batch batch = collate(examples, targets.get());
        batch.sampler_state = ticket.state_after;
        return batch;
    }

    std::shared_ptr<const ExampleSource> source;
    ResumableSampler sampler;  // only in draw()
    std::shared_ptr<const TargetTable> targets;
    std::int64_t batch_size;
    SamplerState delivered;
    // Last, so that its threads end before what they use.
    OrderedPrefetcher<BatchTicket, Batch> prefetcher;
};

PrefetchLoader::PrefetchLoader(std::shared_ptr<const ExampleSource> source,
                               const ResumableSampler& sampler,
                               std::shared_ptr<const TargetTable> targets,
                               const LoaderOptions& options) {
    FLAGEN_CHECK(options.batch_size >= 1, "batch size ", options.batch_size);
    FLAGEN_CHECK(options.num_threads >= 0, "threads: ", options.num_threads);
    FLAGEN_CHECK(options.queue_depth >= 1, "queue depth ", options.queue_depth);
    FLAGEN_CHECK_EQ(source->num_examples(), sampler.options().num_examples,
                    "source and sampler differ");
    state_ = std::make_unique<State>(std::move(source), sampler, std::move(targets), options);
}

PrefetchLoader::~PrefetchLoader() = default;
PrefetchLoader::PrefetchLoader(PrefetchLoader&&) noexcept = default;
PrefetchLoader& PrefetchLoader::operator=(PrefetchLoader&&) noexcept = default;

std::optional<Batch> PrefetchLoader::next() {
    std::optional<Batch> batch = state_->prefetcher.next();
    if (batch.has_value()) {
        state_->delivered = batch->sampler_state;
    }
    return batch;
}

SamplerState PrefetchLoader::sampler_state() const { return state_->delivered; }

}  // namespace flagen::data
