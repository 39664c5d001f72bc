// Errors, threads and tensor views of fla::core.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "fla/error.h"
#include "fla/parallel.h"
#include "fla/tensor_ref.h"
#include "host/cpu_isa.h"
#include "host/device_properties.h"

namespace fla {
namespace {

using ::testing::HasSubstr;

TEST(FlaError, CheckJoinsItsArgumentsOnlyOnFailure) {
    int evaluations = 0;
    const auto count = [&evaluations] { return ++evaluations; };
    FLA_CHECK(true, "never built ", count());
    EXPECT_EQ(evaluations, 0);
    try {
        FLA_CHECK(1 > 2, "T is ", 7, ", expected ", count());
        FAIL() << "no exception";
    } catch (const InvalidArgument& error) {
        EXPECT_STREQ(error.what(), "T is 7, expected 1");
    }
}

TEST(FlaError, CudaCheckEvaluatesOnceAndNamesTheCall) {
    int calls = 0;
    const auto fake_call = [&calls](int code) {
        ++calls;
        return code;
    };
    FLA_CUDA_CHECK(fake_call(0));
    EXPECT_EQ(calls, 1);
    try {
        FLA_CUDA_CHECK(fake_call(2));
        FAIL() << "no exception";
    } catch (const CudaError& error) {
        EXPECT_EQ(error.code(), 2);
        EXPECT_THAT(error.what(), HasSubstr("fake_call(2) failed"));
        EXPECT_THAT(error.what(), HasSubstr("host_test.cpp"));
    }
}

TEST(FlaParallel, EveryTaskRunsOnce) {
    for (const int num_threads : {1, 2, 3, 8}) {
        for (const std::int64_t num_tasks : {0, 1, 2, 1000}) {
            std::vector<std::atomic<int>> runs(static_cast<std::size_t>(num_tasks));
            thread_for(num_threads)(num_tasks,
                                    [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
            for (const auto& count : runs) {
                EXPECT_EQ(count, 1);
            }
        }
    }
}

TEST(FlaParallel, ExceptionOfATaskReachesTheCaller) {
    for (const int num_threads : {1, 3}) {
        EXPECT_THROW(thread_for(num_threads)(100,
                                             [](std::int64_t i) {
                                                 if (i == 17) {
                                                     throw std::out_of_range("17");
                                                 }
                                             }),
                     std::out_of_range);
    }
    EXPECT_THROW((void)thread_for(0), InvalidArgument);
}

TEST(FlaTensorRef, ContiguousStridesCountElements) {
    float x = 0.0F;
    const TensorRef t = ref_of(&x, {2, 3, 4, 5});
    EXPECT_EQ(t.num_elements(), 120);
    EXPECT_EQ(t.stride(0), 60);
    EXPECT_EQ(t.stride(3), 1);
    EXPECT_EQ(t.describe(), "float32 [2, 3, 4, 5]");
    EXPECT_TRUE(as_const(t).present());
    EXPECT_FALSE(TensorRef{}.present());
}

TEST(FlaCpuIsa, StrongestSetIsSupported) {
    EXPECT_TRUE(is_supported(best_cpu_isa()));
    EXPECT_TRUE(is_supported(CpuIsa::kBaseline));
}

TEST(FlaDevice, CountIsNeverNegativeAndAbsentDevicesAreRejected) {
    EXPECT_GE(num_devices(), 0);
    EXPECT_THROW((void)device_properties(num_devices()), InvalidArgument);
    EXPECT_THROW((void)device_properties(-1), InvalidArgument);
}

}  // namespace
}  // namespace fla
