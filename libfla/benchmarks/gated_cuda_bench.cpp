// Times of the gated family's CUDA kernels: a table on stderr, a JSON object a row on stdout.
//
//     gated_cuda_bench [--filter TEXT] [--repeats N] [--l2 cold|warm]
//
// One row is one case and pass: forward with final state, or forward and backward. Times are
// between CUDA events, after ten calls, with 256 MB written before each call so that L2 is cold.
// The floor is every input read once and every output written once at the memory rate of a
// device-to-device copy, which is measured first.

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "fla/error.h"
#include "fla/gated_cuda.h"

namespace {

using fla::DType;
using std::int64_t;

enum class Gates { kNone, kNearZero, kLogSigmoid, kAtLeastMinusFive };

const char* name_of(Gates gates) {
    switch (gates) {
        case Gates::kNone:
            return "none";
        case Gates::kNearZero:
            return "-1e-5";
        case Gates::kLogSigmoid:
            return "logsigmoid(N)/16";
        default:
            return "max(logsigmoid(N), -5)";
    }
}

struct Case {
    const char* op;
    fla::Decay decay;
    int64_t batch, tokens, qk_heads, heads, keys, values;
    Gates gates;
};

std::vector<Case> all_cases() {
    using fla::Decay;
    const auto gla = [](int64_t batch, int64_t tokens, int64_t heads, int64_t dim,
                        Gates gates = Gates::kLogSigmoid) {
        return Case{"gla", Decay::kChannel, batch, tokens, heads, heads, dim, dim, gates};
    };
    return {
        gla(1, 1 << 20, 8, 64),
        gla(1, 1 << 20, 8, 64, Gates::kNearZero),
        gla(1, 1 << 20, 8, 64, Gates::kAtLeastMinusFive),
        gla(1, 16384, 8, 64),
        gla(1, 32768, 8, 64),
        gla(1, 524288, 8, 128),
        gla(1, 32768, 16, 128),
        gla(2, 16384, 16, 128),
        gla(1, 131072, 16, 128),
        gla(1, 1 << 20, 16, 128),
        {"linear", Decay::kNone, 1, 1 << 20, 8, 8, 64, 64, Gates::kNone},
        {"linear", Decay::kNone, 2, 16384, 16, 16, 128, 128, Gates::kNone},
        {"simple_gla", Decay::kHead, 2, 16384, 16, 16, 128, 128, Gates::kLogSigmoid},
        {"simple_gla", Decay::kHead, 1, 1 << 20, 8, 8, 64, 64, Gates::kLogSigmoid},
        {"ssd", Decay::kHead, 1, 131072, 1, 24, 128, 64, Gates::kLogSigmoid},
    };
}

/// Device memory for the life of the object.
class Buffer {
  public:
    explicit Buffer(int64_t bytes) : bytes_(bytes) {
        FLA_CUDA_CHECK(cudaMalloc(&data_, static_cast<std::size_t>(std::max<int64_t>(bytes, 1))));
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { cudaFree(data_); }
    [[nodiscard]] void* data() const { return data_; }
    [[nodiscard]] int64_t bytes() const { return bytes_; }

    /// Fills it with copies of a pattern.
    void fill(const std::vector<std::uint16_t>& pattern) const {
        const auto pattern_bytes = static_cast<int64_t>(pattern.size() * 2);
        for (int64_t at = 0; at < bytes_; at += pattern_bytes) {
            FLA_CUDA_CHECK(
                cudaMemcpy(static_cast<char*>(data_) + at, pattern.data(),
                           static_cast<std::size_t>(std::min(pattern_bytes, bytes_ - at)),
                           cudaMemcpyHostToDevice));
        }
    }

  private:
    void* data_ = nullptr;
    int64_t bytes_;
};

std::uint16_t bf16_bits(float x) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &x, 4);
    return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

std::vector<std::uint16_t> normal_pattern(std::uint64_t seed) {
    std::mt19937_64 rng(seed);
    std::normal_distribution<float> normal;
    std::vector<std::uint16_t> out((1 << 21) + 8 * 37);  // not a multiple of any row
    for (auto& x : out) {
        x = bf16_bits(normal(rng));
    }
    return out;
}

std::vector<std::uint16_t> gate_pattern(Gates gates) {
    std::mt19937_64 rng(9);
    std::normal_distribution<float> normal;
    std::vector<std::uint16_t> out((1 << 21) + 8 * 41);
    for (auto& x : out) {
        const float log_sigmoid = -std::log1p(std::exp(-normal(rng)));
        x = bf16_bits(gates == Gates::kNearZero     ? -1e-5F
                      : gates == Gates::kLogSigmoid ? log_sigmoid / 16.0F
                                                    : std::max(log_sigmoid, -5.0F));
    }
    return out;
}

struct Times {
    double min, median, max;
};

template <typename Call>
Times measure(const Call& call, int repeats, const Buffer* flush) {
    cudaEvent_t begin = nullptr, end = nullptr;
    FLA_CUDA_CHECK(cudaEventCreate(&begin));
    FLA_CUDA_CHECK(cudaEventCreate(&end));
    for (int i = 0; i < 3; ++i) {
        call();
    }
    std::vector<double> times;
    for (int i = 0; i < repeats; ++i) {
        if (flush != nullptr) {
            FLA_CUDA_CHECK(
                cudaMemsetAsync(flush->data(), i, static_cast<std::size_t>(flush->bytes())));
        }
        FLA_CUDA_CHECK(cudaEventRecord(begin));
        call();
        FLA_CUDA_CHECK(cudaEventRecord(end));
        FLA_CUDA_CHECK(cudaEventSynchronize(end));
        float ms = 0.0F;
        FLA_CUDA_CHECK(cudaEventElapsedTime(&ms, begin, end));
        times.push_back(static_cast<double>(ms));
    }
    FLA_CUDA_CHECK(cudaEventDestroy(begin));
    FLA_CUDA_CHECK(cudaEventDestroy(end));
    std::sort(times.begin(), times.end());
    return {times.front(), times[times.size() / 2], times.back()};
}

/// Bytes a second of a large device-to-device copy, read and written.
double copy_rate() {
    const Buffer from(1LL << 30), to(1LL << 30);
    const Times t = measure(
        [&] {
            FLA_CUDA_CHECK(
                cudaMemcpyAsync(to.data(), from.data(), 1U << 30, cudaMemcpyDeviceToDevice));
        },
        10, nullptr);
    return 2.0 * static_cast<double>(1LL << 30) / (t.median * 1e-3);
}

fla::TensorRef ref(const Buffer& buffer, DType dtype, std::initializer_list<int64_t> sizes) {
    return fla::contiguous_ref(buffer.data(), dtype, sizes);
}

struct Options {
    std::string filter;
    int repeats = 30;
    bool cold = true;
};

void run_case(const Case& c, const Options& options, double rate) {
    const int64_t rows = c.batch * c.tokens;
    const int64_t qk = rows * c.qk_heads * c.keys * 2, vo = rows * c.heads * c.values * 2;
    const int64_t gate_count = c.decay == fla::Decay::kChannel ? rows * c.heads * c.keys
                               : c.decay == fla::Decay::kHead  ? rows * c.heads
                                                               : 0;
    const DType gate_type = c.decay == fla::Decay::kHead ? DType::kFloat32 : DType::kBFloat16;
    const int64_t gate_bytes = gate_count * fla::size_in_bytes(gate_type);
    const Buffer q(qk), k(qk), v(vo), o(vo), gate(gate_bytes);
    const Buffer state(c.batch * c.heads * c.keys * c.values * 4);
    q.fill(normal_pattern(1));
    k.fill(normal_pattern(2));
    v.fill(normal_pattern(3));
    if (c.decay == fla::Decay::kChannel) {
        gate.fill(gate_pattern(c.gates));
    } else if (c.decay == fla::Decay::kHead) {
        std::vector<float> values(static_cast<std::size_t>(gate_count));
        const std::vector<std::uint16_t> bits = gate_pattern(c.gates);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const std::uint32_t x = std::uint32_t{bits[i % bits.size()]} << 16;
            std::memcpy(&values[i], &x, 4);
        }
        FLA_CUDA_CHECK(
            cudaMemcpy(gate.data(), values.data(), values.size() * 4, cudaMemcpyHostToDevice));
    }
    const Buffer flush(options.cold ? 256LL << 20 : 1);
    const Buffer* const flush_ptr = options.cold ? &flush : nullptr;

