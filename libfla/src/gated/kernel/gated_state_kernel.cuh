#pragma once

#include "gated/kernel/gated_tiles.cuh"

namespace fla::gated {

/// Sizes of the segment-state kernel. Warp w owns the channels [w % 4 * K / 4, + K / 4) of the
/// state and the values [w / 4 * 64, + 64).
template <bool kChannelDecay_, int kK_, int kV_, class Gate_>
struct StateTraits {
    static constexpr bool kChannelDecay = kChannelDecay_;
    static constexpr int kK = kK_, kV = kV_;
    using Gate = Gate_;
    static constexpr int kGroups = kV / 64;
    static constexpr int kThreads = 128 * kGroups;
    static constexpr int kMTiles = kK / 64;
    static constexpr int kNTiles = 8;
};

template <class Traits>
struct StateShared {
    struct Stage {
        TokenTile<Traits::kK> key;
        TokenTile<Traits::kV> value;
        If<Traits::kChannelDecay, GateTile<typename Traits::Gate, Traits::kK>> gate;
    };
    Stage stages[2];
    alignas(16) float head_gate[kChunkTokens];
    HeadDecay head_decay[Traits::kThreads / device::kWarpSize];
};

template <class Traits>
FLA_DEVICE void load_state_stage(typename StateShared<Traits>::Stage& stage, const ScanParams& p,
                                 const Segment& segment, int chunk_index, int head) {
    const Chunk chunk = chunk_at(segment, chunk_index, p.backwards);
    constexpr int kThreads = Traits::kThreads;
    load_operand<kThreads, Traits::kK>(stage.key, p.key, segment, chunk, head, p.key_dim);
    load_operand<kThreads, Traits::kV>(stage.value, p.value, segment, chunk, head, p.value_dim);
    if constexpr (Traits::kChannelDecay) {
        load_operand<kThreads, Traits::kK, typename Traits::Gate>(stage.gate, p.gate, segment,
                                                                  chunk, head, p.key_dim);
    }
}

/// The log-decay of this thread's row of a chunk; 0 in padding.
FLA_DEVICE float fetch_head_gate(const ScanParams& p, const Segment& segment, int chunk_index,
                                 int head) {
    const Chunk chunk = chunk_at(segment, chunk_index, p.backwards);
    const int row = device::thread_index().x;
    return chunk.holds(row) ? raised(p.gate.load(p.gate.at(segment.batch, chunk.token(row), head)))
                            : 0.0F;
}

/// What one segment adds to the state, X = sum_j e^{decays behind j} k_j v_j^T, and the sum of its
/// log-decays. One CTA does one segment of one head. All exponents are <= 0.
template <class Traits>
FLA_KERNEL void FLA_LAUNCH_BOUNDS(Traits::kThreads) gated_state_kernel(StateParams params) {
    constexpr int kMTiles = Traits::kMTiles, kNTiles = Traits::kNTiles;
    auto& shared = device::dynamic_shared<StateShared<Traits>>();
    const ScanParams& p = params.scan;
    const auto work = work_item(p.map, p.heads, device::block_index().x);
    const int head = work.head;
    const std::int64_t slot = work.slot;
    const Segment& segment = work.segment;
    const int chunks = segment.chunks();
    const int thread = device::thread_index().x, lane = device::lane_id();
    const int warp = device::warp_id(), group = warp / 4;
    const int channel0 = warp % 4 * (Traits::kK / 4);
    const bool decays = Traits::kChannelDecay || p.has_decay();
    const bool fetches_gate = !Traits::kChannelDecay && p.has_decay() && thread < kChunkTokens;
    const int first = p.backwards ? chunks - 1 : 0, step = p.backwards ? -1 : 1;

    float state[kMTiles][kNTiles][4] = {};
    float log2_decay[kMTiles][2] = {};
    float next_gate = fetches_gate ? fetch_head_gate(p, segment, first, head) : 0.0F;
    load_state_stage<Traits>(shared.stages[0], p, segment, first, head);
    device::cp_async_commit();
    for (int c = 0; c < chunks; ++c) {
        auto& stage = shared.stages[c % 2];
        if (fetches_gate) {
            device::store(&shared.head_gate[thread], next_gate);
        }
        if (c + 1 < chunks) {
            const int next = first + (c + 1) * step;
            load_state_stage<Traits>(shared.stages[(c + 1) % 2], p, segment, next, head);
            next_gate = fetches_gate ? fetch_head_gate(p, segment, next, head) : 0.0F;
        }
        device::cp_async_commit();
        device::cp_async_wait<1>();
        device::sync_threads();

        HeadDecay& head_decay = shared.head_decay[warp];
        if constexpr (!Traits::kChannelDecay) {
            if (decays) {
                sum_head_decay(head_decay, shared.head_gate, p.span);
            }
        }
        FLA_UNROLL
        for (int m = 0; m < kMTiles; ++m) {
            const int channel = channel0 + 16 * m;
            float factor[2] = {1.0F, 1.0F};
            if constexpr (Traits::kChannelDecay) {
                float before[2], total[2];
                run_log2_decay(before, total, stage.gate, channel, TokenRun{0, 0, kChunkTokens});
                FLA_UNROLL
                for (int half = 0; half < 2; ++half) {
                    factor[half] = device::exp2_approx(total[half]);
                    log2_decay[m][half] += total[half];
                }
            } else if (decays) {
                const float total = device::load(&head_decay.total);
                factor[0] = factor[1] = device::exp2_approx(total);
                log2_decay[m][0] += total;
            }
            FLA_UNROLL
            for (int n = 0; n < kNTiles; ++n) {
                FLA_UNROLL
                for (int i = 0; i < 4; ++i) {
                    state[m][n][i] *= factor[i / 2];
                }
            }
            FLA_UNROLL
            for (int block = 0; block < kBlocks; ++block) {
                std::uint32_t a[4];
                load_a_transposed(a, stage.key, block * kBlockTokens, channel);
                if constexpr (Traits::kChannelDecay) {
                    // Sums over the tokens behind each token of the block, as [channel, token].
                    constexpr int kParts =
                        kGateParts<std::remove_reference_t<decltype(stage.gate)>>;
                    const int shift = p.span == DecaySpan::kAfterWriter ? 1 : 0;
                    float sums[2][4] = {};
                    FLA_UNROLL
                    for (int behind = block; behind < kBlocks; ++behind) {
                        std::uint32_t gate[kParts][4];
                        load_gate_a(gate, stage.gate, behind * kBlockTokens, channel);
                        FLA_UNROLL
                        for (int n = 0; n < 2; ++n) {
                            const int bound = block * kBlockTokens + 8 * n + lane / 4 + shift;
                            std::uint32_t b[2];
                            FLA_UNROLL
                            for (int i = 0; i < 2; ++i) {
                                const int u = behind * kBlockTokens + lane % 4 * 2 + i * 8;
                                b[i] = ones_where(u >= bound, u + 1 >= bound);
                            }
                            FLA_UNROLL
                            for (int part = 0; part < kParts; ++part) {
                                mma(sums[n], gate[part], b);
                            }
                        }
                    }
                    FLA_UNROLL
                    for (int i = 0; i < 4; ++i) {
                        const auto x = device::unpack2<Bf16>(a[i]);
                        const float* const s = &sums[i / 2][i % 2 * 2];
                        a[i] = device::pack2<Bf16>(x[0] * device::exp2_approx(s[0] * kLog2E),
                                                   x[1] * device::exp2_approx(s[1] * kLog2E));
                    }
                } else if (decays) {
                    FLA_UNROLL
                    for (int i = 0; i < 4; ++i) {
                        const auto x = device::unpack2<Bf16>(a[i]);
                        const auto to_end = device::load_vec<2>(
                            &head_decay.to_end[block * kBlockTokens + lane % 4 * 2 + i / 2 * 8]);
                        a[i] = device::pack2<Bf16>(x[0] * to_end[0], x[1] * to_end[1]);
                    }
                }
                FLA_UNROLL
                for (int n = 0; n < kNTiles; n += 2) {
                    std::uint32_t b[2][2];
                    load_b(b, stage.value, block * kBlockTokens, group * 64 + 8 * n);
                    mma(state[m][n], a, b[0]);
                    mma(state[m][n + 1], a, b[1]);
                }
            }
        }
        device::sync_threads();
    }

    float* const states = params.states + slot * p.key_dim * p.value_dim;
    FLA_UNROLL
    for (int m = 0; m < kMTiles; ++m) {
        FLA_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int channel = channel0 + 16 * m + lane / 4 + 8 * half;
            if (channel >= p.key_dim) {
                continue;
            }
            FLA_UNROLL
            for (int n = 0; n < kNTiles; ++n) {
                const int col = group * 64 + 8 * n + lane % 4 * 2;
                if (col < p.value_dim) {
                    device::store_vec(
                        states + std::int64_t{channel} * p.value_dim + col,
                        device::Vec<float, 2>{state[m][n][2 * half], state[m][n][2 * half + 1]});
                }
            }
            if (group == 0 && lane % 4 == 0) {
                if constexpr (Traits::kChannelDecay) {
                    device::store(params.log_decays + slot * p.key_dim + channel,
                                  log2_decay[m][half]);
                } else if (decays && channel == 0) {
                    device::store(params.log_decays + slot, log2_decay[m][half]);
                }
            }
        }
    }
}

}  // namespace fla::gated
