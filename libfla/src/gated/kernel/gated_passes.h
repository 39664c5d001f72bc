#pragma once

#include <algorithm>
#include <cstdint>

#include "fla/error.h"
#include "fla/gated_attn.h"
#include "gated/gated_check.h"
#include "gated/kernel/gated_combine_kernel.cuh"
#include "gated/kernel/gated_recurrent_kernel.cuh"
#include "gated/kernel/gated_tile_launch.h"

/// The order of kernels that makes one forward or backward pass, for any `Launch`.
namespace fla::gated {

/// Cuts memory of the caller into arrays; with a null base it only counts.
class WorkspaceCursor {
  public:
    explicit WorkspaceCursor(void* base) : base_(static_cast<unsigned char*>(base)) {}

    template <class T>
    T* take(std::int64_t count) {
        T* const at = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + bytes_);
        bytes_ += (count * std::int64_t{sizeof(T)} + 255) / 256 * 256;
        return at;
    }
    [[nodiscard]] std::int64_t bytes() const { return bytes_; }

  private:
    unsigned char* base_;
    std::int64_t bytes_ = 0;
};

/// How a problem is run. A function of shapes, strides and dtypes alone, so that results do not
/// depend on the card, the stream or earlier calls.
struct GatedPlan {
    GatedShape shape;
    SegmentMap map;
    bool tiles;                ///< Tensor-core tiles, else token by token.
    int key_tile, value_tile;  ///< 64 or 128
    bool splits_state;
};

/// Sequences without decay from this length on read the state as bf16 and a rest: the rounding of a
/// state that never forgets is an error that grows with position.
inline constexpr std::int64_t kSplitStateTokens = 500'000;

[[nodiscard]] inline Element element_of(DType dtype) {
    return dtype == DType::kBFloat16  ? Element::kBf16
           : dtype == DType::kFloat16 ? Element::kFp16
                                      : Element::kFp32;
}

/// May rows of the tensor be copied in pieces of 16 bytes?
[[nodiscard]] inline bool has_aligned_rows(const ConstTensorRef& t) {
    const std::int64_t vec = 16 / size_in_bytes(t.dtype);
    if (reinterpret_cast<std::uintptr_t>(t.data) % 16 != 0 || t.size(t.ndim - 1) % vec != 0) {
        return false;
    }
    for (int d = 0; d + 1 < t.ndim; ++d) {
        if (t.size(d) > 1 && t.stride(d) % vec != 0) {
            return false;
        }
    }
    return true;
}

/// Segments of about the same number for every problem: enough to fill a large GPU a few times,
/// long enough that their states are few bytes beside the inputs.
[[nodiscard]] inline std::int64_t segment_tokens_of(const GatedShape& s, bool tiles) {
    const std::int64_t state = s.keys * s.values;
    const std::int64_t items = state > 64 * 64 ? 528 : 1056;
    const std::int64_t shortest = state > 64 * 64 ? 512 : 256;
    const std::int64_t longest = tiles ? 2048 : 512;
    const std::int64_t even = s.batch * s.tokens * s.heads / items;
    const std::int64_t rounded = (even + kChunkTokens - 1) / kChunkTokens * kChunkTokens;
    return std::clamp(rounded, std::min(shortest, longest), longest);
}

