#include "ordered_prefetcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace flagen::data {
namespace {

using namespace std::chrono_literals;

using Prefetcher = OrderedPrefetcher<int, std::string>;

Prefetcher::Draw count_to(int end) {
    return [next = std::make_shared<int>(0), end]() -> std::optional<int> {
        return *next < end ? std::optional<int>((*next)++) : std::nullopt;
    };
}

/// Slow for even tickets, so that the odd ones overtake them.
std::string slow_for_even(const int& ticket) {
    if (ticket % 2 == 0) {
        std::this_thread::sleep_for(2ms);
    }
    return std::to_string(ticket);
}

std::vector<std::string> drain(Prefetcher& prefetcher) {
    std::vector<std::string> items;
    while (auto item = prefetcher.next()) {
        items.push_back(std::move(*item));
    }
    return items;
}

TEST(OrderedPrefetcherTest, OrderIsThatOfTheTicketsForAnyNumberOfThreads) {
    std::vector<std::string> expected;
    for (int i = 0; i < 40; ++i) {
        expected.push_back(std::to_string(i));
    }
    for (const std::size_t threads : {0U, 1U, 2U, 5U}) {
        for (const std::size_t depth : {1U, 3U, 100U}) {
            Prefetcher prefetcher(count_to(40), slow_for_even, threads, depth);
            EXPECT_EQ(drain(prefetcher), expected) << threads << " threads, depth " << depth;
            EXPECT_FALSE(prefetcher.next().has_value()) << "stays at its end";
        }
    }
}

TEST(OrderedPrefetcherTest, NeverMakesMoreThanTheDepthAhead) {
    std::atomic<int> made{0};
    Prefetcher prefetcher(
        count_to(100),
        [&](const int& ticket) {
            ++made;
            return std::to_string(ticket);
        },
        3, 4);
    for (int taken = 0; taken < 10; ++taken) {
        std::this_thread::sleep_for(10ms);
        EXPECT_LE(made.load(), taken + 4);
        EXPECT_EQ(prefetcher.next(), std::to_string(taken));
    }
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(made.load(), 14) << "and does make that many";
}

TEST(OrderedPrefetcherTest, WorksInSeveralThreadsAtOnce) {
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
    Prefetcher prefetcher(
        count_to(30),
        [&](const int& ticket) {
            const int now = ++inside;
            int seen = most.load();
            while (now > seen && !most.compare_exchange_weak(seen, now)) {
            }
            std::this_thread::sleep_for(3ms);
            --inside;
            return std::to_string(ticket);
        },
        3, 8);
    EXPECT_EQ(drain(prefetcher).size(), 30U);
    EXPECT_EQ(most.load(), 3);
}

TEST(OrderedPrefetcherTest, FailureComesInItsPlaceAndStays) {
    for (const std::size_t threads : {0U, 1U, 4U}) {
        Prefetcher prefetcher(
            count_to(100),
            [](const int& ticket) {
                if (ticket == 7) {
                    throw std::runtime_error("ticket 7");
                }
                return slow_for_even(ticket);
            },
            threads, 6);
        for (int i = 0; i < 7; ++i) {
            EXPECT_EQ(prefetcher.next(), std::to_string(i));
        }
        for (int again = 0; again < 2; ++again) {
            try {
                prefetcher.next();
                FAIL() << "no exception with " << threads << " threads";
            } catch (const std::runtime_error& error) {
                EXPECT_STREQ(error.what(), "ticket 7");
            }
        }
    }
}

TEST(OrderedPrefetcherTest, FailureOfTheDrawComesAfterAllItemsBefore) {
    for (const std::size_t threads : {0U, 3U}) {
        Prefetcher prefetcher(
            [next = std::make_shared<int>(0)]() -> std::optional<int> {
                if (*next == 5) {
                    throw std::runtime_error("no sixth");
                }
                return (*next)++;
            },
            slow_for_even, threads, 4);
        for (int i = 0; i < 5; ++i) {
            EXPECT_EQ(prefetcher.next(), std::to_string(i));
        }
        EXPECT_THROW(prefetcher.next(), std::runtime_error);
    }
}

TEST(OrderedPrefetcherTest, StopsCleanlyAtAnyMoment) {
    for (int taken = 0; taken < 6; ++taken) {
        Prefetcher prefetcher(count_to(1'000'000), slow_for_even, 4, 3);
        for (int i = 0; i < taken; ++i) {
            EXPECT_TRUE(prefetcher.next().has_value());
        }
    }
}

}  // namespace
}  // namespace flagen::data
