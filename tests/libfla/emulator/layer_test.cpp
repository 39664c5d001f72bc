// The device layer on the CTA emulator: fragment maps, collectives, barriers, cp.async, and that
// each kind of misuse is reported.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "libfla/emulator/emulator_cases.h"
#include "libfla/emulator/layer_kernels.cuh"

namespace fla::device::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LayerInOrder : public ::testing::TestWithParam<emu::Order> {};

INSTANTIATE_TEST_SUITE_P(Orders, LayerInOrder, ::testing::ValuesIn(kOrders),
                         ::testing::PrintToStringParamName());

void expect_product(emu::Order order, void (*kernel)(float*), int inner) {
    std::vector<float> d(16 * 8);
    emu::launch(block_of(32, order), kernel, d.data());
    for (int i = 0; i < 16; ++i) {
        for (int j = 0; j < 8; ++j) {
            float sum = 1;
            for (int l = 0; l < inner; ++l) {
                sum += element(i, l) * element(l + 50, j);
            }
            EXPECT_EQ(d[std::size_t(i * 8 + j)], sum) << i << ", " << j;
        }
    }
}

TEST_P(LayerInOrder, MmaMultipliesItsFragments) {
    expect_product(GetParam(), mma_kernel<Bf16>, 16);
    expect_product(GetParam(), mma_kernel<Half>, 16);
    expect_product(GetParam(), mma_tf32_kernel, 8);
}

template <int kCount>
void expect_matrices(emu::Order order) {
    std::vector<std::uint32_t> out(32 * 2 * kCount);
    emu::launch(block_of(32, order, Races::kCheck), ldmatrix_kernel<kCount>, out.data());
    for (unsigned lane = 0; lane < 32; ++lane) {
        for (unsigned m = 0; m < kCount; ++m) {
            const std::uint32_t at = 100 * m + lane / 4 * 10 + lane % 4 * 2;
            const std::uint32_t at_trans = 100 * m + lane % 4 * 20 + lane / 4;
            const std::uint32_t* const mine = &out[lane * 2 * kCount];
            EXPECT_EQ(mine[m], at | (at + 1) << 16);
            EXPECT_EQ(mine[kCount + m], at_trans | (at_trans + 10) << 16);
        }
    }
}

TEST_P(LayerInOrder, LdmatrixLoadsOneTwoOrFourMatrices) {
    expect_matrices<1>(GetParam());
    expect_matrices<2>(GetParam());
    expect_matrices<4>(GetParam());
}

TEST_P(LayerInOrder, ShufflesAndVotes) {
    std::vector<int> out(32 * 8);
    emu::launch(block_of(32, GetParam()), shuffle_kernel, out.data());
    for (int lane = 0; lane < 32; ++lane) {
        const int* const x = &out[std::size_t(lane) * 8];
        EXPECT_EQ(x[0], 5);
        EXPECT_EQ(x[1], lane / 8 * 8 + (lane + 3) % 8);
        EXPECT_EQ(x[2], lane % 16 < 2 ? lane : lane - 2);
        EXPECT_EQ(x[3], lane > 28 ? lane : lane + 3);
        EXPECT_EQ(x[4], lane ^ 9);
        EXPECT_EQ(x[5], 0x49249249);
        EXPECT_EQ(x[6], 5);
        EXPECT_EQ(x[7], lane < 16 ? lane ^ 1 : lane ^ 2);
    }
}

TEST_P(LayerInOrder, NamedBarriersPassASlotToAndFro) {
    std::vector<int> passed(128);
    emu::launch(block_of(64, GetParam(), Races::kCheck), producer_kernel, passed.data());
    for (int i = 0; i < 128; ++i) {
        EXPECT_EQ(passed[std::size_t(i)], i / 32 * 100 + 31 - i % 32);
    }
}