/// `operands`: all inputs and outputs with rows of K or V elements; tiles need bf16 for them.
template <std::size_t kCount>
[[nodiscard]] GatedPlan plan_gated(const GatedShape& shape, Decay decay, const ConstTensorRef& gate,
                                   Direction direction, const ConstTensorRef (&operands)[kCount]) {
    GatedPlan plan;
    plan.shape = shape;
    plan.tiles = shape.keys <= 128 && shape.values <= 128;
    for (const ConstTensorRef& t : operands) {
        plan.tiles = plan.tiles && t.dtype == DType::kBFloat16 && has_aligned_rows(t);
    }
    if (decay == Decay::kChannel) {
        plan.tiles = plan.tiles && gate.dtype != DType::kFloat16 && has_aligned_rows(gate);
    }
    FLA_CHECK(plan.tiles || (shape.keys <= kMaxRecurrentDim && shape.values <= kMaxRecurrentDim),
              "K is ", shape.keys, " and V is ", shape.values, ", expected at most ",
              kMaxRecurrentDim, " on CUDA");
    plan.key_tile = shape.keys <= 64 ? 64 : 128;
    plan.value_tile = shape.values <= 64 ? 64 : 128;
    plan.splits_state = decay == Decay::kNone && shape.tokens >= kSplitStateTokens;
    const std::int64_t segment_tokens = segment_tokens_of(shape, plan.tiles);
    const std::int64_t segments = (shape.tokens + segment_tokens - 1) / segment_tokens;
    plan.map = SegmentMap{};
    plan.map.tokens = shape.tokens;
    plan.map.segments_per_sequence = static_cast<int>(segments);
    plan.map.segment_tokens = static_cast<int>(segment_tokens);
    plan.map.num_segments = static_cast<int>(segments * shape.batch);
    plan.map.reverse = direction == Direction::kReverse;
    return plan;
}

template <typename Ref>
[[nodiscard]] TokenRows token_rows(const Ref& t, std::int64_t heads_per_row) {
    TokenRows rows{};
    if (t.present()) {
        rows = {const_cast<void*>(static_cast<const void*>(t.data)),
                t.stride(0),
                t.stride(1),
                t.stride(2),
                static_cast<int>(heads_per_row),
                element_of(t.dtype)};
    }
    return rows;
}

/// Dense [B, T, H, K] rows in the workspace.
[[nodiscard]] inline TokenRows workspace_rows(void* data, const GatedShape& s, Element type) {
    return {data, s.tokens * s.heads * s.keys, s.heads * s.keys, s.keys, 1, type};
}

/// Runs kernels of one plan.
template <class Launch>
class GatedPasses {
  public:
    GatedPasses(Launch& launch, const GatedPlan& plan) : launch_(launch), plan_(plan) {}

    /// Fills states with what every segment adds, and log_decays with its decay.
    void segment_states(const ScanParams& scan, float* states, float* log_decays) {
        if (!plan_.tiles) {
            RecurrentParams r{};
            r.sweep.scan = scan;
            r.sweep.end_states = states;
            r.log_decays = log_decays;
            recurrent(ReadSide::kByKey, r);
            return;
        }
        const StateParams params{scan, states, log_decays};
        with_tile([&](auto tile) { decltype(tile)::state(launch_, params); });
    }

    void combine(const CombineParams& params) {
        const std::int64_t blocks =
            (plan_.shape.keys * plan_.shape.values + kCombineThreads - 1) / kCombineThreads;
        launch_(gated_combine_kernel, blocks * plan_.shape.heads * plan_.shape.batch,
                kCombineThreads, 0, params);
    }

    /// `terms`: workspace for the gradient of the log-decays where there are no tiles.
    void sweep(ReadSide side, const SweepParams& params, float* terms = nullptr) {
        if (plan_.tiles) {
            with_tile([&](auto tile) { decltype(tile)::sweep(launch_, side, params); });
            return;
        }
        RecurrentParams r{};
        r.sweep = params;
        r.terms = terms;
        recurrent(side, r);
        if (params.gate_gradient == GateGradient::kKey) {
            launch_(gated_gate_gradient_kernel, items(), kGateGradientThreads, 0, r);
        }
    }

    void boundary(const BoundaryParams& params) {
        const std::int64_t rows = items() * (params.per_channel ? params.key_dim : 1);
        constexpr int kWarps = kCombineThreads / device::kWarpSize;
        launch_(gated_boundary_kernel, (rows + kWarps - 1) / kWarps, kCombineThreads, 0, params);
    }

    void group_sum(const TokenRows& parts, const TokenRows& sum) {
        const GatedShape& s = plan_.shape;
        const GroupSumParams params{parts,
                                    sum,
                                    s.batch,
                                    s.tokens,
                                    static_cast<int>(s.qk_heads),
                                    static_cast<int>(s.group),
                                    static_cast<int>(s.keys)};
        const std::int64_t elements = s.batch * s.tokens * s.qk_heads * s.keys;
        launch_(gated_group_sum_kernel,
                (elements + kGateGradientThreads - 1) / kGateGradientThreads, kGateGradientThreads,
                0, params);
    }