    fla::GatedForward f;
    f.q = as_const(ref(q, DType::kBFloat16, {c.batch, c.tokens, c.qk_heads, c.keys}));
    f.k = as_const(ref(k, DType::kBFloat16, {c.batch, c.tokens, c.qk_heads, c.keys}));
    f.v = as_const(ref(v, DType::kBFloat16, {c.batch, c.tokens, c.heads, c.values}));
    if (c.decay == fla::Decay::kChannel) {
        f.log_decay = as_const(ref(gate, gate_type, {c.batch, c.tokens, c.heads, c.keys}));
    } else if (c.decay == fla::Decay::kHead) {
        f.log_decay = as_const(ref(gate, gate_type, {c.batch, c.tokens, c.heads}));
    }
    f.o = ref(o, DType::kBFloat16, {c.batch, c.tokens, c.heads, c.values});
    f.final_state = ref(state, DType::kFloat32, {c.batch, c.heads, c.keys, c.values});
    f.decay = c.decay;
    f.scale = 1.0 / std::sqrt(static_cast<double>(c.keys));

    const int64_t forward_workspace = gated_forward_cuda_workspace(f);
    const auto report = [&](const char* pass, const Times& t, int64_t bytes, int64_t peak,
                            int64_t workspace) {
        const double floor_ms = static_cast<double>(bytes) / rate * 1e3;
        std::fprintf(
            stderr,
            "%-10s %-7s B%lld T%-8lld H%lld/%lld K%lld V%lld %-22s %9.3f ms "
            "(%.3f .. %.3f)  floor %.3f, x %.2f  peak %.2f GiB, workspace %.1f %%\n",
            c.op, pass, static_cast<long long>(c.batch), static_cast<long long>(c.tokens),
            static_cast<long long>(c.qk_heads), static_cast<long long>(c.heads),
            static_cast<long long>(c.keys), static_cast<long long>(c.values), name_of(c.gates),
            t.median, t.min, t.max, floor_ms, t.median / floor_ms,
            static_cast<double>(peak) / (1LL << 30),
            100.0 * static_cast<double>(workspace) / static_cast<double>(2 * qk + vo + gate_bytes));
        std::printf(
            "{\"op\": \"%s\", \"pass\": \"%s\", \"B\": %lld, \"T\": %lld, \"H\": %lld, "
            "\"HV\": %lld, \"K\": %lld, \"V\": %lld, \"dtype\": \"bfloat16\", "
            "\"decay\": \"%s\", \"ms_min\": %.4f, \"ms_median\": %.4f, \"ms_max\": %.4f, "
            "\"peak_bytes\": %lld, \"workspace_bytes\": %lld, \"hbm_floor_ms\": %.4f, "
            "\"l2\": \"%s\", \"repeats\": %d, \"provider\": \"libfla\"}\n",
            c.op, pass, static_cast<long long>(c.batch), static_cast<long long>(c.tokens),
            static_cast<long long>(c.qk_heads), static_cast<long long>(c.heads),
            static_cast<long long>(c.keys), static_cast<long long>(c.values), name_of(c.gates),
            t.min, t.median, t.max, static_cast<long long>(peak), static_cast<long long>(workspace),
            floor_ms, options.cold ? "cold" : "warm", options.repeats);
        std::fflush(stdout);
    };
    const int repeats =
        rows * c.heads > (1LL << 22) ? std::min(options.repeats, 10) : options.repeats;
    {
        const Buffer workspace(forward_workspace);
        const Times t =
            measure([&] { gated_forward_cuda(f, workspace.data(), nullptr); }, repeats, flush_ptr);
        const int64_t bytes = 2 * qk + 2 * vo + gate_bytes + state.bytes();
        report("fwd", t, bytes, bytes + forward_workspace, forward_workspace);
    }

