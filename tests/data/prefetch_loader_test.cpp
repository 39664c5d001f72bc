#include "flagen/data/prefetch_loader.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <chrono>
#include <memory>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "flagen/error.h"

namespace flagen::data {
namespace {

using genomics::Strand;

constexpr std::int64_t kNumExamples = 23;
constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

/// Examples that tell their own names; some take longer than others.
class NumberedSource final : public ExampleSource {
  public:
    std::int64_t failing_index = -1;

    [[nodiscard]] std::int64_t num_examples() const override { return kNumExamples; }

    [[nodiscard]] WindowExample example(const SampleId& id) const override {
        if (id.index == failing_index) {
            throw std::runtime_error("example 5 is broken");
        }
        if (id.index % 3 == 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        WindowExample example;
        example.id = id;
        example.window = {"chr", id.index * 10, 8, Strand::kForward};
        example.tokens.assign(8, static_cast<std::uint8_t>(id.index));
        example.num_padded_bp = id.epoch;
        for (std::int64_t g = 0; g < id.index % 4; ++g) {
            PlacedGene gene{g, g, g + 2, g % 2 == 0 ? 1 : -1, {}};
            for (std::int64_t p = 0; p < g; ++p) {
                gene.pieces.push_back({p, p + 1});
            }
            example.genes.push_back(gene);
        }
        return example;
    }
};

BatchSampler sampler_of(std::int64_t batch_size, std::int64_t rank = 0, std::int64_t world = 1,
                        std::int64_t epochs = -1) {
    SamplerOptions options;
    options.num_examples = kNumExamples;
    options.seed = 3;
    options.rank = rank;
    options.world = world;
    options.num_epochs = epochs;
    return BatchSampler({ResumableSampler(options)}, batch_size);
}

std::shared_ptr<TargetTable> table() {
    GeneTargets targets;
    targets.samples = {"a", "b"};
    targets.spans.resize(3);
    targets.values = at::tensor({1.0F, 3.0F, kMissing, 7.0F, 15.0F, 31.0F}).reshape({3, 2});
    return std::make_shared<TargetTable>(TargetTable::make(
        targets, TargetTransform::fit("log2p1", targets.values, {}, targets.samples)));
}

bool equal(const Batch& a, const Batch& b) {
    return at::equal(a.tokens, b.tokens) && a.windows == b.windows && a.ids == b.ids &&
           a.num_padded_bp == b.num_padded_bp && at::equal(a.genes.window, b.genes.window) &&
           at::equal(a.genes.start_bp, b.genes.start_bp) &&
           at::equal(a.genes.gene_index, b.genes.gene_index) &&
           at::equal(a.genes.targets, b.genes.targets) && at::equal(a.genes.mask, b.genes.mask) &&
           at::equal(a.genes.piece_offset, b.genes.piece_offset) &&
           a.sampler_state == b.sampler_state;
}

std::vector<Batch> take(PrefetchLoader& loader, int count) {
    std::vector<Batch> batches;
    for (int i = 0; i < count; ++i) {
        auto batch = loader.next();
        if (!batch.has_value()) {
            break;
        }
        batches.push_back(std::move(*batch));
    }
    return batches;
}

std::vector<std::int64_t> ints(const at::Tensor& tensor) {
    const auto* data = tensor.const_data_ptr<std::int64_t>();
    return {data, data + tensor.numel()};
}

TEST(PrefetchLoaderTest, CollateConcatenatesTheGenesOfAllWindows) {
    const NumberedSource source;
    const auto targets = table();
    const Batch batch = collate(
        {source.example({4, 3}), source.example({4, 0}), source.example({4, 2})}, targets.get());
    EXPECT_EQ(batch.tokens.sizes(), (std::vector<std::int64_t>{3, 8}));
    EXPECT_EQ(batch.tokens.scalar_type(), at::kByte);
    EXPECT_EQ(batch.tokens[2][7].item<int>(), 2);
    EXPECT_EQ(batch.windows[2].start_bp, 20);
    EXPECT_THAT(batch.num_padded_bp, ::testing::ElementsAre(4, 4, 4));
    const GeneRows& genes = batch.genes;
    EXPECT_THAT(ints(genes.window), ::testing::ElementsAre(0, 0, 0, 2, 2));
    EXPECT_THAT(ints(genes.gene_index), ::testing::ElementsAre(0, 1, 2, 0, 1));
    EXPECT_THAT(ints(genes.start_bp), ::testing::ElementsAre(0, 1, 2, 0, 1));
    EXPECT_THAT(ints(genes.end_bp), ::testing::ElementsAre(2, 3, 4, 2, 3));
    EXPECT_THAT(ints(genes.strand), ::testing::ElementsAre(1, -1, 1, 1, -1));
    EXPECT_THAT(ints(genes.piece_offset), ::testing::ElementsAre(0, 0, 1, 3, 3, 4));
    EXPECT_THAT(ints(genes.piece_start_bp), ::testing::ElementsAre(0, 0, 1, 0));
    EXPECT_THAT(ints(genes.piece_end_bp), ::testing::ElementsAre(1, 1, 2, 1));
    const at::Tensor wanted =
        at::tensor({1.0F, 2.0F, 0.0F, 3.0F, 4.0F, 5.0F, 1.0F, 2.0F, 0.0F, 3.0F}).reshape({5, 2});
    EXPECT_TRUE(at::equal(genes.targets, wanted)) << genes.targets;
    EXPECT_EQ(genes.mask.sum().item<int>(), 8);
    EXPECT_FALSE(genes.mask[1][0].item<bool>());
    EXPECT_FALSE(genes.mask[4][0].item<bool>());
}

TEST(PrefetchLoaderTest, CollateWithoutTargetsOrGenes) {
    const NumberedSource source;
    const Batch batch = collate({source.example({0, 0})}, nullptr);
    EXPECT_EQ(batch.genes.targets.sizes(), (std::vector<std::int64_t>{0, 0}));
    EXPECT_EQ(batch.genes.piece_offset.numel(), 1);
    EXPECT_EQ(batch.genes.window.numel(), 0);
    EXPECT_THROW(static_cast<void>(collate({}, nullptr)), Error);
    WindowExample longer = source.example({0, 1});
    longer.tokens.resize(9);
    EXPECT_THROW(static_cast<void>(collate({source.example({0, 0}), longer}, nullptr)), Error);
}

TEST(PrefetchLoaderTest, ThreadsAndDepthChangeNothing) {
    const auto source = std::make_shared<NumberedSource>();
    PrefetchLoader plain({{source, table()}}, sampler_of(4), {0, 1});
    const auto expected = take(plain, 20);
    ASSERT_EQ(expected.size(), 20U);
    for (const std::int64_t threads : {1, 2, 4}) {
        for (const std::int64_t depth : {1, 5}) {
            PrefetchLoader loader({{source, table()}}, sampler_of(4), {threads, depth});
            const auto found = take(loader, 20);
            ASSERT_EQ(found.size(), 20U);
            for (std::size_t i = 0; i < found.size(); ++i) {
                EXPECT_TRUE(equal(found[i], expected[i])) << threads << " threads, batch " << i;
            }
        }
    }
}

TEST(PrefetchLoaderTest, ResumesAfterAnyDeliveredBatchInSpiteOfTheQueue) {
    const auto source = std::make_shared<NumberedSource>();
    PrefetchLoader whole({{source, table()}}, sampler_of(3), {2, 4});
    const auto expected = take(whole, 16);
    for (int stop = 0; stop <= 12; ++stop) {
        BatchSamplerState saved;
        {
            PrefetchLoader first({{source, table()}}, sampler_of(3), {2, 4});
            const auto batches = take(first, stop);
            saved = first.sampler_state();
            if (stop > 0) {
                EXPECT_EQ(batches.back().sampler_state, saved);
            }
        }
        BatchSampler sampler = sampler_of(3);
        sampler.restore(saved);
        PrefetchLoader second({{source, table()}}, sampler, {1, 2});
        const auto rest = take(second, 4);
        for (std::size_t i = 0; i < rest.size(); ++i) {
            EXPECT_TRUE(equal(rest[i], expected[static_cast<std::size_t>(stop) + i])) << stop;
        }
    }
}

TEST(PrefetchLoaderTest, BatchesComeFromTheSectionThatTheSamplerNames) {
    const auto first = std::make_shared<NumberedSource>();
    const auto second = std::make_shared<NumberedSource>();
    SamplerOptions options;
    options.num_examples = kNumExamples;
    const BatchSampler sampler({ResumableSampler(options), ResumableSampler(options)}, 2);
    BatchSampler expected = sampler;
    PrefetchLoader loader({{first, table()}, {second, nullptr}}, sampler, {3, 4});
    for (int i = 0; i < 40; ++i) {
        const Batch batch = loader.next().value();
        const SampledBatch wanted = expected.next().value();
        EXPECT_EQ(batch.section, wanted.section);
        EXPECT_EQ(batch.ids, wanted.ids);
        EXPECT_EQ(batch.sampler_state, expected.state());
        EXPECT_EQ(batch.genes.targets.size(1), batch.section == 0 ? 2 : 0) << "its own table";
    }
}

TEST(PrefetchLoaderTest, RanksCoverAnEpochTogether) {
    const auto source = std::make_shared<NumberedSource>();
    for (const std::int64_t world : {1, 2, 3}) {
        std::multiset<std::int64_t> seen;
        for (std::int64_t rank = 0; rank < world; ++rank) {
            PrefetchLoader loader({{source, nullptr}}, sampler_of(2, rank, world, 1), {2, 2});
            while (const auto batch = loader.next()) {
                for (const SampleId& id : batch->ids) {
                    seen.insert(id.index);
                }
            }
            EXPECT_FALSE(loader.next().has_value());
        }
        EXPECT_EQ(seen.size(), static_cast<std::size_t>(kNumExamples)) << world;
        EXPECT_EQ(std::set<std::int64_t>(seen.begin(), seen.end()).size(), seen.size());
    }
}

TEST(PrefetchLoaderTest, WorkersErrorComesOutAtItsPlace) {
    const auto source = std::make_shared<NumberedSource>();
    SamplerOptions options;
    options.num_examples = kNumExamples;
    options.shuffle = false;
    for (const std::int64_t threads : {0, 3}) {
        source->failing_index = 5;
        PrefetchLoader loader({{source, nullptr}}, BatchSampler({ResumableSampler(options)}, 2),
                              {threads, 4});
        EXPECT_EQ(loader.next()->ids[0].index, 0);
        EXPECT_EQ(loader.next()->ids[0].index, 2);
        for (int again = 0; again < 2; ++again) {
            try {
                static_cast<void>(loader.next());
                FAIL() << "no exception";
            } catch (const std::runtime_error& error) {
                EXPECT_STREQ(error.what(), "example 5 is broken");
            }
        }
        EXPECT_EQ(loader.sampler_state().sections[0].num_consumed, 4) << "what was delivered";
    }
}

TEST(PrefetchLoaderTest, RefusesImpossibleOptions) {
    const auto source = std::make_shared<NumberedSource>();
    const auto make = [&](const LoaderOptions& options) {
        return PrefetchLoader({{source, nullptr}}, sampler_of(1), options);
    };
    EXPECT_THROW(make({-1, 1}), Error);
    EXPECT_THROW(make({1, 0}), Error);
    SamplerOptions other;
    other.num_examples = 7;
    const BatchSampler of_other({ResumableSampler(other)}, 1);
    EXPECT_THROW(PrefetchLoader({{source, nullptr}}, of_other, {1, 1}), Error);
    EXPECT_THROW(PrefetchLoader({{source, nullptr}, {source, nullptr}}, sampler_of(1), {1, 1}),
                 Error);
}

}  // namespace
}  // namespace flagen::data