    [[nodiscard]] std::int64_t items() const {
        return std::int64_t{plan_.map.num_segments} * plan_.shape.heads;
    }

  private:
    template <typename Call>
    void with_tile(Call call) {
        const bool wide_keys = plan_.key_tile == 128, wide_values = plan_.value_tile == 128;
        if (wide_keys && wide_values) {
            call(TileLaunch<Launch, 128, 128>());
        } else if (wide_keys) {
            call(TileLaunch<Launch, 128, 64>());
        } else if (wide_values) {
            call(TileLaunch<Launch, 64, 128>());
        } else {
            call(TileLaunch<Launch, 64, 64>());
        }
    }

    void recurrent(ReadSide side, const RecurrentParams& params) {
        if (side == ReadSide::kByKey) {
            recurrent_side<ReadSide::kByKey>(params, plan_.shape.keys, plan_.shape.values);
        } else {
            recurrent_side<ReadSide::kByValue>(params, plan_.shape.values, plan_.shape.keys);
        }
    }
    template <ReadSide kSide>
    void recurrent_side(const RecurrentParams& params, std::int64_t contraction,
                        std::int64_t outs) {
        const std::int64_t grid = items() * ((outs + kRecurrentOuts - 1) / kRecurrentOuts);
        const auto start = [&](auto kernel, std::size_t shared_bytes) {
            launch_(kernel, grid, kRecurrentThreads, shared_bytes, params);
        };
        if (contraction <= 64) {
            start(gated_recurrent_kernel<kSide, 64>, sizeof(RecurrentShared<64>));
        } else if (contraction <= 128) {
            start(gated_recurrent_kernel<kSide, 128>, sizeof(RecurrentShared<128>));
        } else {
            start(gated_recurrent_kernel<kSide, 256>, sizeof(RecurrentShared<256>));
        }
    }

    Launch& launch_;
    const GatedPlan& plan_;
};

/// Log-decays of one token and head.
[[nodiscard]] inline std::int64_t gates_per_token(const GatedShape& shape, Decay decay) {
    return decay == Decay::kNone ? 0 : decay == Decay::kChannel ? shape.keys : 1;
}

/// Workspace of a forward pass.
struct ForwardWorkspace {
    float* states;
    float* log_decays;

    ForwardWorkspace(WorkspaceCursor& cursor, const GatedPlan& plan, Decay decay) {
        const GatedShape& s = plan.shape;
        const std::int64_t slots = std::int64_t{plan.map.num_segments} * s.heads;
        states = cursor.take<float>(slots * s.keys * s.values);
        log_decays = cursor.take<float>(slots * gates_per_token(s, decay));
    }
};

/// Workspace of a backward pass.
struct BackwardWorkspace {
    ForwardWorkspace forward;
    float *grad_states, *boundary, *chunk_totals;
    float* terms;           ///< Without tiles.
    void *grad_q, *grad_k;  ///< A row for each head, if heads share query/key heads.

    BackwardWorkspace(WorkspaceCursor& cursor, const GatedPlan& plan, Decay decay, DType dtype)
        : forward(cursor, plan, decay) {
        const GatedShape& s = plan.shape;
        const std::int64_t slots = std::int64_t{plan.map.num_segments} * s.heads;
        const std::int64_t channels = gates_per_token(s, decay);
        grad_states = cursor.take<float>(slots * s.keys * s.values);
        boundary = cursor.take<float>(slots * channels);
        chunk_totals = cursor.take<float>(
            plan.tiles ? slots * (plan.map.segment_tokens / kChunkTokens) * channels : 0);
        const std::int64_t term_cols =
            decay == Decay::kHead ? (s.keys + kRecurrentOuts - 1) / kRecurrentOuts : channels;
        terms = cursor.take<float>(plan.tiles ? 0 : s.batch * s.tokens * s.heads * term_cols);
        const std::int64_t shared =
            s.group > 1 ? s.batch * s.tokens * s.heads * s.keys * size_in_bytes(dtype) : 0;
        grad_q = cursor.take<unsigned char>(shared);
        grad_k = cursor.take<unsigned char>(shared);
    }
};

