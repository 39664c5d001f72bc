#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <new>
#include <vector>

#include "fla/gated_attn.h"
#include "gated/gated_check.h"
#include "gated/gated_tasks.h"
#include "host/cpu_isa.h"

namespace fla {
namespace {

using std::int64_t;

/// Entry points of one pass in the build for this processor.
struct PassFunctions {
    int64_t (*scratch_floats)(const GatedTask&);
    int64_t (*run)(const GatedTask&);
};

PassFunctions forward_functions() {
    switch (best_cpu_isa()) {
#ifdef FLA_X86_BUILDS
        case CpuIsa::kAvx512:
            return {avx512::gated_forward_scratch_floats, avx512::run_gated_forward};
        case CpuIsa::kAvx2:
            return {avx2::gated_forward_scratch_floats, avx2::run_gated_forward};
#endif
        default:
            return {baseline::gated_forward_scratch_floats, baseline::run_gated_forward};
    }
}

PassFunctions backward_functions() {
    switch (best_cpu_isa()) {
#ifdef FLA_X86_BUILDS
        case CpuIsa::kAvx512:
            return {avx512::gated_backward_scratch_floats, avx512::run_gated_backward};
        case CpuIsa::kAvx2:
            return {avx2::gated_backward_scratch_floats, avx2::run_gated_backward};
#endif
        default:
            return {baseline::gated_backward_scratch_floats, baseline::run_gated_backward};
    }
}

/// Uninitialised floats on a cache-line boundary.
class AlignedFloats {
  public:
    explicit AlignedFloats(int64_t count)
        : data_(static_cast<float*>(
              ::operator new(static_cast<std::size_t>(count) * sizeof(float), kAlignment))) {}
    ~AlignedFloats() { ::operator delete(data_, kAlignment); }
    AlignedFloats(const AlignedFloats&) = delete;
    AlignedFloats& operator=(const AlignedFloats&) = delete;

    [[nodiscard]] float* data() const { return data_; }

  private:
    static constexpr std::align_val_t kAlignment{64};
    float* data_;
};

/// Rows of one sequence and head of a [B, T, H, D] or [B, T, H] tensor, in walking order.
template <typename Pointer, typename Ref>
TokenRows<Pointer> rows_of(const Ref& t, int64_t b, int64_t h, Direction direction) {
    if (!t.present() || t.size(1) == 0) {
        return {};
    }
    Pointer data = static_cast<Pointer>(t.data) + b * t.stride(0) + h * t.stride(2);
    if (direction == Direction::kForward) {
        return {data, t.stride(1)};
    }
    return {data + (t.size(1) - 1) * t.stride(1), -t.stride(1)};
}

template <typename Pointer, typename Ref>
StateRows<Pointer> state_of(const Ref& t, int64_t b, int64_t h) {
    if (!t.present()) {
        return {};
    }
    return {static_cast<Pointer>(t.data) + b * t.stride(0) + h * t.stride(1), t.stride(2)};
}

/// Fills what both passes read. Params is GatedForward or GatedBackward.
template <typename Params>
GatedTask input_task(const Params& p, const GatedShape& shape, int64_t b, int64_t h) {
    GatedTask task;
    task.tokens = shape.tokens;
    task.keys = shape.keys;
    task.values = shape.values;
    task.decay = p.decay;
    task.scale = static_cast<float>(p.scale);
    task.q = rows_of<const float*>(p.q, b, h / shape.group, p.direction);
    task.k = rows_of<const float*>(p.k, b, h / shape.group, p.direction);
    task.v = rows_of<const float*>(p.v, b, h, p.direction);
    task.log_decay = rows_of<const float*>(p.log_decay, b, h, p.direction);
    task.initial_state = state_of<const float*>(p.initial_state, b, h);
    return task;
}

/// Runs one task for every sequence and head, then reports the first illegal log_decay, if any:
/// the same one whatever the threads did.
template <typename MakeTask>
void run_tasks(const GatedShape& shape, Direction direction, const PassFunctions& functions,
               const ParallelFor& parallel_for, const MakeTask& make_task) {
    const int64_t num_tasks = shape.batch * shape.heads;
    if (num_tasks == 0) {
        return;
    }
    std::vector<int64_t> bad_tokens(static_cast<std::size_t>(num_tasks), kNoBadToken);
    parallel_for(num_tasks, [&](int64_t i) {
        GatedTask task = make_task(i / shape.heads, i % shape.heads);
        const AlignedFloats scratch(functions.scratch_floats(task));
        task.scratch = scratch.data();
        bad_tokens[static_cast<std::size_t>(i)] = functions.run(task);
    });
    for (int64_t i = 0; i < num_tasks; ++i) {
        const int64_t bad = bad_tokens[static_cast<std::size_t>(i)];
        if (bad != kNoBadToken) {
            const bool forward = direction == Direction::kForward;
            throw_bad_log_decay(i / shape.heads, forward ? bad : shape.tokens - 1 - bad,
                                i % shape.heads);
        }
    }
}

/// Gradients of q and k for every head, before those of a group are summed: [B, T, H, K] each.
class HeadGradients {
  public:
    explicit HeadGradients(const GatedShape& s)
        : shape_(s), storage_(2 * s.batch * s.tokens * s.heads * s.keys) {
        const std::initializer_list<int64_t> sizes = {s.batch, s.tokens, s.heads, s.keys};
        grad_q = ref_of(storage_.data(), sizes);
        grad_k = ref_of(storage_.data() + grad_q.num_elements(), sizes);
    }

