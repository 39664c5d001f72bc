// The two sides of the device layer against each other: what the kernels write on a GPU is what
// they write on the emulator. One test a run: an illegal instruction ends all later ones in its
// process.

#include <gtest/gtest.h>

#include <bit>
#include <cctype>
#include <cmath>
#include <string>

#include "host/device_properties.h"
#include "libfla/emulator/layer_runs.h"

namespace fla::device::testing {
namespace {

bool agree(std::uint32_t x, std::uint32_t y, double relative) {
    if (relative == 0) {
        return x == y;
    }
    const double a = std::bit_cast<float>(x), b = std::bit_cast<float>(y);
    return std::abs(a - b) <= relative * std::abs(b);
}

/// The major version is 0 without a GPU.
int gpu_major() { return num_devices() == 0 ? 0 : device_properties(0).compute_major; }

void expect_same(const LayerRun& gpu, const LayerRun& emulator, const std::string& name) {
    ASSERT_EQ(gpu.name, name);
    ASSERT_EQ(emulator.name, name);
    ASSERT_EQ(gpu.words.size(), emulator.words.size());
    std::size_t wrong = 0, first = 0;
    for (std::size_t w = gpu.words.size(); w-- > 0;) {
        if (!agree(gpu.words[w], emulator.words[w], emulator.relative)) {
            ++wrong;
            first = w;
        }
    }
    EXPECT_EQ(wrong, 0u) << "of " << gpu.words.size() << " words, the first is word " << first
                         << ": GPU " << std::hex << gpu.words[first] << ", emulator "
                         << emulator.words[first];
}

/// A run as the name of a test: "a k, b n" is a_k_b_n.
std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
    std::string name;
    for (const char c : info.param) {
        if (std::isalnum(static_cast<unsigned char>(c))) {
            name += c;
        } else if (!name.empty() && name.back() != '_') {
            name += '_';
        }
    }
    return name;
}

class LayerGpu : public ::testing::TestWithParam<std::string> {};
class HopperGpu : public ::testing::TestWithParam<std::string> {};

TEST_P(LayerGpu, WritesWhatTheEmulatorWrites) {
    if (gpu_major() < 8) {
        GTEST_SKIP() << "needs sm_80 or later, found major version " << gpu_major();
    }
    expect_same(run_layer_on_gpu(GetParam()), run_layer_on_emulator(GetParam()), GetParam());
}

TEST_P(HopperGpu, WritesWhatTheEmulatorWrites) {
    if (gpu_major() != 9) {
        GTEST_SKIP() << "needs sm_90, found major version " << gpu_major();
    }
    expect_same(run_hopper_on_gpu(GetParam()), run_hopper_on_emulator(GetParam()), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Runs, LayerGpu, ::testing::ValuesIn(layer_run_names()), test_name);
INSTANTIATE_TEST_SUITE_P(Runs, HopperGpu, ::testing::ValuesIn(hopper_run_names()), test_name);

}  // namespace
}  // namespace fla::device::testing