template <typename Ref>
[[nodiscard]] SequenceStates sequence_states(const Ref& t, double factor) {
    SequenceStates states{};
    if (t.present()) {
        states = {static_cast<float*>(const_cast<void*>(static_cast<const void*>(t.data))),
                  t.stride(0), t.stride(1), t.stride(2), static_cast<float>(factor)};
    }
    return states;
}

[[nodiscard]] inline CombineParams combine_params(const GatedPlan& plan, const ForwardWorkspace& w,
                                                  Decay decay, float* states, bool backwards) {
    CombineParams c{};
    c.map = plan.map;
    c.heads = static_cast<int>(plan.shape.heads);
    c.key_dim = static_cast<int>(plan.shape.keys);
    c.value_dim = static_cast<int>(plan.shape.values);
    c.backwards = backwards;
    c.per_channel = decay == Decay::kChannel;
    c.states = states;
    c.log_decays = decay == Decay::kNone ? nullptr : w.log_decays;
    return c;
}

template <typename Params>
[[nodiscard]] ScanParams scan_params(const GatedPlan& plan, const Params& p,
                                     const ConstTensorRef& key, const ConstTensorRef& value) {
    ScanParams scan{};
    scan.map = plan.map;
    scan.heads = static_cast<int>(plan.shape.heads);
    scan.key_dim = static_cast<int>(plan.shape.keys);
    scan.value_dim = static_cast<int>(plan.shape.values);
    scan.span = DecaySpan::kAfterWriter;
    scan.key = token_rows(key, plan.shape.group);
    scan.value = token_rows(value, 1);
    scan.gate = token_rows(p.log_decay, 1);
    scan.per_channel = p.decay == Decay::kChannel;
    return scan;
}

[[nodiscard]] inline GatedPlan plan_forward(const GatedForward& p) {
    return plan_gated(check_gated_forward(p, GatedDTypes::kCuda), p.decay, p.log_decay, p.direction,
                      {p.q, p.k, p.v, as_const(p.o)});
}

[[nodiscard]] inline GatedPlan plan_backward(const GatedBackward& p) {
    FLA_CHECK(p.scale != 0.0, "scale is 0, expected another value on CUDA");
    return plan_gated(
        check_gated_backward(p, GatedDTypes::kCuda), p.decay, p.log_decay, p.direction,
        {p.q, p.k, p.v, p.grad_o, as_const(p.grad_q), as_const(p.grad_k), as_const(p.grad_v)});
}

[[nodiscard]] inline std::int64_t forward_workspace_bytes(const GatedForward& p) {
    WorkspaceCursor cursor(nullptr);
    const ForwardWorkspace layout(cursor, plan_forward(p), p.decay);
    return cursor.bytes();
}

[[nodiscard]] inline std::int64_t backward_workspace_bytes(const GatedBackward& p) {
    WorkspaceCursor cursor(nullptr);
    const BackwardWorkspace layout(cursor, plan_backward(p), p.decay, p.q.dtype);
    return cursor.bytes();
}

template <class Launch>
void run_forward(Launch& launch, const GatedForward& p, void* workspace) {
    const GatedPlan plan = plan_forward(p);
    WorkspaceCursor cursor(workspace);
    const ForwardWorkspace w(cursor, plan, p.decay);
    GatedPasses<Launch> passes(launch, plan);
    const ScanParams scan = scan_params(plan, p, p.k, p.v);
    passes.segment_states(scan, w.states, w.log_decays);
    CombineParams c = combine_params(plan, w, p.decay, w.states, false);
    c.initial_states = sequence_states(p.initial_state, 1.0);
    c.final_states = sequence_states(p.final_state, 1.0);
    passes.combine(c);
    SweepParams s{};
    s.scan = scan;
    s.reader = token_rows(p.q, plan.shape.group);
    s.out = token_rows(p.o, 1);
    s.scale = static_cast<float>(p.scale);
    s.states = w.states;
    s.splits_state = plan.splits_state;
    passes.sweep(ReadSide::kByKey, s);
}