TEST_P(LayerInOrder, VectorsOfEverySizeMoveThroughAPaddedTile) {
    std::vector<std::uint16_t> out(8 * 16);
    emu::launch(block_of(16, GetParam(), Races::kCheck), vector_kernel, out.data());
    for (int i = 0; i < 8 * 16; ++i) {
        EXPECT_EQ(out[std::size_t(i)], (7 - i / 16) * 100 + i % 16);
    }
}

TEST_P(LayerInOrder, CopiesHaveNoContentBeforeTheWait) {
    std::vector<float> in(320);
    for (std::size_t i = 0; i < in.size(); ++i) {
        in[i] = float(i + 1);
    }
    std::vector<float> out(352);
    emu::launch(block_of(32, GetParam()), copy_kernel<true>, in.data(), out.data());
    for (std::size_t i = 0; i < 320; ++i) {
        const bool copied = i < 128 || (i < 256 ? i % 4 < 2 : i % 4 != 1);
        EXPECT_EQ(out[i], copied ? in[i] : 0.0f) << i;
    }
    for (std::size_t i = 320; i < 352; ++i) {
        EXPECT_TRUE(std::isnan(out[i])) << i;
    }
}

TEST_P(LayerInOrder, WorkersShareTheBlocksOfAGrid) {
    emu::Launch config = block_of(0, GetParam(), Races::kCheck);
    config.grid = {3, 2};
    config.block = {24, 2};
    config.workers = 2;
    std::vector<int> cells(6 * 48);
    emu::launch(config, grid_kernel, cells.data());
    for (int i = 0; i < 6 * 48; ++i) {
        EXPECT_EQ(cells[std::size_t(i)], 48000 + i / 48);
    }
}

TEST(Layer, HalfRoundTripsAndRoundsToEven) {
    for (unsigned i = 0; i < 0x7C00; ++i) {
        const Half h{std::uint16_t(i)};
        ASSERT_EQ(from_float<Half>(to_float(h)).bits, i);
        if (i == 0x7BFF) {
            continue;
        }
        const float next = to_float(Half{std::uint16_t(i + 1)});
        const float middle = (to_float(h) + next) / 2;
        ASSERT_EQ(from_float<Half>(middle).bits, i + i % 2);
        ASSERT_EQ(from_float<Half>(std::nextafter(middle, next)).bits, i + 1);
        ASSERT_EQ(from_float<Half>(-middle).bits, 0x8000u | (i + i % 2));
    }
    EXPECT_EQ(to_float(Half{0x3C00}), 1.0f);
    EXPECT_EQ(to_float(Half{1}), 0x1p-24f);
    EXPECT_EQ(from_float<Half>(65520.0f).bits, 0x7C00);
    EXPECT_EQ(from_float<Half>(65519.0f).bits, 0x7BFF);
    EXPECT_TRUE(std::isnan(to_float(from_float<Half>(NAN))));
}

TEST(Layer, Bf16RoundTripsAndRoundsToEven) {
    for (unsigned i = 0; i <= 0x7F80; ++i) {
        ASSERT_EQ(from_float<Bf16>(to_float(Bf16{std::uint16_t(i)})).bits, i);
    }
    EXPECT_EQ(from_float<Bf16>(1.00390625f).bits, 0x3F80);
    EXPECT_EQ(from_float<Bf16>(1.01171875f).bits, 0x3F82);
    EXPECT_TRUE(std::isnan(to_float(from_float<Bf16>(NAN))));
}

TEST(Layer, Max2TakesTheGreaterOfEachPair) {
    const Vec<float, 2> bf16 = unpack2<Bf16>(max2<Bf16>(pack2<Bf16>(1, -2), pack2<Bf16>(-3, 4)));
    EXPECT_EQ(bf16[0], 1);
    EXPECT_EQ(bf16[1], 4);
    const Vec<float, 2> half = unpack2<Half>(max2<Half>(pack2<Half>(-1, 2), pack2<Half>(-3, 2)));
    EXPECT_EQ(half[0], -1);
    EXPECT_EQ(half[1], 2);
    EXPECT_EQ(max2<Bf16>(pack2<Bf16>(-0.0f, 0), pack2<Bf16>(0, -0.0f)), 0u);
}

