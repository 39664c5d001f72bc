// hopper_layer.h on the CTA emulator: all forms of wgmma, bulk copies, a warp-specialised kernel
// against fp64, and that each planted bug is reported.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "libfla/emulator/emulator_cases.h"
#include "libfla/emulator/hopper_av.cuh"
#include "libfla/emulator/hopper_kernels.cuh"
#include "support/tensor_matchers.h"

namespace fla::device::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HopperInOrder : public ::testing::TestWithParam<emu::Order> {};

INSTANTIATE_TEST_SUITE_P(Orders, HopperInOrder, ::testing::ValuesIn(kOrders),
                         ::testing::PrintToStringParamName());

// Both sides and all functions share the address map, so it is written down once more here.
TEST(Hopper, TheSwizzleExchangesUnitsByTheRow) {
    using Tile = TmaTile<Bf16, 32, 128>;
    for (int row = 0; row < 32; ++row) {
        for (int col = 0; col < 128; ++col) {
            const int unit = (col % 64 / 8) ^ (row % 8);
            ASSERT_EQ(Tile::byte_offset(row, col),
                      col / 64 * 32 * 128 + row * 128 + unit * 16 + col % 8 * 2)
                << row << ", " << col;
        }
    }
}

TEST(Hopper, TheDescriptorHoldsAddressAndSteps) {
    EXPECT_EQ(wgmma_descriptor_bits(0x12340, 0x2000, 1024), 0x4000004002001234u);
}

// Element (k, n) of the product that the wgmma kernels compute, as a sum over `inner`.
float product(int row, int col, int inner, float start) {
    float sum = start;
    for (int k = 0; k < inner; ++k) {
        sum += hopper_element(row, k) * hopper_element(col + 50, k);
    }
    return sum;
}

template <class T, int kN, Major kMajorA, Major kMajorB, bool kARegisters>
void expect_product(emu::Order order) {
    for (const bool accumulate : {false, true}) {
        std::vector<float> out(64 * kN), wanted;
        emu::launch(block_of(128, order, Races::kCheck),
                    wgmma_kernel<T, kN, kMajorA, kMajorB, kARegisters>, out.data(), accumulate);
        for (int i = 0; i < 64 * kN; ++i) {
            wanted.push_back(product(i / kN, i % kN, 64, accumulate ? 1.0f : 0.0f));
        }
        EXPECT_EQ(out, wanted) << "N " << kN << ", A " << int(kMajorA) << ", B " << int(kMajorB)
                               << ", A in registers " << kARegisters;
    }
}
template <class T, int kN>
void expect_products(emu::Order order) {
    expect_product<T, kN, Major::kK, Major::kK, false>(order);
    expect_product<T, kN, Major::kMn, Major::kK, false>(order);
    expect_product<T, kN, Major::kK, Major::kK, true>(order);
    if constexpr (kN >= 64) {
        expect_product<T, kN, Major::kK, Major::kMn, false>(order);
        expect_product<T, kN, Major::kMn, Major::kMn, false>(order);
        expect_product<T, kN, Major::kK, Major::kMn, true>(order);
    }
}

TEST_P(HopperInOrder, WgmmaMultipliesInEveryForm) {
    expect_products<Bf16, 16>(GetParam());
    expect_products<Bf16, 32>(GetParam());
    expect_products<Bf16, 64>(GetParam());
    expect_products<Bf16, 128>(GetParam());
    expect_products<Half, 64>(GetParam());
}

TEST_P(HopperInOrder, WgmmaReadsWindowsOfLargeTiles) {
    std::vector<float> out(2 * 64 * 64), wanted;
    emu::launch(block_of(128, GetParam(), Races::kCheck), wgmma_window_kernel, out.data());
    for (int i = 0; i < 64 * 64; ++i) {
        wanted.push_back(product(64 + i / 64, 64 + i % 64, 128, 0));
    }
    for (int i = 0; i < 64 * 64; ++i) {
        float sum = 0;
        for (int k = 0; k < 128; ++k) {
            sum += hopper_element(64 + i / 64, k) * hopper_element(k + 50, 64 + i % 64);
        }
        wanted.push_back(sum);
    }
    EXPECT_EQ(out, wanted);
}

