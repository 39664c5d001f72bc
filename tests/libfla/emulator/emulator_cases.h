#pragma once

#include <gmock/gmock.h>

#include <ostream>
#include <string>
#include <vector>

#include "device/device_layer.h"

namespace fla::emu {

/// Prints an order in the names of test cases.
inline void PrintTo(Order order, std::ostream* out) {
    constexpr const char* kNames[] = {"ascending", "descending", "random"};
    *out << kNames[int(order)];
}

}  // namespace fla::emu

namespace fla::device::testing {

inline constexpr emu::Order kOrders[] = {emu::Order::kAscending, emu::Order::kDescending,
                                         emu::Order::kRandom};

enum class Races { kIgnore, kCheck };

/// Makes the launch of one block of one dimension.
inline emu::Launch block_of(unsigned threads, emu::Order order = emu::Order::kAscending,
                            Races races = Races::kIgnore) {
    emu::Launch config;
    config.block.x = threads;
    config.order = order;
    config.seed = 5;
    config.check_races = races == Races::kCheck;
    config.dynamic_smem_bytes = 64 << 10;
    return config;
}

/// Returns the message of the error that the launch ends with, "" where it ends well.
template <class... Params, class... Args>
std::string error_of(const emu::Launch& config, void (*kernel)(Params...), Args... args) {
    try {
        emu::launch(config, kernel, args...);
        return "";
    } catch (const emu::Error& e) {
        return e.what();
    }
}

/// A run of a kernel with a planted fault: the error, or whether the result was right.
inline constexpr const char* kNotSeen = "the result is right";
struct Outcome {
    emu::Order order;
    Races races;
    std::string text;
};

/// Calls run(launch) in each order, without and with the race detector; run returns the text.
template <class Run>
std::vector<Outcome> outcomes(unsigned threads, Run run) {
    std::vector<Outcome> all;
    for (const emu::Order order : kOrders) {
        for (const Races races : {Races::kIgnore, Races::kCheck}) {
            all.push_back({order, races, run(block_of(threads, order, races))});
        }
    }
    return all;
}

/// Expects the fault to be seen in every run, and one run with the race detector to say `part`.
/// Without the detector a fault may stay unseen where only that can see it.
inline void expect_seen(const std::vector<Outcome>& all, const std::string& part,
                        bool only_by_detector = false) {
    bool said = false;
    for (const Outcome& o : all) {
        const bool races = o.races == Races::kCheck;
        if (races || !only_by_detector) {
            EXPECT_NE(o.text, kNotSeen)
                << "order " << ::testing::PrintToString(o.order) << ", races " << races;
        }
        said |= races && o.text.find(part) != std::string::npos;
    }
    EXPECT_TRUE(said) << "no run says: " << part << "\nthe last one: " << all.back().text;
}

}  // namespace fla::device::testing
