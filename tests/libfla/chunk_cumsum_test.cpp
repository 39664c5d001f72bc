// The CUDA path: device query, error macro, stream, one kernel against a CPU loop.

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "fla/chunk_cumsum.h"
#include "fla/error.h"
#include "host/device_properties.h"
#include "libfla/attention_cases.h"
#include "support/tensor_matchers.h"

namespace fla::testing {
namespace {

using flagen::testing::RmsNear;
using flagen::testing::SameBits;

/// Floats on the device.
class DeviceFloats {
  public:
    explicit DeviceFloats(const std::vector<float>& values) : count_(values.size()) {
        FLA_CUDA_CHECK(cudaMalloc(&data_, count_ * sizeof(float)));
        FLA_CUDA_CHECK(
            cudaMemcpy(data_, values.data(), count_ * sizeof(float), cudaMemcpyHostToDevice));
    }
    ~DeviceFloats() { cudaFree(data_); }
    DeviceFloats(const DeviceFloats&) = delete;
    DeviceFloats& operator=(const DeviceFloats&) = delete;

    [[nodiscard]] void* data() const { return data_; }

    [[nodiscard]] std::vector<float> values() const {
        std::vector<float> out(count_);
        FLA_CUDA_CHECK(
            cudaMemcpy(out.data(), data_, count_ * sizeof(float), cudaMemcpyDeviceToHost));
        return out;
    }

  private:
    void* data_ = nullptr;
    std::size_t count_;
};

class ChunkCumsum : public ::testing::Test {
  protected:
    void SetUp() override {
        if (num_devices() == 0) {
            GTEST_SKIP() << "needs a GPU, found none";
        }
        const DeviceProperties device = device_properties(0);
        if (device.compute_major < 8) {
            GTEST_SKIP() << "needs sm_80, found sm_" << device.compute_major
                         << device.compute_minor;
        }
        FLA_CUDA_CHECK(cudaStreamCreate(&stream_));
    }
    void TearDown() override {
        if (stream_ != nullptr) {
            cudaStreamDestroy(stream_);
        }
    }

    /// Runs the kernel on device copies and returns `sum` as it lies in memory.
    Tensor<float> run(const Tensor<float>& log_decay, std::int64_t chunk_len, Direction direction,
                      Layout out_layout = Layout::kContiguous) {
        Tensor<float> sum = make_output<float>(log_decay.sizes, out_layout);
        const DeviceFloats in(log_decay.storage);
        const DeviceFloats out(sum.storage);
        ChunkCumsumParams params;
        params.log_decay = log_decay.cref();
        params.log_decay.data = in.data();
        params.sum = sum.ref();
        params.sum.data = out.data();
        params.chunk_len = chunk_len;
        params.direction = direction;
        chunk_cumsum(params, stream_);
        FLA_CUDA_CHECK(cudaStreamSynchronize(stream_));
        sum.storage = out.values();
        return sum;
    }