template <class Launch>
void run_backward(Launch& launch, const GatedBackward& p, void* workspace) {
    const GatedPlan plan = plan_backward(p);
    const GatedShape& shape = plan.shape;
    WorkspaceCursor cursor(workspace);
    const BackwardWorkspace w(cursor, plan, p.decay, p.q.dtype);
    GatedPasses<Launch> passes(launch, plan);
    const bool has_decay = p.decay != Decay::kNone;
    const float scale = static_cast<float>(p.scale);

    // The states before each segment, again.
    const ScanParams scan = scan_params(plan, p, p.k, p.v);
    passes.segment_states(scan, w.forward.states, w.forward.log_decays);
    CombineParams c = combine_params(plan, w.forward, p.decay, w.forward.states, false);
    c.initial_states = sequence_states(p.initial_state, 1.0);
    passes.combine(c);

    // The gradient, over `scale`, of the state behind each segment.
    ScanParams adjoint = scan_params(plan, p, p.q, p.grad_o);
    adjoint.backwards = true;
    adjoint.span = DecaySpan::kFromWriter;
    passes.segment_states(adjoint, w.grad_states, w.forward.log_decays);
    CombineParams d = combine_params(plan, w.forward, p.decay, w.grad_states, true);
    d.initial_states = sequence_states(p.grad_final_state, 1.0 / p.scale);
    d.final_states = sequence_states(p.grad_initial_state, p.scale);
    passes.combine(d);

    const bool shares = shape.group > 1;
    const Element element = element_of(p.q.dtype);
    const TokenRows grad_q =
        shares ? workspace_rows(w.grad_q, shape, element) : token_rows(p.grad_q, 1);
    const TokenRows grad_k =
        shares ? workspace_rows(w.grad_k, shape, element) : token_rows(p.grad_k, 1);

    SweepParams dq{};
    dq.scan = scan;
    dq.reader = token_rows(p.grad_o, 1);
    dq.out = grad_q;
    dq.scale = scale;
    dq.states = w.forward.states;
    dq.end_states = has_decay ? w.forward.states : nullptr;
    dq.splits_state = has_decay || plan.splits_state;
    dq.gate_gradient = has_decay ? GateGradient::kQuery : GateGradient::kNone;
    dq.partner = token_rows(p.q, shape.group);
    dq.grad_gate = token_rows(p.grad_log_decay, 1);
    dq.chunk_totals = w.chunk_totals;
    passes.sweep(ReadSide::kByValue, dq, w.terms);

    if (has_decay) {
        BoundaryParams b{};
        b.num_segments = plan.map.num_segments;
        b.heads = static_cast<int>(shape.heads);
        b.key_dim = static_cast<int>(shape.keys);
        b.value_dim = static_cast<int>(shape.values);
        b.per_channel = p.decay == Decay::kChannel;
        b.scale = scale;
        b.end_states = w.forward.states;
        b.grad_states = w.grad_states;
        b.boundary = w.boundary;
        passes.boundary(b);
    }

    SweepParams dk{};
    dk.scan = adjoint;
    dk.reader = token_rows(p.v, 1);
    dk.out = grad_k;
    dk.scale = scale;
    dk.states = w.grad_states;
    dk.splits_state = has_decay || plan.splits_state;
    dk.gate_gradient = has_decay ? GateGradient::kKey : GateGradient::kNone;
    dk.partner = token_rows(p.k, shape.group);
    dk.grad_gate = dq.grad_gate;
    dk.chunk_totals = w.chunk_totals;
    dk.boundary = w.boundary;
    passes.sweep(ReadSide::kByValue, dk, w.terms);

    SweepParams dv{};
    dv.scan = adjoint;
    dv.reader = token_rows(p.k, shape.group);
    dv.out = token_rows(p.grad_v, 1);
    dv.scale = scale;
    dv.states = w.grad_states;
    dv.splits_state = plan.splits_state;
    passes.sweep(ReadSide::kByKey, dv);

    if (shares) {
        passes.group_sum(grad_q, token_rows(p.grad_q, 1));
        passes.group_sum(grad_k, token_rows(p.grad_k, 1));
    }
}

}  // namespace fla::gated