// What a loaded box has outside of the tensor are zeros; what a stored one has there is dropped.
template <class Tile, int kRank>
void expect_copy(emu::Order order, const TensorShape& shape, const BoxCopy& at) {
    using T = typename Tile::Element;
    std::int64_t count = 1;
    for (int i = 0; i < kRank; ++i) {
        count *= shape.size[i];
    }
    std::vector<T> from, to;
    for (std::int64_t i = 0; i < count; ++i) {
        from.push_back(from_float<T>(float(1 + i % 251)));
        to.push_back(from_float<T>(-1));
    }
    emu::launch(block_of(32, order, Races::kCheck), copy_box_kernel<Tile, kRank>,
                make_tensor_map(from.data(), shape, Tile::kSwizzle),
                make_tensor_map(to.data(), shape, Tile::kSwizzle), at);
    for (std::int64_t i = 0; i < count; ++i) {
        bool written = true, inside = true;
        std::int64_t rest = i, source = 0;
        for (int d = 0; d < kRank; rest /= shape.size[d], ++d) {
            const std::int64_t in_box = rest % shape.size[d] - at.to[d], c = at.from[d] + in_box;
            written &= 0 <= in_box && in_box < (d == 0 ? Tile::kCols : shape.box[d]);
            inside &= 0 <= c && c < shape.size[d];
            source += c * shape.stride[d];
        }
        const float loaded = written && inside ? to_float(from[std::size_t(source)]) : 0.0f;
        ASSERT_EQ(to_float(to[std::size_t(i)]), written ? loaded : -1.0f) << i;
    }
}

TEST_P(HopperInOrder, BulkCopiesStopAtTheEdgesOfTheTensor) {
    using B128 = TmaTile<Bf16, 32, 128>;
    using B64 = TmaTile<Bf16, 16, 64>;
    using F32 = TmaTile<float, 16, 24, Swizzle::kNone>;
    const TensorShape plane{2, {136, 70}, {1, 136}, {64, 32}};
    expect_copy<B128, 2>(GetParam(), plane, {{16, 10}, {8, 38}});
    expect_copy<B128, 2>(GetParam(), plane, {{16, 50}, {16, 50}});
    expect_copy<B128, 2>(GetParam(), plane, {{-8, -5}, {0, 3}});
    expect_copy<F32, 3>(GetParam(), {3, {40, 3, 30}, {1, 40, 120}, {24, 1, 16}},
                        {{20, 2, 20}, {20, 2, 20}});
    expect_copy<B64, 4>(GetParam(), {4, {64, 3, 21, 2}, {1, 64, 192, 4032}, {64, 1, 16, 1}},
                        {{0, 1, 10, 1}, {0, 2, 10, 0}});
}

// The CUDA guide forbids negative coordinates of a store, Triton any off the 16 bytes.
TEST(Hopper, BulkCopiesRejectTheirCoordinates) {
    const auto error = [](const BoxCopy& at) {
        std::vector<Bf16> from(136 * 70), to(136 * 70);
        const TensorShape plane{2, {136, 70}, {1, 136}, {64, 32}};
        return error_of(block_of(32), copy_box_kernel<TmaTile<Bf16, 32, 128>, 2>,
                        make_tensor_map(from.data(), plane, Swizzle::k128B),
                        make_tensor_map(to.data(), plane, Swizzle::k128B), at);
    };
    EXPECT_THAT(error({{-8, -5}, {8, 3}}), IsEmpty());
    EXPECT_THAT(error({{-3, 0}, {0, 0}}), HasSubstr("coordinate 0 is -3, not a multiple of 8"));
    EXPECT_THAT(error({{0, 0}, {4, 0}}), HasSubstr("coordinate 0 is 4, not a multiple of 8"));
    EXPECT_THAT(error({{0, 0}, {0, -5}}), HasSubstr("coordinate 1 of a store is -5"));
}

TEST(Hopper, MakeTensorMapRejectsAStrideOffThe16Bytes) {
    std::vector<float> x(64);
    try {
        make_tensor_map(x.data(), {2, {8, 8}, {1, 7}, {8, 8}}, Swizzle::kNone);
        FAIL() << "no error";
    } catch (const emu::Error& e) {
        EXPECT_THAT(e.what(), HasSubstr("stride of dimension 1"));
    }
}

TEST_P(HopperInOrder, ElectOneElectsOneOfEachWarp) {
    std::vector<int> out(8);
    emu::launch(block_of(256, GetParam(), Races::kCheck), small_kernel, out.data());
    for (int w = 0; w < 8; ++w) {
        EXPECT_EQ(out[std::size_t(w)], w / 4 * 100 + w % 4 * 10 + 1);
    }
}

