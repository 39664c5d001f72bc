#include "delta/delta_cpu.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

#include "delta/delta_check.h"
#include "delta/delta_chunk.h"
#include "fla/error.h"

namespace fla {
namespace {

using std::int64_t;

const DeltaForwardKernel& forward_kernel(CpuIsa isa) {
#ifdef FLA_X86_BUILDS
    if (isa == CpuIsa::kAvx512) {
        return avx512::kDeltaForward;
    }
    if (isa == CpuIsa::kAvx2) {
        return avx2::kDeltaForward;
    }
#endif
    return baseline::kDeltaForward;
}

const DeltaBackwardKernel& backward_kernel(CpuIsa isa) {
#ifdef FLA_X86_BUILDS
    if (isa == CpuIsa::kAvx512) {
        return avx512::kDeltaBackward;
    }
    if (isa == CpuIsa::kAvx2) {
        return avx2::kDeltaBackward;
    }
#endif
    return baseline::kDeltaBackward;
}

void require_supported(CpuIsa isa) {
    if (!is_supported(isa)) {
        throw Unsupported(join_text("this build or processor has no ", name_of(isa), " kernels"));
    }
}

/// Floats that start on a cache line.
class AlignedFloats {
  public:
    explicit AlignedFloats(int64_t count)
        : data_(static_cast<float*>(
              ::operator new(static_cast<std::size_t>(count) * sizeof(float), kAlignment))) {}
    [[nodiscard]] float* data() const { return data_.get(); }

  private:
    static constexpr std::align_val_t kAlignment{64};
    struct Release {
        void operator()(float* data) const { ::operator delete(data, kAlignment); }
    };
    std::unique_ptr<float, Release> data_;
};

/// Where head (b, h) of a [B, T, H] or [B, T, H, D] tensor starts, in the order of the walk.
template <typename Float>
struct TokenColumn {
    Float* data = nullptr;
    int64_t stride = 0;

