#include "flagen/data/batch_sampler.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "flagen/error.h"
#include "genomics/user_error_of.h"

namespace flagen::data {
namespace {

using ::testing::ElementsAre;

ResumableSampler section_of(std::int64_t size, std::uint64_t seed = 17, std::int64_t rank = 0,
                            std::int64_t world = 1) {
    SamplerOptions options;
    options.num_examples = size;
    options.seed = seed;
    options.rank = rank;
    options.world = world;
    return ResumableSampler(options);
}

std::vector<SampledBatch> draw(BatchSampler& sampler, int count) {
    std::vector<SampledBatch> batches;
    for (int i = 0; i < count; ++i) {
        batches.push_back(sampler.next().value());
    }
    return batches;
}

std::vector<std::size_t> sections_of(const std::vector<SampledBatch>& batches) {
    std::vector<std::size_t> sections;
    for (const SampledBatch& batch : batches) {
        sections.push_back(batch.section);
    }
    return sections;
}

bool equal(const std::vector<SampledBatch>& a, const std::vector<SampledBatch>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        return x.section == y.section && x.ids == y.ids;
    });
}

TEST(BatchSamplerTest, OneSectionIsItsOwnStreamCutIntoBatches) {
    ResumableSampler alone = section_of(7);
    BatchSampler sampler({section_of(7)}, 3);
    for (const SampledBatch& batch : draw(sampler, 10)) {
        EXPECT_EQ(batch.section, 0U);
        ASSERT_EQ(batch.ids.size(), 3U);
        for (const SampleId& id : batch.ids) {
            EXPECT_EQ(id, alone.next());
        }
    }
}

TEST(BatchSamplerTest, SectionsComeInProportionToTheirSizesAndShuffled) {
    BatchSampler sampler({section_of(20), section_of(7, 18)}, 2);  // 10 and 4 batches an epoch
    std::set<std::vector<std::size_t>> orders;
    for (int epoch = 0; epoch < 5; ++epoch) {
        const auto sections = sections_of(draw(sampler, 14));
        EXPECT_EQ(std::count(sections.begin(), sections.end(), 0U), 10);
        EXPECT_EQ(std::count(sections.begin(), sections.end(), 1U), 4);
        EXPECT_FALSE(std::is_sorted(sections.begin(), sections.end()));
        orders.insert(sections);
    }
    EXPECT_EQ(orders.size(), 5U) << "every joint epoch has an order of its own";
}

TEST(BatchSamplerTest, EachSectionGoesThroughItsOwnStreamWhateverComesBetween) {
    BatchSampler sampler({section_of(9), section_of(5, 18), section_of(4, 19)}, 2);
    std::vector<ResumableSampler> alone = {section_of(9), section_of(5, 18), section_of(4, 19)};
    for (const SampledBatch& batch : draw(sampler, 60)) {
        for (const SampleId& id : batch.ids) {
            EXPECT_EQ(id, alone[batch.section].next());
        }
    }
}

TEST(BatchSamplerTest, TheOrderIsAFunctionOfSeedAndSizesAlone) {
    BatchSampler sampler({section_of(12), section_of(12, 18)}, 2);
    BatchSampler again({section_of(12), section_of(12, 18)}, 2);
    BatchSampler other({section_of(12, 5), section_of(12, 18)}, 2);
    const auto batches = draw(sampler, 36);
    EXPECT_TRUE(equal(draw(again, 36), batches));
    EXPECT_NE(sections_of(draw(other, 36)), sections_of(batches));
    // Shuffled by Philox4x32-10 and Fisher-Yates as written anew in Python.
    EXPECT_THAT(sections_of({batches.begin(), batches.begin() + 12}),
                ElementsAre(1, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0));
    EXPECT_THAT(sections_of({batches.begin() + 12, batches.begin() + 24}),
                ElementsAre(0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 0));
}

