// The CUDA kernels of the gated family on the CTA emulator, against the fp64 recurrence.

#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "cta_emulator/emulator.h"
#include "gated/kernel/gated_passes.h"
#include "gated/kernel/gated_tile_launch.cuh"
#include "libfla/gated_kernel_cases.h"

namespace fla::testing {
namespace {

/// How the emulator runs the kernels of this test.
struct Emulation {
    emu::Order order = emu::Order::kAscending;
    bool check_races = true;
};
Emulation& emulation() {
    static Emulation settings;
    return settings;
}

struct EmulatorLaunch {
    template <class Params>
    void operator()(void (*kernel)(Params), std::int64_t grid, int threads,
                    std::size_t shared_bytes, const Params& params) {
        if (grid == 0) {
            return;
        }
        emu::Launch config;
        config.grid = {static_cast<unsigned>(grid)};
        config.block = {static_cast<unsigned>(threads)};
        config.dynamic_smem_bytes = shared_bytes;
        config.order = emulation().order;
        config.seed = 7;
        config.check_races = emulation().check_races;
        emu::launch(config, kernel, params);
    }
};

struct EmulatedDevice {
    static void* allocate(std::size_t bytes) {
        return std::aligned_alloc(512, (bytes + 511) / 512 * 512);
    }
    static void release(void* memory) { std::free(memory); }
    static void copy_in(void* to, const void* from, std::size_t bytes) {
        std::memcpy(to, from, bytes);
    }
    static void copy_out(void* to, const void* from, std::size_t bytes) {
        std::memcpy(to, from, bytes);
    }
    static void forward(const GatedForward& p) {
        const KernelMemory<EmulatedDevice> workspace(
            static_cast<std::size_t>(gated::forward_workspace_bytes(p)));
        EmulatorLaunch launch;
        gated::run_forward(launch, p, workspace.data());
        (void)workspace.read();
    }
    static void backward(const GatedBackward& p) {
        const KernelMemory<EmulatedDevice> workspace(
            static_cast<std::size_t>(gated::backward_workspace_bytes(p)));
        EmulatorLaunch launch;
        gated::run_backward(launch, p, workspace.data());
        (void)workspace.read();
    }
};

void expect_equals_recurrence(const GatedSetup& setup, const KernelTypes& types) {
    const GatedInputs<float> in = rounded_inputs(setup, types);
    expect_near(in, run_kernels<EmulatedDevice>(in, types), run_reference(in), limits_of(types));
}

class GatedKernelEmulated : public ::testing::TestWithParam<Decay> {
  protected:
    GatedKernelEmulated() {
        setup_.decay = GetParam();
        setup_.keys = setup_.values = 64;
        setup_.heads = setup_.qk_heads = 1;
    }
    GatedSetup setup_;
};

INSTANTIATE_TEST_SUITE_P(Decays, GatedKernelEmulated, ::testing::ValuesIn(kDecays),
                         [](const auto& tested) { return name_of(tested.param); });

TEST_P(GatedKernelEmulated, EqualsRecurrenceAtEveryLength) {
    for (const std::int64_t tokens : {1, 17, 64, 65, 127, 300}) {
        for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
            SCOPED_TRACE(tokens);
            SCOPED_TRACE(direction == Direction::kForward ? "forward" : "reverse");
            setup_.tokens = tokens;
            setup_.direction = direction;
            expect_equals_recurrence(setup_, {});
        }
    }
}

TEST_P(GatedKernelEmulated, ServesEveryPairOfWidths) {
    setup_.tokens = 100;
    for (const std::int64_t keys : {32, 64, 96, 128}) {
        for (const std::int64_t values : {32, 64, 128}) {
            SCOPED_TRACE(std::to_string(keys) + " x " + std::to_string(values));
            setup_.keys = keys;
            setup_.values = values;
            for (const DType gate : {DType::kFloat32, DType::kBFloat16}) {
                expect_equals_recurrence(setup_, {DType::kBFloat16, gate});
            }
        }
    }
}

TEST_P(GatedKernelEmulated, TakesEveryGate) {
    setup_.tokens = 130;
    for (const GateCase& gates : gate_cases()) {
        for (const DType gate : {DType::kFloat32, DType::kBFloat16}) {
            SCOPED_TRACE(gates.name);
            SCOPED_TRACE(name_of(gate));
            setup_.gates = gates;
            expect_equals_recurrence(setup_, {DType::kBFloat16, gate});
        }
    }
}

TEST_P(GatedKernelEmulated, SharesQueryHeads) {
    setup_.tokens = 70;
    setup_.heads = 4;
    setup_.qk_heads = 2;
    setup_.batch = 2;
    expect_equals_recurrence(setup_, {});
}

TEST_P(GatedKernelEmulated, JoinsSegments) {
    setup_.tokens = 600;  // three segments
    setup_.batch = 2;
    setup_.heads = setup_.qk_heads = 2;
    setup_.layout = Layout::kHeadsFirst;
    for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
        setup_.direction = direction;
        expect_equals_recurrence(setup_, {});
    }
}

TEST_P(GatedKernelEmulated, WorksWithoutStates) {
    setup_.tokens = 90;
    setup_.states = false;
    expect_equals_recurrence(setup_, {DType::kBFloat16, DType::kBFloat16});
}

TEST_P(GatedKernelEmulated, TakesEveryTypeAndWidthTokenByToken) {
    setup_.tokens = 70;
    setup_.layout = Layout::kPadded;  // rows that 16-byte copies cannot reach
    for (const auto& [keys, values] : {std::pair{20, 12}, std::pair{64, 65}, std::pair{200, 40}}) {
        setup_.keys = keys;
        setup_.values = values;
        for (const DType type : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
            SCOPED_TRACE(name_of(type));
            SCOPED_TRACE(std::to_string(keys) + " x " + std::to_string(values));
            expect_equals_recurrence(setup_, {type, DType::kFloat32});
        }
    }
}

TEST_P(GatedKernelEmulated, GivesTheSameBitsInEveryThreadOrder) {
    setup_.tokens = 140;
    setup_.keys = setup_.values = 128;
    const KernelTypes types;
    const GatedInputs<float> in = rounded_inputs(setup_, types);
    const GatedOutputs<float> ascending = run_kernels<EmulatedDevice>(in, types);
    for (const emu::Order order : {emu::Order::kDescending, emu::Order::kRandom}) {
        emulation().order = order;
        const GatedOutputs<float> other = run_kernels<EmulatedDevice>(in, types);
        emulation().order = emu::Order::kAscending;
        expect_same_bits(other, ascending);
    }
}

}  // namespace
}  // namespace fla::testing