// A V on random numbers, as the kernel with a fault computes it.
class AvCase {
  public:
    AvCase(int rows, int inner, int cols) : rows_(rows), inner_(inner), cols_(cols) {
        std::mt19937 random(3);
        std::normal_distribution<float> normal;
        for (int i = 0; i < rows * inner; ++i) {
            a_.push_back(from_float<Bf16>(normal(random)));
        }
        for (int i = 0; i < inner * cols; ++i) {
            v_.push_back(from_float<Bf16>(normal(random)));
        }
    }

    template <AvFault kFault>
    std::vector<float> run(emu::Launch config) {
        std::vector<Bf16> o(std::size_t(rows_ * cols_), Bf16{0x7FFF});
        config.grid = {unsigned(rows_ + 63) / 64, unsigned(cols_ + 63) / 64};
        config.dynamic_smem_bytes = sizeof(AvShared);
        const AvParams p{map(a_, rows_, inner_), map(v_, inner_, cols_), map(o, rows_, cols_),
                         (inner_ + 63) / 64};
        emu::launch(config, av_kernel<kFault>, p);
        std::vector<float> found;
        for (const Bf16 x : o) {
            found.push_back(to_float(x));
        }
        return found;
    }

    [[nodiscard]] std::vector<double> reference() const {
        std::vector<double> wanted(std::size_t(rows_ * cols_));
        for (int i = 0; i < rows_; ++i) {
            for (int j = 0; j < cols_; ++j) {
                double& sum = wanted[std::size_t(i * cols_ + j)];
                for (int k = 0; k < inner_; ++k) {
                    sum += double(to_float(a_[std::size_t(i * inner_ + k)])) *
                           to_float(v_[std::size_t(k * cols_ + j)]);
                }
            }
        }
        return wanted;
    }

  private:
    static TensorMap map(std::vector<Bf16>& x, int rows, int cols) {
        return make_tensor_map(x.data(), {2, {cols, rows}, {1, cols}, {64, 64}}, Swizzle::k128B);
    }

    int rows_, inner_, cols_;
    std::vector<Bf16> a_, v_;
};

constexpr double kAvLimit = 0.003;  // o is rounded to Bf16

TEST(HopperAv, GivesTheSameBitsInEveryOrder) {
    for (const int inner : {8, 64, 200, 456}) {
        AvCase p(100, inner, 72);
        const std::vector<float> first = p.run<AvFault::kNone>(block_of(kAvThreads));
        EXPECT_THAT(first, flagen::testing::RmsNear(p.reference(), kAvLimit)) << inner;
        for (const emu::Order order : kOrders) {
            for (const Races races : {Races::kIgnore, Races::kCheck}) {
                EXPECT_EQ(p.run<AvFault::kNone>(block_of(kAvThreads, order, races)), first);
            }
        }
    }
}

template <AvFault kFault>
std::string run_fault(const emu::Launch& config) {
    AvCase p(64, 456, 64);
    try {
        const std::vector<float> found = p.run<kFault>(config);
        const double ratio = flagen::testing::rms_ratio(found, p.reference());
        return ratio <= kAvLimit ? kNotSeen : "wrong result";
    } catch (const emu::Error& e) {
        return e.what();
    }
}

TEST(HopperFaults, NoFullWait) {
    expect_seen(outcomes(kAvThreads, run_fault<AvFault::kNoFullWait>),
                "no wait for its mbarrier between");
}
TEST(HopperFaults, NoEmptyWait) {
    expect_seen(outcomes(kAvThreads, run_fault<AvFault::kNoEmptyWait>), "race: thread");
}
TEST(HopperFaults, EarlyRelease) {
    expect_seen(outcomes(kAvThreads, run_fault<AvFault::kEarlyRelease>),
                "no wait for the end of the reading");
}
TEST(HopperFaults, NoWgmmaWait) {
    expect_seen(outcomes(kAvThreads, run_fault<AvFault::kNoWgmmaWait>),
                "ends with a wgmma in flight");
}
TEST(HopperFaults, WrongFullParity) {
    expect_seen(outcomes(kAvThreads, run_fault<AvFault::kWrongFullParity>),
                "mbarrier in phase 0, parity 0: 1 of 1 arrivals missing");
}
TEST(HopperFaults, WrongEmptyParity) {
    expect_seen(outcomes(kAvThreads, run_fault<AvFault::kWrongEmptyParity>), "deadlock");
}
TEST(HopperFaults, WrongByteCount) {
    expect_seen(outcomes(kAvThreads, run_fault<AvFault::kWrongBytes>),
                "no wait for its mbarrier between");
}
TEST(HopperFaults, NoWgmmaFence) {
    expect_seen(outcomes(kAvThreads, run_fault<AvFault::kNoWgmmaFence>), "no wgmma_fence since");
}
TEST(HopperFaults, NoProxyFence) {
    constexpr bool kOnlyByDetector = true;
    expect_seen(outcomes(kAvThreads, run_fault<AvFault::kNoProxyFence>),
                "no fence_proxy_async between", kOnlyByDetector);
}