TEST(Layer, Exp2FlushesDenormals) {
    EXPECT_EQ(exp2_approx(-3), 0.125f);
    EXPECT_EQ(exp2_approx(-140), 0.0f);
}

// Misuse that every run reports.

void exit_kernel() {
    if (thread_index().x == 70) {
        return;
    }
    sync_threads();
}
void divergent_barrier_kernel() {
    if (warp_id() == 0) {
        sync_threads();
    } else {
        sync_threads();
    }
}
void missing_lane_kernel() {
    if (lane_id() != 7) {
        ballot(true);
    }
}
void divergent_warp_kernel() {
    if (lane_id() == 3) {
        ballot(true);
    } else {
        sync_warp();
    }
}
void misaligned_kernel() { load_vec<4>(dynamic_shared<float[64]>() + 1); }
void outside_kernel() { load(dynamic_shared<float[64]>() + (20 << 10)); }
void too_much_kernel() { dynamic_shared<float[(16 << 10) + 1]>(); }
void tile_kernel() { dynamic_shared<SharedTile<Bf16, 8, 8>>().at(lane_id(), 0); }
void not_in_mask_kernel() { sync_warp(0xFFFFu << lane_id() / 16 * 8); }
void bad_count_kernel() { barrier_sync(1, 33); }

TEST(LayerReports, AThreadThatNeverReachesTheBarrier) {
    EXPECT_THAT(error_of(block_of(128), exit_kernel),
                AllOf(HasSubstr("deadlock: 1 threads (first 70) exited"),
                      HasSubstr("127 threads (first 0) wait in sync_threads at layer_test.cpp:")));
}
TEST(LayerReports, ABarrierFromTwoLines) {
    EXPECT_THAT(error_of(block_of(64), divergent_barrier_kernel),
                HasSubstr("barrier 0 diverges: thread 32"));
}
TEST(LayerReports, ALaneMissingInACollective) {
    EXPECT_THAT(error_of(block_of(32), missing_lane_kernel),
                HasSubstr("31 threads (first 0) wait in vote"));
}
TEST(LayerReports, AWarpInTwoCollectives) {
    EXPECT_THAT(error_of(block_of(32), divergent_warp_kernel),
                HasSubstr("warp diverges: thread 3 is in vote"));
}
TEST(LayerReports, AMaskWithoutItsLane) {
    EXPECT_THAT(error_of(block_of(32), not_in_mask_kernel),
                HasSubstr("thread 24 is not in its own mask"));
}
TEST(LayerReports, ABarrierOfPartOfAWarp) {
    EXPECT_THAT(error_of(block_of(64), bad_count_kernel), HasSubstr("bad thread count 33"));
}
TEST(LayerReports, AMisalignedAddress) {
    EXPECT_THAT(error_of(block_of(32), misaligned_kernel), HasSubstr("not 16-byte aligned"));
}
TEST(LayerReports, AnAccessOutsideOfSharedMemory) {
    EXPECT_THAT(error_of(block_of(32), outside_kernel), HasSubstr("outside of shared memory"));
}
TEST(LayerReports, MoreSharedMemoryThanTheLaunchGives) {
    EXPECT_THAT(error_of(block_of(32), too_much_kernel),
                HasSubstr("uses 65540 bytes of dynamic shared memory"));
}
TEST(LayerReports, ATileIndexOutOfRange) {
    EXPECT_THAT(error_of(block_of(32), tile_kernel),
                HasSubstr("thread 8: tile index 8 is not below 8"));
}

