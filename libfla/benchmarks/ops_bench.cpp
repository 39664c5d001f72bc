// Times the operators against the number of tokens, and LibTorch's softmax attention beside them.
//
// Usage: ops_bench [--threads N] [--tokens 4096,8192,...] [--ops gla,delta_rule,...] [--sdpa-tokens
// N]
//                  [--seconds S]
//
// Prints tab-separated rows: one sequence, H = 4 heads, D = 64 (K = V), float32. A row repeats its
// pass until S seconds are spent, at least three times, after one call that is not counted. On a
// busy machine min_cpu_ms, the processor time of all threads, says more than the wall times.
#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "fla/torch/ops.h"

namespace {

constexpr std::int64_t kHeads = 4;
constexpr std::int64_t kWidth = 64;

struct Options {
    int num_threads = 2;
    std::vector<std::int64_t> tokens{4096, 8192, 16384, 32768, 65536, 131072, 262144};
    std::vector<std::string> ops;
    std::int64_t sdpa_tokens = 16384;  ///< 0 leaves softmax attention out.
    double seconds = 1.0;
};

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    std::stringstream stream(text);
    for (std::string part; std::getline(stream, part, ',');) {
        parts.push_back(part);
    }
    return parts;
}

Options parse_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i += 2) {
        const std::string flag = argv[i];
        if (i + 1 >= argc) {
            throw std::invalid_argument(flag + " needs a value");
        }
        const std::string value = argv[i + 1];
        if (flag == "--threads") {
            options.num_threads = std::stoi(value);
        } else if (flag == "--tokens") {
            options.tokens.clear();
            for (const std::string& part : split(value)) {
                options.tokens.push_back(std::stoll(part));
            }
        } else if (flag == "--ops") {
            options.ops = split(value);
        } else if (flag == "--sdpa-tokens") {
            options.sdpa_tokens = std::stoll(value);
        } else if (flag == "--seconds") {
            options.seconds = std::stod(value);
        } else {
            throw std::invalid_argument(
                "unknown option " + flag +
                "; known: --threads --tokens --ops --sdpa-tokens --seconds");
        }
    }
    return options;
}

std::string processor_name() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("model name")) {
            return line.substr(line.find(':') + 2);
        }
    }
    return "unknown processor";
}

/// Inputs of every operator at one length. Gates logsigmoid(N(0,1)), unit keys for the delta rule,
/// beta = sigmoid(N(0,1)).
struct Inputs {
    explicit Inputs(std::int64_t num_tokens) {
        torch::manual_seed(1);
        q = at::randn({1, num_tokens, kHeads, kWidth});
        k = at::randn({1, num_tokens, kHeads, kWidth});
        v = at::randn({1, num_tokens, kHeads, kWidth});
        per_head = at::randn({1, num_tokens, kHeads});
    }
    at::Tensor q, k, v, per_head;
};

/// A pass under test: its differentiable inputs and the call that gives its output.
struct Workload {
    std::vector<at::Tensor> inputs;
    std::function<at::Tensor()> forward;
};

Workload make_workload(const std::string& op, const Inputs& in) {
    using namespace fla::ops;  // NOLINT(google-build-using-namespace): names the operators below.
    const auto leaf = [](const at::Tensor& t) { return t.detach().clone().requires_grad_(); };
    const at::Tensor q = leaf(in.q);
    const at::Tensor k =
        leaf(op.ends_with("delta_rule") ? in.k / in.k.norm(2, -1, /*keepdim=*/true) : in.k);
    const at::Tensor v = leaf(in.v);
    const at::Tensor g = leaf(at::log_sigmoid(op == "gla" ? at::randn_like(in.q) : in.per_head));
    const at::Tensor beta = leaf(at::sigmoid(in.per_head));
    if (op == "linear_attn" || op == "linear_attn_normalised") {
        const LinearAttnOptions options{.normalize = op != "linear_attn"};
        return {{q, k, v}, [=] { return chunk_linear_attn(q, k, v, options).o; }};
    }
    if (op == "simple_gla") {
        return {{q, k, v, g}, [=] { return chunk_simple_gla(q, k, v, g).o; }};
    }
    if (op == "gla") {
        return {{q, k, v, g}, [=] { return chunk_gla(q, k, v, g).o; }};
    }
    if (op == "delta_rule") {
        return {{q, k, v, beta}, [=] { return chunk_delta_rule(q, k, v, beta).o; }};
    }
    if (op == "gated_delta_rule") {
        return {{q, k, v, g, beta}, [=] { return chunk_gated_delta_rule(q, k, v, g, beta).o; }};
    }
    if (op == "ssd") {
        SsdInputs ssd;
        ssd.x = v;
        ssd.dt = leaf(in.per_head);
        ssd.a_log = at::zeros({kHeads}).requires_grad_();
        ssd.b = k;
        ssd.c = q;
        ssd.d = at::ones({kHeads}).requires_grad_();
        return {{q, k, v, ssd.dt, ssd.a_log, *ssd.d}, [=] { return chunk_ssd(ssd).y; }};
    }
    throw std::invalid_argument("unknown operator " + op);
}

