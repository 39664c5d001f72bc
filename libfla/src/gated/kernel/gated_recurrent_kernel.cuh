#pragma once

#include "gated/kernel/gated_params.h"

namespace fla::gated {

/// The family token by token on CUDA cores in fp32: for fp32 and fp16 operands, unaligned strides
/// and widths that the tiles do not serve. Exact for every gate.
inline constexpr int kRecurrentThreads = 256;
inline constexpr int kRecurrentLanes = 8;  ///< Threads that share the contraction of one output.
inline constexpr int kRecurrentOuts = kRecurrentThreads / kRecurrentLanes;
inline constexpr int kRecurrentTokens = 16;  ///< Staged at a time.
inline constexpr int kMaxRecurrentDim = 256;

template <int kDim>
struct RecurrentShared {
    float reader[kRecurrentTokens][kDim];
    float writer[kRecurrentTokens][kDim];  ///< Along the contraction.
    float added[kRecurrentTokens][kRecurrentOuts];
    float contraction_decay[kRecurrentTokens][kDim];
    float terms[kRecurrentTokens][kRecurrentOuts];
    float out_decay[kRecurrentTokens][kRecurrentOuts];
};

struct RecurrentParams {
    SweepParams sweep;  ///< Absent states are zeros; absent reader and out: only end_states.
    float* log_decays;  ///< As in StateParams; null: not wanted.
    /// With gate_gradient: q dq' - k dk', [B, T, H, K], or [B, T, H, blocks of outputs] sums.
    float* terms;
};

/// One CTA: 32 outputs of one segment of one head; thread 8 o + l holds the state's elements
/// (l + 8 i, o) with the contraction first. kDim: width of the contraction, rounded up.
template <ReadSide kSide, int kDim>
FLA_KERNEL void FLA_LAUNCH_BOUNDS(kRecurrentThreads) gated_recurrent_kernel(RecurrentParams r) {
    constexpr bool kByKey = kSide == ReadSide::kByKey;
    constexpr int kElements = kDim / kRecurrentLanes;
    auto& shared = device::dynamic_shared<RecurrentShared<kDim>>();
    const SweepParams& s = r.sweep;
    const ScanParams& p = s.scan;
    const int contraction = kByKey ? p.key_dim : p.value_dim;
    const int outs = kByKey ? p.value_dim : p.key_dim;
    const int out_blocks = (outs + kRecurrentOuts - 1) / kRecurrentOuts;
    const int block = device::block_index().x;
    const int out0 = block % out_blocks * kRecurrentOuts;
    const auto work = work_item(p.map, p.heads, block / out_blocks);
    const int head = work.head;
    const std::int64_t slot = work.slot;
    const Segment& segment = work.segment;
    const int thread = device::thread_index().x;
    const int local_out = thread / kRecurrentLanes, lane = thread % kRecurrentLanes;
    const int out = out0 + local_out;
    const std::int64_t states0 = slot * p.key_dim * p.value_dim;
    const bool decays_before = p.span == DecaySpan::kAfterWriter;

    const auto element_at = [&](int i) {
        const int c = lane + kRecurrentLanes * i;
        return c < contraction && out < outs
                   ? states0 + (kByKey ? std::int64_t{c} * p.value_dim + out
                                       : std::int64_t{out} * p.value_dim + c)
                   : std::int64_t{-1};
    };
    float state[kElements];
    FLA_UNROLL
    for (int i = 0; i < kElements; ++i) {
        const std::int64_t at = element_at(i);
        state[i] = s.states != nullptr && at >= 0 ? device::load(s.states + at) : 0.0F;
    }
    const std::int64_t step = p.backwards ? -segment.step : segment.step;
    const std::int64_t first_token =
        segment.origin + (segment.position + (p.backwards ? segment.count - 1 : 0)) * segment.step;
    float log2_decay = 0.0F;  // of channel `thread`
    for (int begin = 0; begin < segment.count; begin += kRecurrentTokens) {
        const int count =
            segment.count - begin < kRecurrentTokens ? segment.count - begin : kRecurrentTokens;
        for (int i = thread; i < count * kDim; i += kRecurrentThreads) {
            const int row = i / kDim, c = i % kDim;
            const std::int64_t token = first_token + (begin + row) * step;
            const bool inside = c < contraction;
            const TokenRows& writer = kByKey ? p.key : p.value;
            device::store(&shared.reader[row][c],
                          inside && s.reader.data != nullptr
                              ? s.reader.load(s.reader.at(segment.batch, token, head) + c)
                              : 0.0F);
            device::store(&shared.writer[row][c],
                          inside ? writer.load(writer.at(segment.batch, token, head) + c) : 0.0F);
            float decay = 1.0F;
            if (p.has_decay() && (kByKey || !p.per_channel) && inside) {
                decay = device::exp2_approx(
                    kLog2E * raised(p.gate.load(p.gate.at(segment.batch, token, head) +
                                                (p.per_channel ? c : 0))));
            }
            device::store(&shared.contraction_decay[row][c], decay);
        }
        for (int i = thread; i < count * kRecurrentOuts; i += kRecurrentThreads) {
            const int row = i / kRecurrentOuts, o = out0 + i % kRecurrentOuts;
            const std::int64_t token = first_token + (begin + row) * step;
            const TokenRows& added = kByKey ? p.value : p.key;
            device::store(&shared.added[row][i % kRecurrentOuts],
                          o < outs ? added.load(added.at(segment.batch, token, head) + o) : 0.0F);
            float decay = 1.0F;
            if (!kByKey && p.per_channel && o < outs) {
                decay = device::exp2_approx(
                    kLog2E * raised(p.gate.load(p.gate.at(segment.batch, token, head) + o)));
            }
            device::store(&shared.out_decay[row][i % kRecurrentOuts], decay);
        }
        device::sync_threads();
        for (int row = 0; row < count; ++row) {
            const float added = device::load(&shared.added[row][local_out]);
            const float out_decay = device::load(&shared.out_decay[row][local_out]);
            float sum = 0.0F, own = 0.0F;  // from earlier tokens, from this token's own write
            FLA_UNROLL
            for (int i = 0; i < kElements; ++i) {
                const int c = lane + kRecurrentLanes * i;
                const float decay = out_decay * device::load(&shared.contraction_decay[row][c]);
                if (decays_before) {
                    state[i] *= decay;
                }
                const float reader = device::load(&shared.reader[row][c]);
                const float writer = device::load(&shared.writer[row][c]);
                sum += reader * state[i];
                own += reader * writer;
                state[i] += writer * added;
                if (!decays_before) {
                    state[i] *= decay;
                }
            }
            FLA_UNROLL
            for (int bit = 1; bit < kRecurrentLanes; bit *= 2) {
                sum += device::shfl_xor(sum, bit);
                own += device::shfl_xor(own, bit);
            }
            if (!kByKey && s.gate_gradient != GateGradient::kNone && lane == 0) {
                const std::int64_t token = first_token + (begin + row) * step;
                device::store(
                    &shared.terms[row][local_out],
                    out < outs ? s.scale * sum *
                                     s.partner.load(s.partner.at(segment.batch, token, head) + out)
                               : 0.0F);
            }
            if (lane == 0 && out < outs && s.out.data != nullptr) {
                const std::int64_t token = first_token + (begin + row) * step;
                s.out.store(s.out.at(segment.batch, token, head) + out,
                            s.scale * (sum + own * added));
            }
        }
        if (r.log_decays != nullptr && p.has_decay() && out0 == 0 &&
            thread < (p.per_channel ? p.key_dim : 1)) {
            for (int row = 0; row < count; ++row) {
                const std::int64_t token = first_token + (begin + row) * step;
                log2_decay += kLog2E * raised(p.gate.load(p.gate.at(segment.batch, token, head) +
                                                          (p.per_channel ? thread : 0)));
            }
        }
        device::sync_threads();
        if (!kByKey && s.gate_gradient != GateGradient::kNone) {
            // Terms of the tile, per channel as they are, else summed over the outputs of the CTA.
            const bool is_key = s.gate_gradient == GateGradient::kKey;
            const int cols = p.per_channel ? kRecurrentOuts : 1;
            for (int i = thread; i < count * cols; i += kRecurrentThreads) {
                const int row = i / cols, col = i % cols;
                if (p.per_channel && out0 + col >= outs) {
                    continue;
                }
                float term = device::load(&shared.terms[row][col]);
                for (int j = 1; j < (p.per_channel ? 1 : kRecurrentOuts); ++j) {
                    term += device::load(&shared.terms[row][j]);
                }
                const std::int64_t token = first_token + (begin + row) * step;
                float* const at = r.terms +
                                  ((segment.batch * p.map.tokens + token) * p.heads + head) *
                                      (p.per_channel ? outs : out_blocks) +
                                  (p.per_channel ? out0 + col : out0 / kRecurrentOuts);
                device::store(at, is_key ? device::load(at) - term : term);
            }
            device::sync_threads();
        }
    }
    if (s.end_states != nullptr) {
        FLA_UNROLL
        for (int i = 0; i < kElements; ++i) {
            const std::int64_t at = element_at(i);
            if (at >= 0) {
                device::store(s.end_states + at, state[i]);
            }
        }
    }
    if (r.log_decays != nullptr) {
        const int channels = p.per_channel ? p.key_dim : 1;
        if (p.has_decay() && out0 == 0 && thread < channels) {
            device::store(r.log_decays + slot * channels + thread, log2_decay);
        }
    }
}

inline constexpr int kGateGradientThreads = 256;

/// The gradient of the log-decays of one segment of one head from its terms, per channel a thread a
/// channel, else one thread: sums from the end of the segment on.
FLA_KERNEL void FLA_LAUNCH_BOUNDS(kGateGradientThreads)
    gated_gate_gradient_kernel(RecurrentParams r) {
    const SweepParams& s = r.sweep;
    const ScanParams& p = s.scan;
    const auto work = work_item(p.map, p.heads, device::block_index().x);
    const int head = work.head;
    const Segment& segment = work.segment;
    const int thread = device::thread_index().x;
    const int channels = p.per_channel ? p.key_dim : 1;
    if (thread >= channels) {
        return;
    }
    const int cols = p.per_channel ? p.key_dim : (p.key_dim + kRecurrentOuts - 1) / kRecurrentOuts;
    float sum = device::load(s.boundary + work.slot * channels + thread);
    for (int i = segment.count - 1; i >= 0; --i) {
        const std::int64_t token = segment.origin + (segment.position + i) * segment.step;
        const float* const terms =
            r.terms + ((segment.batch * p.map.tokens + token) * p.heads + head) * cols;
        for (int col = thread; col < (p.per_channel ? thread + 1 : cols); ++col) {
            sum += device::load(terms + col);
        }
        const float gate = p.gate.load(p.gate.at(segment.batch, token, head) + thread);
        s.grad_gate.store(s.grad_gate.at(segment.batch, token, head) + thread,
                          gate < kLowestLogDecay ? 0.0F : sum);
    }
}

/// Sums per-head gradients over the heads of a group, in order.
struct GroupSumParams {
    TokenRows parts;  ///< one row a head
    TokenRows sum;    ///< one row a group (heads_per_row is 1: indexed by group)
    std::int64_t batch, tokens;
    int groups, heads_per_group, dim;
};

FLA_KERNEL void FLA_LAUNCH_BOUNDS(kGateGradientThreads) gated_group_sum_kernel(GroupSumParams p) {
    const std::int64_t index =
        std::int64_t{device::block_index().x} * kGateGradientThreads + device::thread_index().x;
    const int channel = int(index % p.dim);
    const std::int64_t row = index / p.dim;
    const int group = int(row % p.groups);
    const std::int64_t token = row / p.groups % p.tokens, batch = row / p.groups / p.tokens;
    if (batch >= p.batch) {
        return;
    }
    float sum = 0.0F;
    for (int i = 0; i < p.heads_per_group; ++i) {
        sum += p.parts.load(p.parts.at(batch, token, group * p.heads_per_group + i) + channel);
    }
    p.sum.store(p.sum.at(batch, token, group) + channel, sum);
}

}  // namespace fla::gated