// Without a barrier between the read of the right neighbour and the next write: right in ascending
// order.
void neighbour_kernel(float* out) {
    float* const shared = dynamic_shared<float[65]>();
    const int i = thread_index().x;
    for (int step = 0; step < 3; ++step) {
        store(&shared[i], float(step));
        if (i == 63) {
            store(&shared[64], float(step));
        }
        sync_threads();
        out[i] = load(&shared[i + 1]);
        if (out[i] != float(step)) {
            out[64] += 1;
        }
    }
}
// Without a sync_warp between the store and the ldmatrix: the hardware may be kind, the rules are
// not.
void warp_race_kernel() {
    auto& tile = dynamic_shared<SharedTile<Bf16, 8, 8, 0>>();
    store_vec(tile.at(lane_id() / 4, lane_id() % 4 * 2), Vec<Bf16, 2>{});
    std::uint32_t r[1];
    ldmatrix(r, tile.at(lane_id() % 8, 0));
}

TEST_P(LayerInOrder, RacesAreReportedWhereTheResultIsRight) {
    std::vector<float> out(65);
    EXPECT_THAT(error_of(block_of(64, GetParam()), neighbour_kernel, out.data()), IsEmpty());
    EXPECT_EQ(out[64] == 0, GetParam() == emu::Order::kAscending);
    EXPECT_THAT(error_of(block_of(64, GetParam(), Races::kCheck), neighbour_kernel, out.data()),
                HasSubstr("race: thread"));
    EXPECT_THAT(error_of(block_of(32, GetParam()), warp_race_kernel), IsEmpty());
    EXPECT_THAT(error_of(block_of(32, GetParam(), Races::kCheck), warp_race_kernel),
                HasSubstr("no barrier between"));
}

// Planted bugs in a ring of asynchronous copies.

template <RingFault kFault>
std::string run_ring(const emu::Launch& config) {
    constexpr int kChunks = 5;
    std::vector<float> in(kChunks * kRingThreads), out(kRingThreads);
    for (std::size_t i = 0; i < in.size(); ++i) {
        in[i] = float(i * i % 1009);
    }
    const std::string error = error_of(config, ring_kernel<kFault>,
                                       static_cast<const float*>(in.data()), out.data(), kChunks);
    if (!error.empty()) {
        return error;
    }
    for (int i = 0; i < kRingThreads; ++i) {
        float sum = 0;
        for (int chunk = 0; chunk < kChunks; ++chunk) {
            sum += in[std::size_t((chunk + 1) * kRingThreads - 1 - i)];
        }
        if (!(out[std::size_t(i)] == sum)) {
            return "wrong result";
        }
    }
    return kNotSeen;
}

TEST(LayerFaults, NoneInTheRightRing) {
    for (const Outcome& o : outcomes(kRingThreads, run_ring<RingFault::kNone>)) {
        EXPECT_EQ(o.text, kNotSeen);
    }
}
TEST(LayerFaults, MissingWait) {
    expect_seen(outcomes(kRingThreads, run_ring<RingFault::kMissingWait>),
                "no wait for the copy between");
}
TEST(LayerFaults, MissingBarrierAfterTheWait) {
    expect_seen(outcomes(kRingThreads, run_ring<RingFault::kMissingBarrier>), "race: thread");
}
TEST(LayerFaults, MissingBarrierBeforeTheNextCopy) {
    expect_seen(outcomes(kRingThreads, run_ring<RingFault::kMissingEndBarrier>), "race: thread");
}

// Plain C++ accesses, which the layer does not see.
#if defined(FLA_EMU_ASAN)
void plain_shared_kernel() {
    float* const shared = dynamic_shared<float[64]>();
    volatile int past = 64 << 10;
    shared[past / 4] = 0.0f;
}
void plain_global_kernel(float* x) {
    volatile int past = 64;
    x[past] = 0.0f;
}
TEST(LayerDeathTest, AddressSanitizerKnowsTheEndsOfMemory) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(error_of(block_of(32), plain_shared_kernel), "use-after-poison");
    std::vector<float> x(64);
    EXPECT_DEATH(error_of(block_of(32), plain_global_kernel, x.data()), "heap-buffer-overflow");
}
#endif

}  // namespace
}  // namespace fla::device::testing
