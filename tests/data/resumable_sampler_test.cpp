#include "flagen/data/resumable_sampler.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "flagen/error.h"
#include "genomics/user_error_of.h"

namespace flagen::data {
namespace {

using Ids = std::vector<std::pair<std::int64_t, std::int64_t>>;

SamplerOptions options_of(std::int64_t size, std::int64_t rank = 0, std::int64_t world = 1) {
    SamplerOptions options;
    options.num_examples = size;
    options.seed = 17;
    options.rank = rank;
    options.world = world;
    return options;
}

Ids draw(ResumableSampler& sampler, int count) {
    Ids ids;
    for (int i = 0; i < count; ++i) {
        const SampleId id = sampler.next();
        ids.emplace_back(id.epoch, id.index);
    }
    return ids;
}

TEST(ResumableSamplerTest, EachEpochHoldsEveryExampleOnceInAnotherOrder) {
    ResumableSampler sampler(options_of(11));
    Ids previous;
    for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
        Ids ids = draw(sampler, 11);
        std::set<std::int64_t> indices;
        for (auto& [of_epoch, index] : ids) {
            EXPECT_EQ(of_epoch, epoch);
            indices.insert(index);
            of_epoch = 0;
        }
        EXPECT_EQ(indices.size(), 11U);
        EXPECT_EQ(*indices.begin(), 0);
        EXPECT_EQ(*indices.rbegin(), 10);
        EXPECT_NE(ids, previous);
        previous = ids;
    }
}

TEST(ResumableSamplerTest, ResumeFromAnyPointEqualsTheUninterruptedStream) {
    ResumableSampler whole(options_of(7));
    const Ids expected = draw(whole, 40);
    for (int stop = 0; stop <= 30; ++stop) {
        ResumableSampler first(options_of(7));
        draw(first, stop);
        ResumableSampler second(options_of(7));
        draw(second, 3);  // whatever it did before
        second.restore(first.state());
        const Ids rest = draw(second, 10);
        EXPECT_EQ(rest, Ids(expected.begin() + stop, expected.begin() + stop + 10)) << stop;
    }
}

TEST(ResumableSamplerTest, RanksTakeDisjointSharesOfOneStreamWhateverTheWorld) {
    constexpr int kSteps = 30;
    ResumableSampler alone(options_of(13));
    const Ids stream = draw(alone, 3 * kSteps);
    for (const std::int64_t world : {1, 2, 3}) {
        Ids together(static_cast<std::size_t>(kSteps * world));
        for (std::int64_t rank = 0; rank < world; ++rank) {
            ResumableSampler sampler(options_of(13, rank, world));
            const Ids own = draw(sampler, kSteps);  // the same number of steps for all
            for (std::size_t step = 0; step < own.size(); ++step) {
                together[step * static_cast<std::size_t>(world) + static_cast<std::size_t>(rank)] =
                    own[step];
            }
            EXPECT_EQ(sampler.state().num_consumed, kSteps * world) << "the same for every rank";
        }
        EXPECT_EQ(together, Ids(stream.begin(), stream.begin() + kSteps * world)) << world;
    }
}

TEST(ResumableSamplerTest, ResumesUnderAnotherWorldSize) {
    ResumableSampler alone(options_of(10));
    const Ids stream = draw(alone, 24);
    ResumableSampler of_two(options_of(10, 1, 2));
    draw(of_two, 6);  // 12 of the stream by both ranks
    Ids together;
    std::vector<ResumableSampler> three;
    for (std::int64_t rank = 0; rank < 3; ++rank) {
        three.emplace_back(options_of(10, rank, 3));
        three.back().restore(of_two.state());
    }
    for (int step = 0; step < 4; ++step) {
        for (ResumableSampler& sampler : three) {
            const SampleId id = sampler.next();
            together.emplace_back(id.epoch, id.index);
        }
    }
    EXPECT_EQ(together, Ids(stream.begin() + 12, stream.end()));
}

TEST(ResumableSamplerTest, FiniteSamplerEndsAfterAllRanksCoveredEachExample) {
    Ids seen;
    for (std::int64_t rank = 0; rank < 3; ++rank) {
        SamplerOptions options = options_of(10, rank, 3);
        options.shuffle = false;
        options.num_epochs = 1;
        ResumableSampler sampler(options);
        while (!sampler.done()) {
            const SampleId id = sampler.next();
            EXPECT_EQ(id.index % 3, rank);
            seen.emplace_back(id.epoch, id.index);
        }
        EXPECT_THROW(static_cast<void>(sampler.next()), Error);
    }
    std::sort(seen.begin(), seen.end());
    Ids expected;
    for (std::int64_t i = 0; i < 10; ++i) {
        expected.emplace_back(0, i);
    }
    EXPECT_EQ(seen, expected);
}

TEST(ResumableSamplerTest, RefusesAStateOfOtherDataOrSeed) {
    ResumableSampler sampler(options_of(10));
    FLAGEN_EXPECT_USER_ERROR(sampler.restore({17, 9, 0}), kConfig, "9 then, 10 now");
    FLAGEN_EXPECT_USER_ERROR(sampler.restore({18, 10, 0}), kConfig, "seed changed", "18 then");
    EXPECT_THROW(sampler.restore({17, 10, -1}), Error);
}

TEST(ResumableSamplerTest, RejectsImpossibleOptions) {
    EXPECT_THROW(ResumableSampler(options_of(0)), Error);
    EXPECT_THROW(ResumableSampler(options_of(5, 2, 2)), Error);
    EXPECT_THROW(ResumableSampler(options_of(5, -1, 2)), Error);
    EXPECT_THROW(ResumableSampler(options_of(5, 0, 0)), Error);
}

}  // namespace
}  // namespace flagen::data