Workload make_softmax(const Inputs& in, bool causal) {
    const auto leaf = [](const at::Tensor& t) {
        return t.detach().transpose(1, 2).contiguous().requires_grad_();
    };
    const at::Tensor q = leaf(in.q);
    const at::Tensor k = leaf(in.k);
    const at::Tensor v = leaf(in.v);
    return {{q, k, v}, [=] {
                return at::scaled_dot_product_attention(q, k, v, /*attn_mask=*/{}, 0.0, causal);
            }};
}

struct Timing {
    std::vector<double> ms;
    double min_cpu_ms = std::numeric_limits<double>::infinity();  ///< All threads together.
    [[nodiscard]] double min() const { return *std::min_element(ms.begin(), ms.end()); }
    [[nodiscard]] double median() const {
        std::vector<double> sorted = ms;
        std::sort(sorted.begin(), sorted.end());
        return sorted[sorted.size() / 2];
    }
};

Timing time_repeats(double seconds, const std::function<void()>& pass) {
    using Clock = std::chrono::steady_clock;
    pass();
    Timing timing;
    const auto begin = Clock::now();
    do {
        const auto start = Clock::now();
        const std::clock_t cpu_start = std::clock();
        pass();
        timing.ms.push_back(
            std::chrono::duration<double, std::milli>(Clock::now() - start).count());
        timing.min_cpu_ms =
            std::min(timing.min_cpu_ms,
                     1e3 * static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC);
    } while (timing.ms.size() < 3 || Clock::now() - begin < std::chrono::duration<double>(seconds));
    return timing;
}

void print_row(const std::string& op, const char* pass, std::int64_t num_tokens,
               const Timing& timing) {
    const double us_per_token = 1e3 * timing.min() / static_cast<double>(num_tokens);
    std::cout << op << '\t' << pass << '\t' << num_tokens << '\t' << kHeads << '\t' << kWidth
              << '\t' << at::get_num_threads() << '\t' << timing.min() << '\t' << timing.median()
              << '\t' << timing.min_cpu_ms << '\t' << us_per_token << '\t' << timing.ms.size()
              << std::endl;
}

void measure(const std::string& op, std::int64_t num_tokens, const Workload& work, double seconds) {
    {
        const at::NoGradGuard no_grad;
        print_row(op, "forward", num_tokens, time_repeats(seconds, [&] { (void)work.forward(); }));
    }
    const at::Tensor grad = at::randn_like(work.forward());
    print_row(op, "forward+backward", num_tokens, time_repeats(seconds, [&] {
                  (void)torch::autograd::grad({work.forward()}, work.inputs, {grad});
              }));
}

void run(const Options& options) {
    const std::vector<std::string> all{
        "linear_attn", "linear_attn_normalised", "simple_gla", "ssd", "gla",
        "delta_rule",  "gated_delta_rule"};
    at::set_num_threads(options.num_threads);
    std::cout << "# " << processor_name() << ", " << at::get_cpu_capability() << ", LibTorch "
              << TORCH_VERSION << ", float32\n"
              << "op\tpass\ttokens\theads\twidth\tthreads\tmin_ms\tmedian_ms\tmin_cpu_ms\tus_per_"
                 "token\trepeats"
              << std::endl;
    for (const std::string& op : options.ops.empty() ? all : options.ops) {
        for (const std::int64_t num_tokens : options.tokens) {
            measure(op, num_tokens, make_workload(op, Inputs(num_tokens)), options.seconds);
        }
    }
    if (options.sdpa_tokens > 0) {
        const Inputs inputs(options.sdpa_tokens);
        measure("softmax_attn", options.sdpa_tokens, make_softmax(inputs, false), options.seconds);
        measure("softmax_attn_causal", options.sdpa_tokens, make_softmax(inputs, true),
                options.seconds);
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run(parse_options(argc, argv));
    } catch (const std::exception& error) {
        std::cerr << "ops_bench: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