    /// Sums the heads of each group in ascending order into [B, T, Hq, K].
    void reduce(const TensorRef& per_head, const TensorRef& out,
                const ParallelFor& parallel_for) const {
        constexpr int64_t kBlock = 1024;
        const int64_t blocks = (shape_.tokens + kBlock - 1) / kBlock;
        parallel_for(shape_.batch * blocks, [&](int64_t task) {
            const int64_t b = task / blocks;
            const int64_t begin = task % blocks * kBlock;
            const int64_t end = std::min(shape_.tokens, begin + kBlock);
            for (int64_t t = begin; t < end; ++t) {
                for (int64_t h = 0; h < shape_.qk_heads; ++h) {
                    reduce_row(per_head, out, b, t, h);
                }
            }
        });
    }

    TensorRef grad_q;
    TensorRef grad_k;

  private:
    void reduce_row(const TensorRef& per_head, const TensorRef& out, int64_t b, int64_t t,
                    int64_t qk_head) const {
        const float* from = static_cast<const float*>(per_head.data) + b * per_head.stride(0) +
                            t * per_head.stride(1) + qk_head * shape_.group * per_head.stride(2);
        float* to = static_cast<float*>(out.data) + b * out.stride(0) + t * out.stride(1) +
                    qk_head * out.stride(2);
        std::copy_n(from, shape_.keys, to);
        for (int64_t member = 1; member < shape_.group; ++member) {
            from += per_head.stride(2);
            for (int64_t x = 0; x < shape_.keys; ++x) {
                to[x] += from[x];
            }
        }
    }

    GatedShape shape_;
    AlignedFloats storage_;
};

void run_backward(const GatedBackward& p, const GatedShape& shape, const TensorRef& grad_q,
                  const TensorRef& grad_k, const ParallelFor& parallel_for) {
    const int64_t qk_group = grad_q.size(2) == shape.heads ? 1 : shape.group;
    run_tasks(shape, p.direction, backward_functions(), parallel_for, [&](int64_t b, int64_t h) {
        GatedTask task = input_task(p, shape, b, h);
        task.grad_o = rows_of<const float*>(p.grad_o, b, h, p.direction);
        task.grad_final_state = state_of<const float*>(p.grad_final_state, b, h);
        task.grad_q = rows_of<float*>(grad_q, b, h / qk_group, p.direction);
        task.grad_k = rows_of<float*>(grad_k, b, h / qk_group, p.direction);
        task.grad_v = rows_of<float*>(p.grad_v, b, h, p.direction);
        task.grad_log_decay = rows_of<float*>(p.grad_log_decay, b, h, p.direction);
        task.grad_initial_state = state_of<float*>(p.grad_initial_state, b, h);
        return task;
    });
}

}  // namespace

void gated_forward_cpu(const GatedForward& p, const ParallelFor& parallel_for) {
    const GatedShape shape = check_gated_forward(p, GatedDTypes::kFloat32);
    run_tasks(shape, p.direction, forward_functions(), parallel_for, [&](int64_t b, int64_t h) {
        GatedTask task = input_task(p, shape, b, h);
        task.o = rows_of<float*>(p.o, b, h, p.direction);
        task.final_state = state_of<float*>(p.final_state, b, h);
        return task;
    });
}

void gated_backward_cpu(const GatedBackward& p, const ParallelFor& parallel_for) {
    const GatedShape shape = check_gated_backward(p, GatedDTypes::kFloat32);
    if (shape.group == 1) {
        run_backward(p, shape, p.grad_q, p.grad_k, parallel_for);
        return;
    }
    const HeadGradients per_head(shape);
    run_backward(p, shape, per_head.grad_q, per_head.grad_k, parallel_for);
    per_head.reduce(per_head.grad_q, p.grad_q, parallel_for);
    per_head.reduce(per_head.grad_k, p.grad_k, parallel_for);
}

}  // namespace fla
