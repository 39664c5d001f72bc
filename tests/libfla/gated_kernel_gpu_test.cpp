// The kernels of the gated family on a GPU: the cases of the emulator and those that it is too slow for.

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fla/gated_cuda.h"
#include "libfla/gated_kernel_cases.h"

namespace fla::testing {
namespace {

void check(cudaError_t code, const char* what) {
    ASSERT_EQ(code, cudaSuccess) << what << ": " << cudaGetErrorString(code);
}

struct GpuDevice {
    static void* allocate(std::size_t bytes) {
        void* memory = nullptr;
        check(cudaMalloc(&memory, bytes), "cudaMalloc");
        return memory;
    }
    static void release(void* memory) { cudaFree(memory); }
    static void copy_in(void* to, const void* from, std::size_t bytes) {
        check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), "copy to the GPU");
    }
    static void copy_out(void* to, const void* from, std::size_t bytes) {
        check(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "copy from the GPU");
    }
    static void forward(const GatedForward& p) {
        const KernelMemory<GpuDevice> workspace(
            static_cast<std::size_t>(gated_forward_cuda_workspace(p)));
        gated_forward_cuda(p, workspace.data(), nullptr);
        check(cudaDeviceSynchronize(), "forward");
        (void)workspace.read();
    }
    static void backward(const GatedBackward& p) {
        const KernelMemory<GpuDevice> workspace(
            static_cast<std::size_t>(gated_backward_cuda_workspace(p)));
        gated_backward_cuda(p, workspace.data(), nullptr);
        check(cudaDeviceSynchronize(), "backward");
        (void)workspace.read();
    }
};

class GatedKernelGpu : public ::testing::TestWithParam<Decay> {
  protected:
    GatedKernelGpu() {
        setup_.decay = GetParam();
        setup_.keys = setup_.values = 64;
    }
    void SetUp() override {
        int count = 0;
        if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
            GTEST_SKIP() << "needs a GPU, found none";
        }
    }

    void expect_equals_recurrence(const KernelTypes& types) const {
        const GatedInputs<float> in = rounded_inputs(setup_, types);
        expect_near(in, run_kernels<GpuDevice>(in, types), run_reference(in), limits_of(types));
    }

    GatedSetup setup_;
};

INSTANTIATE_TEST_SUITE_P(Decays, GatedKernelGpu, ::testing::ValuesIn(kDecays),
                         [](const auto& tested) { return name_of(tested.param); });

TEST_P(GatedKernelGpu, EqualsRecurrenceAtEveryLength) {
    for (const std::int64_t tokens :
         {1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1000, 4097, 65537}) {
        for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
            SCOPED_TRACE(tokens);
            SCOPED_TRACE(direction == Direction::kForward ? "forward" : "reverse");
            setup_.tokens = tokens;
            setup_.heads = setup_.qk_heads = tokens > 10000 ? 1 : 2;
            setup_.direction = direction;
            expect_equals_recurrence({});
        }
    }
}

TEST_P(GatedKernelGpu, ServesEveryPairOfWidths) {
    setup_.tokens = 300;
    for (const std::int64_t keys : {32, 64, 96, 128}) {
        for (const std::int64_t values : {32, 64, 96, 128}) {
            for (const DType gate : {DType::kFloat32, DType::kBFloat16}) {
                SCOPED_TRACE(std::to_string(keys) + " x " + std::to_string(values));
                setup_.keys = keys;
                setup_.values = values;
                expect_equals_recurrence({DType::kBFloat16, gate});
            }
        }
    }
}

TEST_P(GatedKernelGpu, TakesEveryGate) {
    setup_.tokens = 700;
    for (const GateCase& gates : gate_cases()) {
        for (const DType gate : {DType::kFloat32, DType::kBFloat16}) {
            SCOPED_TRACE(gates.name);
            SCOPED_TRACE(name_of(gate));
            setup_.gates = gates;
            expect_equals_recurrence({DType::kBFloat16, gate});
        }
    }
}

TEST_P(GatedKernelGpu, SharesQueryHeads) {
    setup_.tokens = 200;
    setup_.heads = 6;
    setup_.batch = 2;
    for (const std::int64_t qk_heads : {1, 2, 3}) {
        setup_.qk_heads = qk_heads;
        expect_equals_recurrence({});
    }
}

TEST_P(GatedKernelGpu, TakesEveryTypeAndWidthTokenByToken) {
    setup_.tokens = 700;
    setup_.layout = Layout::kPadded;  // rows that 16-byte copies cannot reach
    for (const auto& [keys, values] :
         {std::pair{20, 12}, std::pair{64, 65}, std::pair{200, 40}, std::pair{256, 256}}) {
        setup_.keys = keys;
        setup_.values = values;
        for (const DType type : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
            SCOPED_TRACE(name_of(type));
            SCOPED_TRACE(std::to_string(keys) + " x " + std::to_string(values));
            expect_equals_recurrence({type, DType::kFloat32});
        }
    }
}

TEST_P(GatedKernelGpu, GivesTheSameBitsEachTime) {
    setup_.tokens = 3000;
    setup_.heads = setup_.qk_heads = 4;
    const KernelTypes types;
    const GatedInputs<float> in = rounded_inputs(setup_, types);
    const GatedOutputs<float> first = run_kernels<GpuDevice>(in, types);
    for (int i = 0; i < 30; ++i) {
        expect_same_bits(run_kernels<GpuDevice>(in, types), first);
    }
}

}  // namespace
}  // namespace fla::testing