    const Buffer grad_o(vo), grad_q(qk), grad_k(qk), grad_v(vo), grad_gate(gate_bytes);
    grad_o.fill(normal_pattern(4));
    fla::GatedBackward b;
    b.q = f.q;
    b.k = f.k;
    b.v = f.v;
    b.log_decay = f.log_decay;
    b.grad_o = as_const(ref(grad_o, DType::kBFloat16, {c.batch, c.tokens, c.heads, c.values}));
    b.grad_q = ref(grad_q, DType::kBFloat16, {c.batch, c.tokens, c.qk_heads, c.keys});
    b.grad_k = ref(grad_k, DType::kBFloat16, {c.batch, c.tokens, c.qk_heads, c.keys});
    b.grad_v = ref(grad_v, DType::kBFloat16, {c.batch, c.tokens, c.heads, c.values});
    if (c.decay != fla::Decay::kNone) {
        b.grad_log_decay = {grad_gate.data(), gate_type, f.log_decay.ndim, f.log_decay.sizes,
                            f.log_decay.strides};
    }
    b.decay = c.decay;
    b.scale = f.scale;
    const int64_t backward_workspace = gated_backward_cuda_workspace(b);
    const int64_t workspace_bytes = std::max(forward_workspace, backward_workspace);
    const Buffer workspace(workspace_bytes);
    const Times t = measure(
        [&] {
            gated_forward_cuda(f, workspace.data(), nullptr);
            gated_backward_cuda(b, workspace.data(), nullptr);
        },
        repeats, flush_ptr);
    const int64_t inputs = 2 * qk + vo + gate_bytes;
    const int64_t bytes = (inputs + vo + state.bytes()) + (inputs + vo + inputs);
    report("fwd_bwd", t, bytes, 2 * inputs + 2 * vo + state.bytes() + workspace_bytes,
           workspace_bytes);
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string name = argv[i];
        if (name == "--filter") {
            options.filter = argv[i + 1];
        } else if (name == "--repeats") {
            options.repeats = std::max(1, std::atoi(argv[i + 1]));
        } else if (name == "--l2") {
            options.cold = std::string(argv[i + 1]) != "warm";
        } else {
            std::fprintf(stderr, "gated_cuda_bench: unknown option %s\n", argv[i]);
            return 2;
        }
    }
    try {
        cudaDeviceProp properties{};
        FLA_CUDA_CHECK(cudaGetDeviceProperties(&properties, 0));
        const double rate = copy_rate();
        std::fprintf(stderr, "%s, copy %.2f TB/s, L2 %s\n", properties.name, rate * 1e-12,
                     options.cold ? "cold" : "warm");
        for (const Case& c : all_cases()) {
            const std::string name = std::string(c.op) + "-T" + std::to_string(c.tokens) + "-H" +
                                     std::to_string(c.heads) + "-K" + std::to_string(c.keys) + "-" +
                                     name_of(c.gates);
            if (name.find(options.filter) == std::string::npos) {
                continue;
            }
            try {
                run_case(c, options, rate);
            } catch (const fla::CudaError& error) {
                std::fprintf(stderr, "%s: %s\n", name.c_str(), error.what());
                cudaGetLastError();
            }
        }
    } catch (const fla::Error& error) {
        std::fprintf(stderr, "gated_cuda_bench: %s\n", error.what());
        return 1;
    }
    return 0;
}
