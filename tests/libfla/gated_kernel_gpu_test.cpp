// The kernels of the gated family on a GPU: the cases of the emulator and those that it is too slow
// for.

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

/// The same in a CUDA graph on a stream of its own, replayed twice.
struct GraphDevice : GpuDevice {
    template <typename Enqueue>
    static void replay(const Enqueue& enqueue) {
        cudaStream_t stream = nullptr;
        cudaGraph_t graph = nullptr;
        cudaGraphExec_t executable = nullptr;
        check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
        check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
        enqueue(stream);
        check(cudaStreamEndCapture(stream, &graph), "end of the capture");
        check(cudaGraphInstantiate(&executable, graph, 0), "graph");
        for (int i = 0; i < 2; ++i) {
            check(cudaGraphLaunch(executable, stream), "replay");
        }
        check(cudaStreamSynchronize(stream), "graph's end");
        cudaGraphExecDestroy(executable);
        cudaGraphDestroy(graph);
        cudaStreamDestroy(stream);
    }
    static void forward(const GatedForward& p) {
        const KernelMemory<GpuDevice> workspace(
            static_cast<std::size_t>(gated_forward_cuda_workspace(p)));
        replay([&](cudaStream_t stream) { gated_forward_cuda(p, workspace.data(), stream); });
    }
    static void backward(const GatedBackward& p) {
        const KernelMemory<GpuDevice> workspace(
            static_cast<std::size_t>(gated_backward_cuda_workspace(p)));
        replay([&](cudaStream_t stream) { gated_backward_cuda(p, workspace.data(), stream); });
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
    for (int i = 0; i < 100; ++i) {
        expect_same_bits(run_kernels<GpuDevice>(in, types), first);
    }
}

/// A part of the tokens [begin, begin + count) of a [1, T, 1, D] tensor.
std::vector<float> tokens_of(const Tensor<float>& t, std::int64_t begin, std::int64_t count) {
    const std::int64_t width = t.sizes.size() == 4 ? t.sizes[3] : 1;
    const auto first = t.storage.begin() + begin * width;
    return {first, first + count * width};
}

// No drift: the first and the last hundredth of a million tokens are as near to fp32 as the whole.
TEST_P(GatedKernelGpu, StaysExactOverAMillionTokens) {
    setup_.tokens = (1 << 20) + 1;
    setup_.heads = setup_.qk_heads = 1;
    setup_.gates = {"weak",
                    [](std::mt19937_64& rng, std::int64_t) { return uniform(rng, -2e-5, 0.0); }};
    const KernelTypes types;
    const GatedInputs<float> in = rounded_inputs(setup_, types);
    const GatedOutputs<float> found = run_kernels<GpuDevice>(in, types);
    const GatedOutputs<float> wanted =
        run_kernels<GpuDevice>(in, {DType::kFloat32, DType::kFloat32});
    const KernelLimits limits = limits_of(types);
    const std::int64_t part = setup_.tokens / 100;
    for (const auto& [begin, count] : {std::pair<std::int64_t, std::int64_t>{0, setup_.tokens},
                                       {0, part},
                                       {setup_.tokens - part, part}}) {
        SCOPED_TRACE(begin);
        const auto expect = [&](const char* name, const Tensor<float>& x, const Tensor<float>& y,
                                double limit) {
            if (x.present()) {
                EXPECT_LE(flagen::testing::rms_ratio(tokens_of(x, begin, count),
                                                     tokens_of(y, begin, count)),
                          limit)
                    << name;
            }
        };
        expect("o", found.o, wanted.o, limits.output);
        expect("dq", found.grad_q, wanted.grad_q, limits.gradient);
        expect("dk", found.grad_k, wanted.grad_k, limits.gradient);
        expect("dv", found.grad_v, wanted.grad_v, limits.gradient);
        expect("dg", found.grad_log_decay, wanted.grad_log_decay, limits.decay);
    }
}

// More than 2^31 elements a tensor: the last head of a wide problem equals the same head alone.
TEST_P(GatedKernelGpu, ReachesElementsBeyond32Bits) {
    constexpr std::int64_t kTokens = (1 << 19) + 70, kHeads = 33, kDim = 128;
    std::size_t free_bytes = 0, total_bytes = 0;
    check(cudaMemGetInfo(&free_bytes, &total_bytes), "memory");
    constexpr std::int64_t kElements = kTokens * kHeads * kDim;  // 2.2e9
    const std::size_t needed = static_cast<std::size_t>(kElements) * 2 * 5 + (6ULL << 30);
    if (free_bytes < needed) {
        GTEST_SKIP() << "needs " << (needed >> 30) << " GiB of GPU memory, found "
                     << (free_bytes >> 30);
    }
    std::mt19937_64 rng(3);
    std::normal_distribution<float> normal;
    const auto fill = [&](void* to, std::int64_t bytes, bool gates) {
        std::vector<std::uint16_t> pattern((1 << 22) + 24);
        for (auto& x : pattern) {
            x = bf16_bits(gates ? -0.05F * std::abs(normal(rng)) : normal(rng));
        }
        const auto size = static_cast<std::int64_t>(pattern.size() * 2);
        for (std::int64_t at = 0; at < bytes; at += size) {
            GpuDevice::copy_in(static_cast<char*>(to) + at, pattern.data(),
                               static_cast<std::size_t>(std::min(size, bytes - at)));
        }
    };
    struct Owned {
        void* data;
        explicit Owned(std::int64_t bytes)
            : data(GpuDevice::allocate(static_cast<std::size_t>(bytes))) {}
        Owned(const Owned&) = delete;
        Owned& operator=(const Owned&) = delete;
        ~Owned() { GpuDevice::release(data); }
    };
    const bool channel = GetParam() == Decay::kChannel, head = GetParam() == Decay::kHead;
    const Owned q(kElements * 2), k(kElements * 2), v(kElements * 2), o(kElements * 2);
    const std::int64_t gate_elements = channel ? kElements : head ? kTokens * kHeads : 1;
    const Owned gate(gate_elements * 2);
    fill(q.data, kElements * 2, false);
    fill(k.data, kElements * 2, false);
    fill(v.data, kElements * 2, false);
    fill(gate.data, gate_elements * 2, true);
    const auto last_head = [&](void* data, std::int64_t width) {
        TensorRef t = contiguous_ref(data, DType::kBFloat16, {1, kTokens, kHeads, width});
        if (width == 1) {
            t.ndim = 3;
        }
        t.sizes[2] = 1;
        t.data = static_cast<char*>(data) + (kHeads - 1) * width * 2;
        return t;
    };
    GatedForward all;
    all.decay = GetParam();
    all.scale = 0.1;
    all.q = as_const(contiguous_ref(q.data, DType::kBFloat16, {1, kTokens, kHeads, kDim}));
    all.k = as_const(contiguous_ref(k.data, DType::kBFloat16, {1, kTokens, kHeads, kDim}));
    all.v = as_const(contiguous_ref(v.data, DType::kBFloat16, {1, kTokens, kHeads, kDim}));
    all.o = contiguous_ref(o.data, DType::kBFloat16, {1, kTokens, kHeads, kDim});
    GatedForward one = all;
    one.q = as_const(last_head(q.data, kDim));
    one.k = as_const(last_head(k.data, kDim));
    one.v = as_const(last_head(v.data, kDim));
    const Owned one_o(kTokens * kDim * 2);
    one.o = contiguous_ref(one_o.data, DType::kBFloat16, {1, kTokens, 1, kDim});
    if (channel) {
        all.log_decay =
            as_const(contiguous_ref(gate.data, DType::kBFloat16, {1, kTokens, kHeads, kDim}));
        one.log_decay = as_const(last_head(gate.data, kDim));
    } else if (head) {
        all.log_decay = as_const(contiguous_ref(gate.data, DType::kBFloat16, {1, kTokens, kHeads}));
        one.log_decay = as_const(last_head(gate.data, 1));
    }
    for (const GatedForward* p : {&all, &one}) {
        const Owned workspace(gated_forward_cuda_workspace(*p));
        gated_forward_cuda(*p, workspace.data, nullptr);
        check(cudaDeviceSynchronize(), "forward");
    }
    const auto read = [&](const void* from) {
        std::vector<std::uint16_t> bits(kDim);
        GpuDevice::copy_out(bits.data(), from, kDim * 2);
        std::vector<float> x(kDim);
        std::transform(bits.begin(), bits.end(), x.begin(), from_bf16_bits);
        return x;
    };
    std::vector<float> found, wanted;
    for (const std::int64_t token :
         {std::int64_t{0}, std::int64_t{1000}, kTokens / 2, kTokens - 1}) {
        for (const float x :
             read(static_cast<char*>(o.data) + ((token + 1) * kHeads - 1) * kDim * 2)) {
            found.push_back(x);
        }
        for (const float x : read(static_cast<char*>(one_o.data) + token * kDim * 2)) {
            wanted.push_back(x);
        }
    }
    EXPECT_LE(flagen::testing::rms_ratio(found, wanted), 0.005);
}

TEST_P(GatedKernelGpu, RunsInAGraphOnAnyStream) {
    setup_.tokens = 5000;
    const KernelTypes types;
    GatedInputs<float> in = rounded_inputs(setup_, types);
    const GatedOutputs<float> wanted = run_kernels<GpuDevice>(in, types);
    const GatedOutputs<float> found = run_kernels<GraphDevice>(in, types);
    expect_same_bits(found, wanted);
}

}  // namespace
}  // namespace fla::testing
