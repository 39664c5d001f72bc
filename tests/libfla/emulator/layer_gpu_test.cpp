// The two sides of the device layer against each other: what the kernels write on a GPU is what
// they write on the emulator.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

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

/// Names the runs that differ, each with its first difference.
void expect_same(const std::vector<LayerRun>& gpu, const std::vector<LayerRun>& emulator) {
    ASSERT_EQ(gpu.size(), emulator.size());
    for (std::size_t i = 0; i < gpu.size(); ++i) {
        const LayerRun &found = gpu[i], &wanted = emulator[i];
        ASSERT_EQ(found.name, wanted.name);
        ASSERT_EQ(found.words.size(), wanted.words.size()) << found.name;
        std::size_t wrong = 0, first = 0;
        for (std::size_t w = found.words.size(); w-- > 0;) {
            if (!agree(found.words[w], wanted.words[w], wanted.relative)) {
                ++wrong;
                first = w;
            }
        }
        EXPECT_EQ(wrong, 0u) << found.name << ": " << wrong << " of " << found.words.size()
                             << " words, the first is word " << first << ": GPU " << std::hex
                             << found.words[first] << ", emulator " << wanted.words[first];
    }
}

TEST(LayerGpu, WritesWhatTheEmulatorWrites) {
    if (num_devices() == 0) {
        GTEST_SKIP() << "needs a GPU, found none";
    }
    const DeviceProperties device = device_properties(0);
    if (device.compute_major < 8) {
        GTEST_SKIP() << "needs sm_80, found sm_" << device.compute_major << device.compute_minor;
    }
    expect_same(run_layer_on_gpu(), run_layer_on_emulator());
}

TEST(LayerGpu, HopperWritesWhatTheEmulatorWrites) {
    if (num_devices() == 0) {
        GTEST_SKIP() << "needs a GPU, found none";
    }
    const DeviceProperties device = device_properties(0);
    if (device.compute_major != 9) {
        GTEST_SKIP() << "needs sm_90, found sm_" << device.compute_major << device.compute_minor;
    }
    expect_same(run_hopper_on_gpu(), run_hopper_on_emulator());
}

}  // namespace
}  // namespace fla::device::testing