    template <typename Pointer>
    TokenColumn(const BasicTensorRef<Pointer>& t, int64_t b, int64_t h, Direction direction) {
        if (!t.present()) {
            return;
        }
        data = static_cast<Float*>(t.data) + b * t.stride(0) + h * t.stride(2);
        stride = t.stride(1);
        if (direction == Direction::kReverse) {
            data += std::max<int64_t>(t.size(1) - 1, 0) * stride;
            stride = -stride;
        }
    }
};

/// Start of matrix (b, h) of a [B, H, K, V] tensor, or null.
template <typename Float, typename Pointer>
Float* state_of(const BasicTensorRef<Pointer>& t, int64_t b, int64_t h) {
    return t.present() ? static_cast<Float*>(t.data) + b * t.stride(0) + h * t.stride(1) : nullptr;
}

template <typename Params>
DeltaHeadInputs head_inputs(const Params& p, const DeltaShape& s, int64_t b, int64_t h) {
    const TokenColumn<const float> q(p.q, b, h / s.group, p.direction);
    const TokenColumn<const float> k(p.k, b, h / s.group, p.direction);
    const TokenColumn<const float> v(p.v, b, h, p.direction);
    const TokenColumn<const float> beta(p.beta, b, h, p.direction);
    const TokenColumn<const float> log_decay(p.log_decay, b, h, p.direction);
    DeltaHeadInputs in;
    in.num_tokens = s.tokens;
    in.key_width = s.keys;
    in.value_width = s.values;
    in.scale = static_cast<float>(p.scale);
    in.q = q.data;
    in.q_stride = q.stride;
    in.k = k.data;
    in.k_stride = k.stride;
    in.v = v.data;
    in.v_stride = v.stride;
    in.beta = beta.data;
    in.beta_stride = beta.stride;
    in.log_decay = log_decay.data;
    in.log_decay_stride = log_decay.stride;
    in.initial_state = state_of<const float>(p.initial_state, b, h);
    in.initial_state_stride = p.initial_state.stride(2);
    return in;
}

/// grad_qk must have one row a head here: partial sums where heads share queries and keys.
DeltaHeadBackward head_backward(const DeltaBackward& p, const DeltaShape& s, int64_t b, int64_t h) {
    DeltaHeadBackward problem;
    problem.in = head_inputs(p, s, b, h);
    const TokenColumn<const float> grad_o(p.grad_o, b, h, p.direction);
    const TokenColumn<float> grad_q(p.grad_q, b, h, p.direction);
    const TokenColumn<float> grad_k(p.grad_k, b, h, p.direction);
    const TokenColumn<float> grad_v(p.grad_v, b, h, p.direction);
    const TokenColumn<float> grad_beta(p.grad_beta, b, h, p.direction);
    const TokenColumn<float> grad_log_decay(p.grad_log_decay, b, h, p.direction);
    problem.grad_o = grad_o.data;
    problem.grad_o_stride = grad_o.stride;
    problem.grad_final_state = state_of<const float>(p.grad_final_state, b, h);
    problem.grad_final_state_stride = p.grad_final_state.stride(2);
    problem.grad_q = grad_q.data;
    problem.grad_q_stride = grad_q.stride;
    problem.grad_k = grad_k.data;
    problem.grad_k_stride = grad_k.stride;
    problem.grad_v = grad_v.data;
    problem.grad_v_stride = grad_v.stride;
    problem.grad_beta = grad_beta.data;
    problem.grad_beta_stride = grad_beta.stride;
    problem.grad_log_decay = grad_log_decay.data;
    problem.grad_log_decay_stride = grad_log_decay.stride;
    problem.grad_initial_state = state_of<float>(p.grad_initial_state, b, h);
    problem.grad_initial_state_stride = p.grad_initial_state.stride(2);
    return problem;
}

void run_backward_tasks(CpuIsa isa, const DeltaBackward& p, const DeltaShape& s,
                        const ParallelFor& parallel_for) {
    const DeltaBackwardKernel& kernel = backward_kernel(isa);
    const int64_t floats = kernel.scratch_floats(s.tokens, s.keys, s.values);
    parallel_for(s.batch * s.heads, [&](int64_t task) {
        const AlignedFloats scratch(floats);
        kernel.run(head_backward(p, s, task / s.heads, task % s.heads), scratch.data());
    });
}

/// total[b, t, hq, :] = sum over the heads of the group of partial[b, t, h, :], in their order.
void sum_groups(const float* partial, const DeltaShape& s, const TensorRef& total, int64_t b,
                int64_t t) {
    for (int64_t hq = 0; hq < s.qk_heads; ++hq) {
        float* out = static_cast<float*>(total.data) + b * total.stride(0) + t * total.stride(1) +
                     hq * total.stride(2);
        const float* in = partial + ((b * s.tokens + t) * s.heads + hq * s.group) * s.keys;
        std::copy(in, in + s.keys, out);
        for (int64_t member = 1; member < s.group; ++member) {
            for (int64_t c = 0; c < s.keys; ++c) {
                out[c] += in[member * s.keys + c];
            }
        }
    }
}

void run_grouped_backward(CpuIsa isa, const DeltaBackward& p, const DeltaShape& s,
                          const ParallelFor& parallel_for) {
    const AlignedFloats partial_q(s.batch * s.tokens * s.heads * s.keys);
    const AlignedFloats partial_k(s.batch * s.tokens * s.heads * s.keys);
    DeltaBackward parts = p;
    parts.grad_q = ref_of(partial_q.data(), {s.batch, s.tokens, s.heads, s.keys});
    parts.grad_k = ref_of(partial_k.data(), {s.batch, s.tokens, s.heads, s.keys});
    run_backward_tasks(isa, parts, s, parallel_for);
    constexpr int64_t kTokensPerTask = 256;
    const int64_t pieces = (s.tokens + kTokensPerTask - 1) / kTokensPerTask;
    parallel_for(s.batch * pieces, [&](int64_t task) {
        const int64_t b = task / pieces;
        const int64_t first = task % pieces * kTokensPerTask;
        const int64_t end = std::min(first + kTokensPerTask, s.tokens);
        for (int64_t t = first; t < end; ++t) {
            sum_groups(partial_q.data(), s, p.grad_q, b, t);
            sum_groups(partial_k.data(), s, p.grad_k, b, t);
        }
    });
}

}  // namespace

void delta_forward_cpu_on(CpuIsa isa, const DeltaForward& p, const ParallelFor& parallel_for) {
    require_supported(isa);
    const DeltaShape s = check_delta_forward(p, DeltaDTypes::kFloat32);
    const DeltaForwardKernel& kernel = forward_kernel(isa);
    const int64_t floats = kernel.scratch_floats(s.tokens, s.keys, s.values);
    parallel_for(s.batch * s.heads, [&](int64_t task) {
        const int64_t b = task / s.heads;
        const int64_t h = task % s.heads;
        const TokenColumn<float> o(p.o, b, h, p.direction);
        DeltaHeadForward problem;
        problem.in = head_inputs(p, s, b, h);
        problem.o = o.data;
        problem.o_stride = o.stride;
        problem.final_state = state_of<float>(p.final_state, b, h);
        problem.final_state_stride = p.final_state.stride(2);
        const AlignedFloats scratch(floats);
        kernel.run(problem, scratch.data());
    });
}

void delta_backward_cpu_on(CpuIsa isa, const DeltaBackward& p, const ParallelFor& parallel_for) {
    require_supported(isa);
    const DeltaShape s = check_delta_backward(p, DeltaDTypes::kFloat32);
    if (s.group > 1) {
        run_grouped_backward(isa, p, s, parallel_for);
    } else {
        run_backward_tasks(isa, p, s, parallel_for);
    }
}

void delta_forward_cpu(const DeltaForward& params, const ParallelFor& parallel_for) {
    delta_forward_cpu_on(best_cpu_isa(), params, parallel_for);
}

void delta_backward_cpu(const DeltaBackward& params, const ParallelFor& parallel_for) {
    delta_backward_cpu_on(best_cpu_isa(), params, parallel_for);
}

}  // namespace fla
