// Time of the chunked CPU back end of the gated family against the number of tokens.
//
// Arguments: tokens, heads, width (K = V). The CPU column adds up all threads. Counters: tokens
// times heads a second, FLOP/s by the count of useful operations (state products and the lower half
// of the scores).

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "fla/gated_attn.h"

namespace {

using std::int64_t;

/// Threads of every measurement: FLA_BENCH_THREADS, or one for each processor.
int num_threads() {
    const char* wanted = std::getenv("FLA_BENCH_THREADS");
    const int count = wanted != nullptr ? std::atoi(wanted)
                                        : static_cast<int>(std::thread::hardware_concurrency());
    return std::max(1, count);
}

std::vector<float> random_values(int64_t count, std::uint64_t seed, bool log_decay = false) {
    std::mt19937_64 rng(seed);
    std::normal_distribution<float> normal;
    std::vector<float> out(static_cast<std::size_t>(count));
    for (float& x : out) {
        // The usual gate of the literature: logsigmoid(x) / 16.
        x = log_decay ? -std::log1p(std::exp(-normal(rng))) / 16.0F : normal(rng);
    }
    return out;
}

/// Tensors of one problem with B = 1 and Hq = H.
struct Problem {
    Problem(fla::Decay decay, int64_t tokens, int64_t heads, int64_t width)
        : decay(decay),
          rows({1, tokens, heads, width}),
          q(random_values(tokens * heads * width, 1)),
          k(random_values(tokens * heads * width, 2)),
          v(random_values(tokens * heads * width, 3)),
          grad_o(random_values(tokens * heads * width, 4)),
          o(q.size()),
          grad_q(q.size()),
          grad_k(q.size()),
          grad_v(q.size()) {
        if (decay != fla::Decay::kNone) {
            const bool channel = decay == fla::Decay::kChannel;
            log_decay = random_values(tokens * heads * (channel ? width : 1), 5, true);
            grad_log_decay.resize(log_decay.size());
        }
    }

    [[nodiscard]] fla::ConstTensorRef in(const std::vector<float>& x) const {
        return fla::ref_of(x.data(), {rows[0], rows[1], rows[2], rows[3]});
    }
    [[nodiscard]] fla::TensorRef out(std::vector<float>& x) const {
        return fla::ref_of(x.data(), {rows[0], rows[1], rows[2], rows[3]});
    }

    template <typename Ref, typename Vector>
    [[nodiscard]] Ref gates(Vector& x) const {
        switch (decay) {
            case fla::Decay::kNone:
                return {};
            case fla::Decay::kHead:
                return fla::ref_of(x.data(), {rows[0], rows[1], rows[2]});
            default:
                return fla::ref_of(x.data(), {rows[0], rows[1], rows[2], rows[3]});
        }
    }

    void forward(const fla::ParallelFor& parallel_for) {
        fla::GatedForward p;
        p.q = in(q);
        p.k = in(k);
        p.v = in(v);
        p.log_decay = gates<fla::ConstTensorRef>(std::as_const(log_decay));
        p.o = out(o);
        p.decay = decay;
        p.scale = 1.0 / std::sqrt(static_cast<double>(rows[3]));
        fla::gated_forward_cpu(p, parallel_for);
    }

    void backward(const fla::ParallelFor& parallel_for) {
        fla::GatedBackward p;
        p.q = in(q);
        p.k = in(k);
        p.v = in(v);
        p.log_decay = gates<fla::ConstTensorRef>(std::as_const(log_decay));
        p.grad_o = in(grad_o);
        p.grad_q = out(grad_q);
        p.grad_k = out(grad_k);
        p.grad_v = out(grad_v);
        p.grad_log_decay = gates<fla::TensorRef>(grad_log_decay);
        p.decay = decay;
        p.scale = 1.0 / std::sqrt(static_cast<double>(rows[3]));
        fla::gated_backward_cpu(p, parallel_for);
    }

    fla::Decay decay;
    std::vector<int64_t> rows;
    std::vector<float> q, k, v, log_decay, grad_o, o, grad_q, grad_k, grad_v, grad_log_decay;
};

void set_counters(benchmark::State& state, int64_t flops_per_token_head) {
    const int64_t token_heads = state.range(0) * state.range(1);
    state.SetItemsProcessed(state.iterations() * token_heads);
    state.counters["FLOP/s"] =
        benchmark::Counter(static_cast<double>(token_heads * flops_per_token_head),
                           benchmark::Counter::kIsIterationInvariantRate);
}

void run_forward(benchmark::State& state, fla::Decay decay) {
    Problem problem(decay, state.range(0), state.range(1), state.range(2));
    const fla::ParallelFor parallel_for = fla::thread_for(num_threads());
    for (auto _ : state) {
        problem.forward(parallel_for);
    }
    const int64_t d = state.range(2);
    set_counters(state, 4 * d * d + 16 * 2 * d);
}

void run_forward_backward(benchmark::State& state, fla::Decay decay) {
    Problem problem(decay, state.range(0), state.range(1), state.range(2));
    const fla::ParallelFor parallel_for = fla::thread_for(num_threads());
    for (auto _ : state) {
        problem.forward(parallel_for);
        problem.backward(parallel_for);
    }
    const int64_t d = state.range(2);
    set_counters(state,
                 16 * d * d + 7 * 16 * d);  // Four state products more, two of them repeated.
}

/// The shape of the model first, then the length sweep that must come out linear.
void add_shapes(benchmark::internal::Benchmark* b) {
    b->ArgNames({"T", "H", "D"})
        ->Unit(benchmark::kMillisecond)
        ->MeasureProcessCPUTime()
        ->UseRealTime();
    b->Args({16384, 4, 64})->Args({16384, 4, 128});
    for (int64_t tokens = 4096; tokens <= 262144; tokens *= 4) {
        b->Args({tokens, 2, 64});
    }
}

BENCHMARK_CAPTURE(run_forward, none, fla::Decay::kNone)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_forward, head, fla::Decay::kHead)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_forward, channel, fla::Decay::kChannel)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_forward_backward, none, fla::Decay::kNone)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_forward_backward, head, fla::Decay::kHead)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_forward_backward, channel, fla::Decay::kChannel)->Apply(add_shapes);

}  // namespace

BENCHMARK_MAIN();