    ::cudaStream_t stream_ = nullptr;
};

std::vector<double> wanted_sums(const Tensor<float>& g, std::int64_t chunk_len,
                                Direction direction) {
    const std::int64_t tokens = g.sizes[1];
    const std::int64_t heads = g.sizes[2];
    std::vector<double> out(static_cast<std::size_t>(g.num_elements()));
    for (std::int64_t b = 0; b < g.sizes[0]; ++b) {
        for (std::int64_t h = 0; h < heads; ++h) {
            for (std::int64_t begin = 0; begin < tokens; begin += chunk_len) {
                const std::int64_t end = std::min(tokens, begin + chunk_len);
                double sum = 0.0;
                for (std::int64_t i = 0; i < end - begin; ++i) {
                    const std::int64_t t =
                        direction == Direction::kForward ? begin + i : end - 1 - i;
                    const std::int64_t at = (b * tokens + t) * heads + h;
                    sum += std::max(-105.0, static_cast<double>(g.at(at)));
                    out[static_cast<std::size_t>(at)] = sum;
                }
            }
        }
    }
    return out;
}

TEST_F(ChunkCumsum, EqualsLoopForEveryGateLengthAndLayout) {
    for (const GateCase& gates : gate_cases()) {
        for (const std::int64_t tokens : kLengths) {
            for (const Layout layout :
                 {Layout::kContiguous, Layout::kPadded, Layout::kHeadsFirst}) {
                for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
                    SCOPED_TRACE(gates.name + ", tokens " + std::to_string(tokens));
                    std::mt19937_64 rng(7);
                    const auto g = random_gates<float>({2, tokens, 3}, gates, rng, layout);
                    EXPECT_THAT(run(g, 64, direction, layout).values(),
                                RmsNear(wanted_sums(g, 64, direction), 1e-6));
                }
            }
        }
    }
}

TEST_F(ChunkCumsum, SameBitsOnRepeatAndForAnyNumberOfSequences) {
    std::mt19937_64 rng(8);
    const auto g = random_gates<float>({4, 5000, 8}, gate_cases()[2], rng);
    const auto wanted = run(g, 16, Direction::kForward).values();
    for (int repeat = 0; repeat < 100; ++repeat) {
        ASSERT_THAT(run(g, 16, Direction::kForward).values(), SameBits(wanted));
    }
}

// Token stride 2^30: the last token lies 2^31 elements behind the first.
TEST_F(ChunkCumsum, AddressesMemoryBeyondTwoToThe31) {
    constexpr std::int64_t kStride = std::int64_t{1} << 30;
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    FLA_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
    constexpr std::size_t kBytes = (2 * static_cast<std::size_t>(kStride) + 1) * sizeof(float);
    if (free_bytes < kBytes + (std::size_t{1} << 30)) {
        GTEST_SKIP() << "needs 9 GiB of device memory, found " << (free_bytes >> 30) << " GiB";
    }
    void* data = nullptr;
    FLA_CUDA_CHECK(cudaMalloc(&data, kBytes));
    auto* floats = static_cast<float*>(data);
    const float values[] = {-1.0F, -2.0F, -4.0F};
    for (std::int64_t t = 0; t < 3; ++t) {
        FLA_CUDA_CHECK(
            cudaMemcpy(floats + t * kStride, values + t, sizeof(float), cudaMemcpyHostToDevice));
    }
    ChunkCumsumParams params;
    params.sum = contiguous_ref<void*>(data, DType::kFloat32, {1, 3, 1});
    params.sum.strides = {0, kStride, 1};
    params.log_decay = as_const(params.sum);  // In place.
    chunk_cumsum(params, stream_);
    FLA_CUDA_CHECK(cudaStreamSynchronize(stream_));
    float last = 0.0F;
    FLA_CUDA_CHECK(cudaMemcpy(&last, floats + 2 * kStride, sizeof(float), cudaMemcpyDeviceToHost));
    EXPECT_EQ(last, -7.0F);
    FLA_CUDA_CHECK(cudaFree(data));
}

TEST(ChunkCumsumArguments, WrongShapesAreRejectedBeforeAnyLaunch) {
    float x = 0.0F;
    ChunkCumsumParams params;
    params.log_decay = ref_of(static_cast<const float*>(&x), {1, 1});
    params.sum = ref_of(&x, {1, 1});
    EXPECT_THROW(chunk_cumsum(params, nullptr), InvalidArgument);
    params.log_decay = ref_of(static_cast<const float*>(&x), {1, 1, 1});
    EXPECT_THROW(chunk_cumsum(params, nullptr), InvalidArgument);
    params.sum = ref_of(&x, {1, 1, 1});
    params.chunk_len = 0;
    EXPECT_THROW(chunk_cumsum(params, nullptr), InvalidArgument);
}

TEST_F(ChunkCumsum, DevicePropertiesAreFilledIn) {
    const DeviceProperties device = device_properties(0);
    EXPECT_FALSE(device.name.empty());
    EXPECT_GT(device.num_multiprocessors, 0);
    EXPECT_GT(device.l2_cache_bytes, 0);
    EXPECT_GT(device.max_shared_bytes_per_block, 48 * 1024);
    EXPECT_GT(device.total_memory_bytes, std::int64_t{1} << 30);
    EXPECT_THROW((void)device_properties(num_devices()), InvalidArgument);
}

TEST_F(ChunkCumsum, FailedCudaCallBecomesAnErrorThatNamesIt) {
    try {
        FLA_CUDA_CHECK(cudaSetDevice(12345));
        FAIL() << "no exception";
    } catch (const CudaError& error) {
        EXPECT_EQ(error.code(), static_cast<int>(cudaErrorInvalidDevice));
        EXPECT_THAT(error.what(), ::testing::HasSubstr("cudaSetDevice(12345) failed"));
        EXPECT_THAT(error.what(), ::testing::HasSubstr("cudaErrorInvalidDevice"));
    }
    cudaGetLastError();
}

}  // namespace
}  // namespace fla::testing