// Misuse that is reported where it happens.

void no_loop_kernel(int* out) {
    auto& barrier = dynamic_shared<MBarrier>();
    if (thread_index().x == 0) {
        barrier.init(64);
    }
    sync_threads();
    barrier.arrive();
    out[thread_index().x] = barrier.try_wait(0);
}
void too_many_kernel() {
    auto& barrier = dynamic_shared<MBarrier>();
    barrier.init(2);
    barrier.arrive_expect_tx(16);
    barrier.arrive();
    barrier.arrive();
}
void uninitialised_kernel() { dynamic_shared<MBarrier>().arrive(); }
void one_warp_kernel() {
    struct Shared {
        TmaTile<Bf16, 64, 64> a, b;
    };
    auto& shared = dynamic_shared<Shared>();
    float acc[32] = {};
    wgmma_fence(acc);
    if (warp_id() != 2) {
        wgmma(acc, k_major(shared.a, 0, 0), k_major(shared.b, 0, 0));
    }
    wgmma_commit();
    wgmma_wait<0>(acc);
}
void misplaced_kernel() {
    auto& b = dynamic_shared<TmaTile<Bf16, 64, 64>>();
    float acc[32] = {};
    const std::uint32_t a[4] = {};
    wgmma_fence(acc);
    wgmma(acc, a, k_major(b, 0, 56));
}

// Issues a wgmma on b; then writes the accumulator, or fills b anew, before the wait.
enum class Late { kAccumulator, kOperand };
template <Late kLate>
void late_kernel() {
    auto& b = dynamic_shared<TmaTile<Bf16, 64, 64>>();
    fill_tile(b, false, 0);
    fence_proxy_async();
    sync_threads();
    float acc[32] = {};
    const std::uint32_t a[4] = {};
    wgmma_fence(acc);
    wgmma(acc, a, k_major(b, 0, 0));
    if (kLate == Late::kAccumulator) {
        acc[3] = 0;
    }
    wgmma_commit();
    if (kLate == Late::kOperand) {
        sync_threads();
        fill_tile(b, false, 1);
    }
    wgmma_wait<0>(acc);
}

TEST_P(HopperInOrder, TryWaitMaySayNoInRandomOrder) {
    std::vector<int> out(64);
    EXPECT_THAT(error_of(block_of(64, GetParam(), Races::kCheck), no_loop_kernel, out.data()),
                IsEmpty());
    int yes = 0;
    for (const int said : out) {
        yes += said;
    }
    EXPECT_EQ(yes < 64, GetParam() == emu::Order::kRandom);
}
TEST_P(HopperInOrder, ReportsAnOperandWrittenWhileItIsRead) {
    EXPECT_THAT(error_of(block_of(128, GetParam(), Races::kCheck), late_kernel<Late::kOperand>),
                HasSubstr("no wait for the end of the reading"));
}
// Without the detector: where the first thread to wait has written what the wgmma reads.
TEST(HopperReports, AnOperandThatChanges) {
    EXPECT_THAT(error_of(block_of(128), late_kernel<Late::kOperand>),
                HasSubstr("operand B of the wgmma at hopper_test.cpp:"));
}
TEST(HopperReports, AnAccumulatorWrittenInFlight) {
    EXPECT_THAT(error_of(block_of(128), late_kernel<Late::kAccumulator>),
                HasSubstr("was written in flight"));
}
TEST(HopperReports, OneArrivalTooMany) {
    EXPECT_THAT(error_of(block_of(1), too_many_kernel), HasSubstr("arrives once too often"));
}
TEST(HopperReports, AnMbarrierWithoutInit) {
    EXPECT_THAT(error_of(block_of(1), uninitialised_kernel), HasSubstr("no initialised mbarrier"));
}
TEST(HopperReports, AWarpMissingInAWgmma) {
    EXPECT_THAT(error_of(block_of(128), one_warp_kernel),
                HasSubstr("(96 of 128 threads have issued the wgmma at hopper_test.cpp:"));
}
TEST(HopperReports, AnOperandThatHangsOverItsTile) {
    EXPECT_THAT(error_of(block_of(128), misplaced_kernel),
                HasSubstr("tile index 56 is not below 49"));
}

}  // namespace
}  // namespace fla::device::testing
