#include "flagen/data/counter_random.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "flagen/error.h"

namespace flagen::data {
namespace {

using ::testing::ElementsAre;

// Known answers of philox4x32-10 from the authors' Random123 distribution (kat_vectors).
TEST(CounterRandomTest, PhiloxEqualsThePublishedKnownAnswers) {
    EXPECT_THAT(philox4x32({0, 0, 0, 0}, {0, 0}),
                ElementsAre(0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U));
    constexpr std::uint32_t kOnes = 0xffffffffU;
    EXPECT_THAT(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
                ElementsAre(0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU));
    EXPECT_THAT(philox4x32({0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U},
                           {0xa4093822U, 0x299f31d0U}),
                ElementsAre(0xd16cfe09U, 0x94fdcceb, 0x5001e420U, 0x24126ea1U));
}

TEST(CounterRandomTest, StreamHasTheDocumentedCounterLayout) {
    CounterRandom random(0x0123456789abcdefU, RandomPurpose::kMutation, 7,
                         (std::int64_t{5} << 32) | 9);
    for (std::uint32_t block = 0; block < 3; ++block) {
        const auto expected =
            philox4x32({block, 7, 9, (2U << 24) | 5U}, {0x89abcdefU, 0x01234567U});
        for (const std::uint32_t word : expected) {
            EXPECT_EQ(random.next_u32(), word);
        }
    }
}

TEST(CounterRandomTest, EveryPartOfTheNameChangesTheStream) {
    std::set<std::uint64_t> first;
    for (const std::uint64_t seed : {0U, 1U}) {
        for (const auto purpose : {RandomPurpose::kShuffle, RandomPurpose::kPlacement}) {
            for (const std::int64_t epoch : {0, 1}) {
                for (const std::int64_t index :
                     {std::int64_t{0}, std::int64_t{1}, std::int64_t{1} << 40}) {
                    first.insert(CounterRandom(seed, purpose, epoch, index).next_u64());
                }
            }
        }
    }
    EXPECT_EQ(first.size(), 24U);
}

TEST(CounterRandomTest, RejectsNamesThatWouldShareACounter) {
    EXPECT_THROW(CounterRandom(0, RandomPurpose::kShuffle, -1, 0), Error);
    EXPECT_THROW(CounterRandom(0, RandomPurpose::kShuffle, std::int64_t{1} << 32, 0), Error);
    EXPECT_THROW(CounterRandom(0, RandomPurpose::kShuffle, 0, std::int64_t{1} << 56), Error);
    EXPECT_THROW(CounterRandom(0, RandomPurpose::kShuffle, 0, -1), Error);
}

TEST(CounterRandomTest, BelowIsUniform) {
    // Chi-square with 12 degrees of freedom: 32.9 is passed once in 1000 fair streams, and this one
    // is fixed.
    constexpr int kBins = 13;
    constexpr int kDraws = 130'000;
    std::array<int, kBins> counts{};
    CounterRandom random(3, RandomPurpose::kPlacement, 0, 0);
    for (int i = 0; i < kDraws; ++i) {
        ++counts.at(static_cast<std::size_t>(random.below(kBins)));
    }
    double chi_square = 0.0;
    for (const int count : counts) {
        const double difference = count - kDraws / kBins;
        chi_square += difference * difference / (kDraws / kBins);
    }
    EXPECT_LT(chi_square, 32.9);
}

TEST(CounterRandomTest, BetweenReachesBothEndsAndNothingElse) {
    CounterRandom random(1, RandomPurpose::kPlacement, 0, 0);
    std::set<std::int64_t> seen;
    for (int i = 0; i < 1000; ++i) {
        seen.insert(random.between(-2, 2));
    }
    EXPECT_THAT(seen, ElementsAre(-2, -1, 0, 1, 2));
    EXPECT_EQ(random.between(5, 5), 5);
    EXPECT_THROW(static_cast<void>(random.between(2, 1)), Error);
    EXPECT_THROW(static_cast<void>(random.below(0)), Error);
}

TEST(CounterRandomTest, EpochOrderIsAPermutationThatDiffersByEpochAndSeed) {
    const auto order = epoch_order(9, 4, 1000);
    auto sorted = order;
    std::sort(sorted.begin(), sorted.end());
    std::vector<std::int64_t> all(1000);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(sorted, all);
    EXPECT_NE(order, all);
    EXPECT_EQ(order, epoch_order(9, 4, 1000));
    EXPECT_NE(order, epoch_order(9, 5, 1000));
    EXPECT_NE(order, epoch_order(8, 4, 1000));
    EXPECT_TRUE(epoch_order(1, 1, 0).empty());
}

TEST(CounterRandomTest, EveryPermutationOfFourIsEquallyLikely) {
    std::map<std::vector<std::int64_t>, int> counts;
    constexpr int kEpochs = 24'000;
    for (int epoch = 0; epoch < kEpochs; ++epoch) {
        ++counts[epoch_order(5, epoch, 4)];
    }
    EXPECT_EQ(counts.size(), 24U);
    double chi_square = 0.0;
    for (const auto& [order, count] : counts) {
        chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
    }
    EXPECT_LT(chi_square, 49.7);  // 23 degrees of freedom, 0.1 %
}

}  // namespace
}  // namespace flagen::data
