#include "flagen/data/prefetch_loader.h"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "flagen/error.h"
#include "ordered_prefetcher.h"

namespace flagen::data {
namespace {

/// The samples of one batch, and where the sampler stands after them.
struct BatchTicket {
    SampledBatch batch;
    BatchSamplerState state_after;
};

}  // namespace

struct PrefetchLoader::State {
    State(std::vector<LoaderSection> sections_, const BatchSampler& sampler_,
          const LoaderOptions& options)
        : sections(std::move(sections_)),
          sampler(sampler_),
          delivered(sampler.state()),
          pin_memory(options.pin_memory),
          prefetcher([this] { return draw(); },
                     [this](const BatchTicket& ticket) { return make(ticket); },
                     static_cast<std::size_t>(options.num_threads),
                     static_cast<std::size_t>(options.queue_depth)) {}

    std::optional<BatchTicket> draw() {
        std::optional<SampledBatch> batch = sampler.next();
        if (!batch) {
            return std::nullopt;
        }
        return BatchTicket{std::move(*batch), sampler.state()};
    }

    [[nodiscard]] Batch make(const BatchTicket& ticket) const {
        const LoaderSection& section = sections[ticket.batch.section];
        std::vector<WindowExample> examples;
        examples.reserve(ticket.batch.ids.size());
        for (const SampleId& id : ticket.batch.ids) {
            examples.push_back(section.source->example(id));
        }
        Batch batch = collate(examples, section.targets.get());
        if (pin_memory) {
            for (at::Tensor* tensor :
                 {&batch.tokens, &batch.tracks, &batch.genes.targets, &batch.genes.mask}) {
                if (tensor->defined() && tensor->numel() > 0) {
                    *tensor = tensor->pin_memory();
                }
            }
        }
        batch.section = ticket.batch.section;
        batch.sampler_state = ticket.state_after;
        return batch;
    }

    std::vector<LoaderSection> sections;
    BatchSampler sampler;  // only in draw()
    BatchSamplerState delivered;
    bool pin_memory;
    // Last, so that its threads end before what they use.
    OrderedPrefetcher<BatchTicket, Batch> prefetcher;
};

PrefetchLoader::PrefetchLoader(std::vector<LoaderSection> sections, const BatchSampler& sampler,
                               const LoaderOptions& options) {
    FLAGEN_CHECK(options.num_threads >= 0, "threads: ", options.num_threads);
    FLAGEN_CHECK(options.queue_depth >= 1, "queue depth ", options.queue_depth);
    FLAGEN_CHECK_EQ(sections.size(), sampler.sections().size(), "sections and sampler differ");
    for (std::size_t i = 0; i < sections.size(); ++i) {
        FLAGEN_CHECK_EQ(sections[i].source->num_examples(),
                        sampler.sections()[i].options().num_examples, "source and sampler differ");
    }
    state_ = std::make_unique<State>(std::move(sections), sampler, options);
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

BatchSamplerState PrefetchLoader::sampler_state() const { return state_->delivered; }

}  // namespace flagen::data
