// Time of the chunked CPU back end of the delta family against the number of tokens.
//
// Arguments: tokens, heads, width (K = V). The CPU column adds up all threads. Counters: tokens
// times heads a second, FLOP/s of the products that the code runs (whole blocks of 16 rows, two for
// a multiply-add).

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fla/delta_rule.h"

namespace {

using std::int64_t;

enum class Gate { kNone, kHead };

/// Threads of every measurement: FLA_BENCH_THREADS, or one for each processor.
int num_threads() {
    const char* wanted = std::getenv("FLA_BENCH_THREADS");
    const int count = wanted != nullptr ? std::atoi(wanted)
                                        : static_cast<int>(std::thread::hardware_concurrency());
    return std::max(1, count);
}

/// Tensors of one problem with B = 1 and Hq = H: unit keys, beta in (0, 1), gates logsigmoid(x)
/// / 16.
class Problem {
  public:
    Problem(Gate gate, int64_t tokens, int64_t heads, int64_t width)
        : tokens_(tokens), heads_(heads), width_(width) {
        for (auto* x : {&q_, &k_, &v_, &grad_o_}) {
            *x = normal_values(tokens * heads * width);
        }
        for (auto* x : {&o_, &grad_q_, &grad_k_, &grad_v_}) {
            x->resize(q_.size());
        }
        normalise_keys();
        beta_ = normal_values(tokens * heads);
        grad_beta_.resize(beta_.size());
        for (float& x : beta_) {
            x = 1.0F / (1.0F + std::exp(-x));
        }
        if (gate == Gate::kHead) {
            log_decay_ = normal_values(tokens * heads);
            grad_log_decay_.resize(log_decay_.size());
            for (float& x : log_decay_) {
                x = -std::log1p(std::exp(-x)) / 16.0F;
            }
        }
    }

    void forward(const fla::ParallelFor& parallel_for) {
        fla::DeltaForward p;
        set_inputs(p);
        p.o = rows(o_);
        fla::delta_forward_cpu(p, parallel_for);
    }

    void backward(const fla::ParallelFor& parallel_for) {
        fla::DeltaBackward p;
        set_inputs(p);
        p.grad_o = as_const(rows(grad_o_));
        p.grad_q = rows(grad_q_);
        p.grad_k = rows(grad_k_);
        p.grad_v = rows(grad_v_);
        p.grad_beta = columns(grad_beta_);
        p.grad_log_decay = columns(grad_log_decay_);
        fla::delta_backward_cpu(p, parallel_for);
    }

  private:
    std::vector<float> normal_values(int64_t count) {
        std::normal_distribution<float> normal;
        std::vector<float> out(static_cast<std::size_t>(count));
        for (float& x : out) {
            x = normal(rng_);
        }
        return out;
    }

    void normalise_keys() {
        for (std::size_t first = 0; first < k_.size(); first += static_cast<std::size_t>(width_)) {
            float sum = 0.0F;
            for (std::size_t c = first; c < first + static_cast<std::size_t>(width_); ++c) {
                sum += k_[c] * k_[c];
            }
            for (std::size_t c = first; c < first + static_cast<std::size_t>(width_); ++c) {
                k_[c] /= std::sqrt(sum);
            }
        }
    }

    [[nodiscard]] fla::TensorRef rows(std::vector<float>& x) const {
        return fla::ref_of(x.data(), {1, tokens_, heads_, width_});
    }
    [[nodiscard]] fla::TensorRef columns(std::vector<float>& x) const {
        return x.empty() ? fla::TensorRef{} : fla::ref_of(x.data(), {1, tokens_, heads_});
    }

    template <typename Params>
    void set_inputs(Params& p) {
        p.q = as_const(rows(q_));
        p.k = as_const(rows(k_));
        p.v = as_const(rows(v_));
        p.beta = as_const(columns(beta_));
        p.log_decay = as_const(columns(log_decay_));
        p.scale = 1.0 / std::sqrt(static_cast<double>(width_));
    }

    int64_t tokens_, heads_, width_;
    std::mt19937_64 rng_{1};
    std::vector<float> q_, k_, v_, beta_, log_decay_, grad_o_, o_, grad_q_, grad_k_, grad_v_;
    std::vector<float> grad_beta_, grad_log_decay_;
};

/// A token-head has `states` products with a D x D state and `pairs` of D with the lower blocks of
/// a 64-token chunk, which hold 40 columns a row on average.
void set_counters(benchmark::State& state, int64_t states, int64_t pairs) {
    const int64_t d = state.range(2);
    const int64_t token_heads = state.range(0) * state.range(1);
    state.SetItemsProcessed(state.iterations() * token_heads);
    state.counters["FLOP/s"] =
        benchmark::Counter(static_cast<double>(token_heads * 2 * (states * d * d + pairs * d * 40)),
                           benchmark::Counter::kIsIterationInvariantRate);
}

void run_forward(benchmark::State& state, Gate gate) {
    Problem problem(gate, state.range(0), state.range(1), state.range(2));
    const fla::ParallelFor parallel_for = fla::thread_for(num_threads());
    for (auto _ : state) {
        problem.forward(parallel_for);
    }
    set_counters(state, 3, 4);
}

void run_forward_backward(benchmark::State& state, Gate gate) {
    Problem problem(gate, state.range(0), state.range(1), state.range(2));
    const fla::ParallelFor parallel_for = fla::thread_for(num_threads());
    for (auto _ : state) {
        problem.forward(parallel_for);
        problem.backward(parallel_for);
    }
    set_counters(state, 3 + 8, 4 + 12);
}

/// The shape of the model first, then the length sweep that must come out linear.
void add_shapes(benchmark::internal::Benchmark* b) {
    b->ArgNames({"T", "H", "D"});
    b->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();
    b->Args({16384, 4, 64})->Args({16384, 4, 128});
    for (int64_t tokens = 4096; tokens <= 262144; tokens *= 4) {
        b->Args({tokens, 2, 64});
    }
}

BENCHMARK_CAPTURE(run_forward, deltanet, Gate::kNone)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_forward, gated_deltanet, Gate::kHead)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_forward_backward, deltanet, Gate::kNone)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_forward_backward, gated_deltanet, Gate::kHead)->Apply(add_shapes);

}  // namespace

BENCHMARK_MAIN();