TEST(BatchSamplerTest, ResumeFromAnyBatchEqualsTheUninterruptedStream) {
    const BatchSampler fresh({section_of(8), section_of(5, 18)}, 2);
    BatchSampler whole = fresh;
    const auto expected = draw(whole, 50);
    for (int stop = 0; stop <= 40; ++stop) {
        BatchSampler first = fresh;
        draw(first, stop);
        const std::string saved = to_json_text(first.state());
        BatchSampler second = fresh;
        draw(second, 3);  // whatever it did before
        second.restore(batch_sampler_state_from_json(saved, "state.json"));
        EXPECT_TRUE(
            equal(draw(second, 10), {expected.begin() + stop, expected.begin() + stop + 10}))
            << stop;
    }
}

TEST(BatchSamplerTest, RanksAgreeOnTheSectionAndShareItsExamples) {
    BatchSampler alone({section_of(10), section_of(6, 18)}, 4);
    for (const std::int64_t world : {1, 2}) {
        std::vector<std::vector<SampledBatch>> ranks;
        for (std::int64_t rank = 0; rank < world; ++rank) {
            BatchSampler sampler(
                {section_of(10, 17, rank, world), section_of(6, 18, rank, world)}, 4);
            ranks.push_back(draw(sampler, 24));
        }
        for (const auto& rank : ranks) {
            EXPECT_EQ(sections_of(rank), sections_of(ranks.front()));
        }
        const std::set<std::int64_t> firsts = {ranks.front()[0].ids[0].index,
                                               ranks.back()[0].ids[0].index};
        EXPECT_EQ(firsts.size(), static_cast<std::size_t>(world));
    }
}

TEST(BatchSamplerTest, OneEndingSectionEndsWithASmallerBatch) {
    SamplerOptions options;
    options.num_examples = 5;
    options.num_epochs = 1;
    BatchSampler sampler({ResumableSampler(options)}, 2);
    EXPECT_EQ(sampler.next()->ids.size(), 2U);
    EXPECT_EQ(sampler.next()->ids.size(), 2U);
    EXPECT_EQ(sampler.next()->ids.size(), 1U);
    EXPECT_FALSE(sampler.next().has_value());
    EXPECT_EQ(sampler.state().num_batches, 3);
    EXPECT_THROW(BatchSampler({ResumableSampler(options), section_of(3)}, 2), Error);
}

TEST(BatchSamplerTest, RefusesAStateOfOtherSections) {
    BatchSampler sampler({section_of(10), section_of(4, 18)}, 1);
    FLAGEN_EXPECT_USER_ERROR(sampler.restore({0, {{17, 10, 0}}}), kConfig, "1 then, 2 now");
    FLAGEN_EXPECT_USER_ERROR(sampler.restore({0, {{17, 10, 0}, {18, 5, 0}}}), kConfig,
                             "5 then, 4 now");
    EXPECT_THROW(sampler.restore({-1, {{17, 10, 0}, {18, 4, 0}}}), Error);
}

TEST(BatchSamplerTest, StateTextKeepsAllBitsAndRefusesOtherText) {
    const BatchSamplerState state{7, {{0xfedcba9876543210U, 12, 34}, {1, 2, 3}}};
    EXPECT_EQ(batch_sampler_state_from_json(to_json_text(state), "x"), state);
    const std::string bad = R"({"num_batches":-1,"sections":[
        {"seed":"-1","num_examples":0,"num_consumed":1,"rank":0}]})";
    FLAGEN_EXPECT_USER_ERROR(
        batch_sampler_state_from_json(bad, "s.json"), kInputFile, "s.json: 4 problems", "num_batches", "seed", "num_examples", "rank");
    FLAGEN_EXPECT_USER_ERROR(batch_sampler_state_from_json("{", "s.json"), kInputFile, "s.json");
}

TEST(BatchSamplerTest, RejectsImpossibleOptions) {
    EXPECT_THROW(BatchSampler({}, 1), Error);
    EXPECT_THROW(BatchSampler({section_of(3)}, 0), Error);
}

}  // namespace
}  // namespace flagen::data
