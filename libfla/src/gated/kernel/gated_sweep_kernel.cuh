#pragma once

#include "gated/kernel/gated_state_kernel.cuh"

namespace fla::gated {

template <bool kChannelDecay_, ReadSide kSide_, int kK_, int kV_, class Gate_>
struct SweepTraits {
    static constexpr bool kChannelDecay = kChannelDecay_;
    static constexpr ReadSide kSide = kSide_;
    static constexpr bool kByKey = kSide == ReadSide::kByKey;
    static constexpr int kK = kK_, kV = kV_;
    using Gate = Gate_;
    static constexpr int kReaderCols = kByKey ? kK : kV;
    static constexpr int kOutCols = kByKey ? kV : kK;
    /// Warp w makes rows [w % 4 * 16, + 16) and columns [w / 4 * 64, + 64) of the output, and holds
    /// rows [w % 4 * K / 4, + K / 4) and columns [w / 4 * V / groups, ..) of the state.
    static constexpr int kGroups = kOutCols / 64;
    static constexpr int kThreads = 128 * kGroups;
    static constexpr int kMTiles = kK / 64;
    static constexpr int kStateCols = kV / kGroups;
    static constexpr int kNTiles = kStateCols / 8;
    static constexpr int kOutTiles = 8;
    static constexpr bool kReusesReader = kV >= kK;
    /// Two stages where they fit.
    static constexpr bool kWideGates = kChannelDecay && sizeof(Gate) == 4;
    static constexpr int kStages = kWideGates && kK == 128 && kV == 128 ? 1 : 2;
};

template <class Traits>
struct SweepShared {
    struct Nothing {};
    struct Stage {
        SharedTile<Bf16, kChunkTokens, Traits::kReaderCols> reader;
        SharedTile<Bf16, kChunkTokens, Traits::kK> key;
        SharedTile<Bf16, kChunkTokens, Traits::kV> value;
        std::conditional_t<Traits::kChannelDecay, GateTile<typename Traits::Gate, Traits::kK>,
                           Nothing>
            gate;
    };
    Stage stages[Traits::kStages];
    SharedTile<Bf16, Traits::kK, Traits::kV> state;      ///< bf16 copy
    SharedTile<Bf16, Traits::kK, Traits::kV> state_low;  ///< What the copy's rounding left.
    /// For the gradient of the log-decays: q or k, and then the terms q dq' or k dk' as fp32, half of
    /// each here and half in low_halves or, once it was read, in the reader's tile.
    std::conditional_t<Traits::kByKey, Nothing, SharedTile<Bf16, kChunkTokens, Traits::kK>> partner;
    std::conditional_t<Traits::kByKey || Traits::kReusesReader, Nothing,
                       SharedTile<Bf16, kChunkTokens, Traits::kK>>
        low_halves;
    std::uint32_t runs[Traits::kThreads / device::kWarpSize];
    alignas(16) float head_gate[kChunkTokens];
    float head_terms[2][kChunkTokens];
    HeadDecay head_decay[Traits::kThreads / device::kWarpSize];
};

template <class Traits>
FLA_DEVICE void load_sweep_stage(typename SweepShared<Traits>::Stage& stage, const SweepParams& s,
                                 const Segment& segment, int chunk_index, int head) {
    constexpr int kThreads = Traits::kThreads;
    const ScanParams& p = s.scan;
    const Chunk chunk = chunk_at(segment, chunk_index, p.backwards);
    load_operand<kThreads>(stage.reader, s.reader, segment, chunk, head,
                           Traits::kByKey ? p.key_dim : p.value_dim);
    load_operand<kThreads>(stage.key, p.key, segment, chunk, head, p.key_dim);
    load_operand<kThreads>(stage.value, p.value, segment, chunk, head, p.value_dim);
    if constexpr (Traits::kChannelDecay) {
        load_operand<kThreads>(stage.gate, p.gate, segment, chunk, head, p.key_dim);
    }
}

template <int kRows, int kCols>
FLA_DEVICE std::uint32_t* pair_at(SharedTile<Bf16, kRows, kCols>& tile, int row, int col) {
    return reinterpret_cast<std::uint32_t*>(tile.at(row, col));
}

/// One half of a term, in the place of an element of the tile.
template <int kCols>
FLA_DEVICE const std::uint16_t* half_at(SharedTile<Bf16, kChunkTokens, kCols>& tile, int row,
                                        int col) {
    return reinterpret_cast<const std::uint16_t*>(tile.at(row, col));
}

template <class Traits>
FLA_DEVICE auto& low_halves_of(SweepShared<Traits>& shared,
                               typename SweepShared<Traits>::Stage& stage) {
    if constexpr (Traits::kReusesReader) {
        return stage.reader;
    } else {
        return shared.low_halves;
    }
}

/// Sums the terms of a chunk (in shared memory) and writes or completes the gradient of its
/// log-decays. In the walk of kQuery rows ascend with the positions, in that of kKey they descend;
/// both sum from the last position on. `carried` is what lies behind the chunk (kKey).
template <class Traits>
FLA_DEVICE void sum_gate_gradient(SweepShared<Traits>& shared,
                                  typename SweepShared<Traits>::Stage& stage, const SweepParams& s,
                                  const Segment& segment, const Chunk& chunk, std::int64_t slot,
                                  int chunk_index, int head, float& carried) {
    const ScanParams& p = s.scan;
    const int thread = device::thread_index().x, lane = device::lane_id();
    const bool is_key = s.gate_gradient == GateGradient::kKey;
    const std::int64_t total_slot =
        slot * (p.map.segment_tokens / kChunkTokens) + chunk_index;
    if constexpr (Traits::kChannelDecay) {
        if (thread >= p.key_dim) {
            return;
        }
        float* const total = s.chunk_totals + total_slot * p.key_dim + thread;
        float sum = 0.0F;
        const int rows = chunk.end - chunk.begin;
        for (int i = 0; i < rows; ++i) {
            const int row = is_key ? chunk.begin + i : chunk.end - 1 - i;
            sum += join_halves(device::load(half_at(shared.partner, row, thread)),
                               device::load(half_at(low_halves_of<Traits>(shared, stage), row,
                                                    thread)));
            const std::int64_t at =
                s.grad_gate.at(segment.batch, chunk.token(row), head) + thread;
            if (is_key) {
                const float gate = device::to_float(device::load(stage.gate.at(row, thread)));
                const float whole = carried + (s.grad_gate.load(at) - sum);
                s.grad_gate.store(at, gate < kLowestLogDecay ? 0.0F : whole);
            } else {
                s.grad_gate.store(at, sum);
            }
        }
        if (is_key) {
            carried += device::load(total) - sum;
        } else {
            device::store(total, sum);
        }
    } else {
        if (device::warp_id() != 0) {
            return;
        }
        // Lane l sums the rows 2 l and 2 l + 1 of the walk from the last position on.
        float terms[2];
        int rows[2];
        FLA_UNROLL
        for (int i = 0; i < 2; ++i) {
            rows[i] = is_key ? chunk.begin + 2 * lane + i : chunk.end - 1 - 2 * lane - i;
            const bool inside = chunk.holds(rows[i]);
            terms[i] = inside ? device::load(&shared.head_terms[0][rows[i]]) : 0.0F;
            if constexpr (Traits::kGroups == 2) {
                terms[i] += inside ? device::load(&shared.head_terms[1][rows[i]]) : 0.0F;
            }
        }
        float sum = terms[0] + terms[1];
        FLA_UNROLL
        for (int delta = 1; delta < device::kWarpSize; delta *= 2) {
            const float other = device::shfl_up(sum, delta);
            sum += lane >= delta ? other : 0.0F;
        }
        const float sums[2] = {sum - terms[1], sum};
        FLA_UNROLL
        for (int i = 0; i < 2; ++i) {
            if (!chunk.holds(rows[i])) {
                continue;
            }
            const std::int64_t token = chunk.token(rows[i]);
            const std::int64_t at = s.grad_gate.at(segment.batch, token, head);
            if (is_key) {
                const float gate = p.gate.load(p.gate.at(segment.batch, token, head));
                const float whole = carried + (s.grad_gate.load(at) - sums[i]);
                s.grad_gate.store(at, gate < kLowestLogDecay ? 0.0F : whole);
            } else {
                s.grad_gate.store(at, sums[i]);
            }
        }
        const float all = device::shfl(sum, device::kWarpSize - 1);
        if (is_key) {
            carried += device::load(s.chunk_totals + total_slot) - all;
        } else if (lane == 0) {
            device::store(s.chunk_totals + total_slot, all);
        }
    }
}

template <class Traits>
FLA_KERNEL void FLA_LAUNCH_BOUNDS(Traits::kThreads) gated_sweep_kernel(SweepParams s) {
    constexpr bool kByKey = Traits::kByKey, kChannelDecay = Traits::kChannelDecay;
    constexpr int kK = Traits::kK, kThreads = Traits::kThreads;
    constexpr int kMTiles = Traits::kMTiles, kNTiles = Traits::kNTiles;
    constexpr int kOutTiles = Traits::kOutTiles;
    auto& shared = device::dynamic_shared<SweepShared<Traits>>();
    const ScanParams& p = s.scan;

    const int item = device::block_index().x;
    const int head = item % p.heads;
    const int segment_index = item / p.heads;
    const Segment segment = segment_at(p.map, segment_index);
    const int chunks = (segment.count + kChunkTokens - 1) / kChunkTokens;
    if (chunks == 0) {
        return;
    }
    const std::int64_t slot = std::int64_t{segment_index} * p.heads + head;
    const int thread = device::thread_index().x, lane = device::lane_id();
    const int g = lane / 4, t = lane % 4;
    const int warp = device::warp_id(), group = warp / 4;
    const int row0 = warp % 4 * 16, out_col0 = group * 64;
    const int channel0 = warp % 4 * (kK / 4), state_col0 = group * Traits::kStateCols;
    const bool decays = kChannelDecay || p.has_decay();
    const bool fetches_gate = !kChannelDecay && p.has_decay() && thread < kChunkTokens;
    const int first = p.backwards ? chunks - 1 : 0, step = p.backwards ? -1 : 1;

    // The state before the segment. `owed` is the log-decay (base 2) not yet applied to each row.
    float state[kMTiles][kNTiles][4];
    float owed[kMTiles][2] = {};
    const float* const states = s.states + slot * p.key_dim * p.value_dim;
    FLA_UNROLL
    for (int m = 0; m < kMTiles; ++m) {
        FLA_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int channel = channel0 + 16 * m + g + 8 * half;
            FLA_UNROLL
            for (int n = 0; n < kNTiles; ++n) {
                const int col = state_col0 + 8 * n + 2 * t;
                device::Vec<float, 2> x = {0.0F, 0.0F};
                if (channel < p.key_dim && col < p.value_dim) {
                    x = device::load_vec<2>(states + std::int64_t{channel} * p.value_dim + col);
                }
                state[m][n][2 * half] = x[0];
                state[m][n][2 * half + 1] = x[1];
            }
        }
    }
    // The sum behind the last visited chunk, for the gradient of the log-decays.
    float carried = 0.0F;
    if constexpr (!kByKey) {
        if (s.gate_gradient == GateGradient::kKey) {
            if (kChannelDecay && thread < p.key_dim) {
                carried = device::load(s.boundary + slot * p.key_dim + thread);
            } else if (!kChannelDecay) {
                carried = device::load(s.boundary + slot);
            }
        }
    }

    float next_gate = fetches_gate ? fetch_head_gate(p, segment, first, head) : 0.0F;
    if constexpr (Traits::kStages == 2) {
        load_sweep_stage<Traits>(shared.stages[0], s, segment, first, head);
        device::cp_async_commit();
    }
    for (int c = 0; c < chunks; ++c) {
        const int chunk_index = first + c * step;
        const Chunk chunk = chunk_at(segment, chunk_index, p.backwards);
        auto& stage = shared.stages[c % Traits::kStages];
        if (fetches_gate) {
            device::store(&shared.head_gate[thread], next_gate);
        }
        if constexpr (!kByKey) {
            if (s.gate_gradient != GateGradient::kNone) {
                load_operand<kThreads>(shared.partner, s.partner, segment, chunk, head, p.key_dim);
            }
        }
        if constexpr (Traits::kStages == 1) {
            load_sweep_stage<Traits>(stage, s, segment, chunk_index, head);
        }
        device::cp_async_commit();
        if (c + 1 < chunks) {
            if constexpr (Traits::kStages == 2) {
                load_sweep_stage<Traits>(shared.stages[(c + 1) % 2], s, segment,
                                         chunk_index + step, head);
            }
            next_gate =
                fetches_gate ? fetch_head_gate(p, segment, chunk_index + step, head) : 0.0F;
        }
        device::cp_async_commit();
        device::cp_async_wait<1>();
        device::sync_threads();

        std::uint32_t runs = 16U;
        if constexpr (kChannelDecay) {
            std::uint32_t own = 31U;
            FLA_UNROLL
            for (int m = 0; m < kMTiles; ++m) {
                own &= runs_in_range(stage.gate, channel0 + 16 * m);
            }
            if (lane == 0) {
                device::store(&shared.runs[warp], own);
            }
            device::sync_threads();
            runs = 31U;
            FLA_UNROLL
            for (int w = 0; w < 4; ++w) {
                runs &= device::load(&shared.runs[w]);
            }
        }
        HeadDecay& head_decay = shared.head_decay[warp];
        if constexpr (!kChannelDecay) {
            if (decays) {
                sum_head_decay(head_decay, shared.head_gate, p.span);
            }
        }

        TokenRun run = {0, 0, 0};
        for (int begin = chunk.begin / kBlockTokens * kBlockTokens; begin < chunk.end;
             begin = run.end) {
            // The whole chunk at once where the factors' range allows it, else a block of 16
            // tokens, else token by token. Tokens outside the run take no part.
            run.begin = begin;
            if ((runs & 16U) != 0) {
                run.begin = 0;
                run.end = kChunkTokens;
                run.anchor = kChunkTokens / 2;
            } else if ((runs >> (begin / kBlockTokens) & 1U) != 0) {
                run.end = begin + kBlockTokens;
                run.anchor = begin + kBlockTokens / 2;
            } else {
                run.end = begin + 1;
                run.anchor = p.span == DecaySpan::kAfterWriter ? begin + 1 : begin;
            }
            const bool has_rows = run.meets_block(warp % 4);

            float log2_decay[kOutTiles][4];  // of this warp's rows, out_col0 .. + 63 (channels)
            if constexpr (kChannelDecay) {
                if (has_rows) {
                    FLA_UNROLL
                    for (int pass = 0; pass < kK / 64; ++pass) {
                        if (pass % Traits::kGroups != group) {
                            continue;
                        }
                        const int col0 = 64 * pass;
                        anchored_log2_decay(log2_decay, stage.gate, row0, col0, run, p.span);
                        scale_rows(stage.key, log2_decay, -1.0F, row0, col0, run);
                        if constexpr (kByKey) {
                            scale_rows(stage.reader, log2_decay, 1.0F, row0, col0, run);
                        }
                    }
                }
                FLA_UNROLL
                for (int m = 0; m < kMTiles; ++m) {
                    float before[2], after[2];
                    run_log2_decay(before, after, stage.gate, channel0 + 16 * m, run);
                    FLA_UNROLL
                    for (int half = 0; half < 2; ++half) {
                        const float factor = device::exp2_approx(owed[m][half] + before[half]);
                        owed[m][half] = after[half];
                        FLA_UNROLL
                        for (int n = 0; n < kNTiles; ++n) {
                            state[m][n][2 * half] *= factor;
                            state[m][n][2 * half + 1] *= factor;
                        }
                    }
                }
            }
            FLA_UNROLL
            for (int m = 0; m < kMTiles; ++m) {
                FLA_UNROLL
                for (int half = 0; half < 2; ++half) {
                    const int channel = channel0 + 16 * m + g + 8 * half;
                    FLA_UNROLL
                    for (int n = 0; n < kNTiles; ++n) {
                        const int col = state_col0 + 8 * n + 2 * t;
                        const float x = state[m][n][2 * half], y = state[m][n][2 * half + 1];
                        const std::uint32_t copy = device::pack2<Bf16>(x, y);
                        device::store(pair_at(shared.state, channel, col), copy);
                        if (s.splits_state) {
                            const auto rounded = device::unpack2<Bf16>(copy);
                            device::store(pair_at(shared.state_low, channel, col),
                                          device::pack2<Bf16>(x - rounded[0], y - rounded[1]));
                        }
                    }
                }
            }
            device::sync_threads();

            if (has_rows) {
                // scores = reader . writer; out = reader . state.
                constexpr int kSteps = Traits::kReaderCols / 16;
                float scores[kChunkTokens / 8][4] = {};
                float out[kOutTiles][4] = {};
                FLA_UNROLL
                for (int k = 0; k < kSteps; ++k) {
                    std::uint32_t a[4];
                    load_a(a, stage.reader, row0, 16 * k);
                    FLA_UNROLL
                    for (int block = 0; block < kBlocks; ++block) {
                        if (block > warp % 4 || !run.meets_block(block)) {
                            continue;
                        }
                        std::uint32_t b[2][2];
                        if constexpr (kByKey) {
                            load_b_transposed(b, stage.key, block * kBlockTokens, 16 * k);
                        } else {
                            load_b_transposed(b, stage.value, block * kBlockTokens, 16 * k);
                        }
                        mma(scores[2 * block], a, b[0]);
                        mma(scores[2 * block + 1], a, b[1]);
                    }
                    FLA_UNROLL
                    for (int n = 0; n < kOutTiles; n += 2) {
                        std::uint32_t b[2][2];
                        if constexpr (kByKey) {
                            load_b(b, shared.state, 16 * k, out_col0 + 8 * n);
                        } else {
                            load_b_transposed(b, shared.state, out_col0 + 8 * n, 16 * k);
                        }
                        mma(out[n], a, b[0]);
                        mma(out[n + 1], a, b[1]);
                        if (s.splits_state) {
                            if constexpr (kByKey) {
                                load_b(b, shared.state_low, 16 * k, out_col0 + 8 * n);
                            } else {
                                load_b_transposed(b, shared.state_low, out_col0 + 8 * n, 16 * k);
                            }
                            mma(out[n], a, b[0]);
                            mma(out[n + 1], a, b[1]);
                        }
                    }
                }

                // Decay and mask the scores, then out += scores . writer. For the gradient of the
                // log-decays the diagonal stays apart.
                const bool splits_diagonal = !kByKey && s.gate_gradient != GateGradient::kNone;
                float diagonal[2] = {};
                float row_decay[2] = {};
                float row_terms[2] = {};
                if constexpr (!kChannelDecay) {
                    if (decays) {
                        FLA_UNROLL
                        for (int half = 0; half < 2; ++half) {
                            const int row = row0 + g + 8 * half;
                            row_decay[half] = device::load(&head_decay.sums[row]);
                            const float factor = device::exp2_approx(row_decay[half]);
                            FLA_UNROLL
                            for (int n = 0; n < kOutTiles; ++n) {
                                if constexpr (!kByKey) {
                                    if (splits_diagonal) {
                                        // The adjoint's state adds up rounded e^G q: so must this.
                                        const auto y = device::unpack2<Bf16>(device::load(
                                            pair_at(shared.partner, row, out_col0 + 8 * n + 2 * t)));
                                        const float z[2] = {y[0] * factor, y[1] * factor};
                                        const auto r =
                                            device::unpack2<Bf16>(device::pack2<Bf16>(z[0], z[1]));
                                        row_terms[half] +=
                                            s.scale * ((r[0] - z[0]) * out[n][2 * half] +
                                                       (r[1] - z[1]) * out[n][2 * half + 1]);
                                    }
                                }
                                out[n][2 * half] *= factor;
                                out[n][2 * half + 1] *= factor;
                            }
                        }
                    }
                }
                FLA_UNROLL
                for (int block = 0; block < kBlocks; ++block) {
                    if (block > warp % 4 || !run.meets_block(block)) {
                        continue;
                    }
                    if (splits_diagonal && block == warp % 4) {
                        FLA_UNROLL
                        for (int half = 0; half < 2; ++half) {
                            const auto& tile = scores[2 * block + half];
                            diagonal[half] = device::shfl(
                                g % 2 == 0 ? tile[2 * half] : tile[2 * half + 1], 4 * g + g / 2);
                        }
                    }
                    std::uint32_t a[4];
                    FLA_UNROLL
                    for (int i = 0; i < 4; ++i) {  // register i: rows + 8 (i % 2), columns + 8 (i / 2)
                        const int n = 2 * block + i / 2, half = i % 2;
                        const int col = 8 * n + 2 * t, row = row0 + g + 8 * half;
                        float x[2] = {scores[n][2 * half], scores[n][2 * half + 1]};
                        if constexpr (!kChannelDecay) {
                            if (decays) {
                                const auto col_decay = device::load_vec<2>(&head_decay.sums[col]);
                                x[0] *= device::exp2_approx(
                                    col <= row ? row_decay[half] - col_decay[0] : 0.0F);
                                x[1] *= device::exp2_approx(
                                    col + 1 <= row ? row_decay[half] - col_decay[1] : 0.0F);
                            }
                        }
                        // Readers outside of the run are not stored, but writers must not count.
                        const int bound = splits_diagonal ? row : row + 1;
                        a[i] = device::pack2<Bf16>(
                            col < bound && run.holds(col) ? x[0] : 0.0F,
                            col + 1 < bound && run.holds(col + 1) ? x[1] : 0.0F);
                    }
                    FLA_UNROLL
                    for (int n = 0; n < kOutTiles; n += 2) {
                        std::uint32_t b[2][2];
                        if constexpr (kByKey) {
                            load_b(b, stage.value, block * kBlockTokens, out_col0 + 8 * n);
                        } else {
                            load_b(b, stage.key, block * kBlockTokens, out_col0 + 8 * n);
                        }
                        mma(out[n], a, b[0]);
                        mma(out[n + 1], a, b[1]);
                    }
                }

                // Scale and store. The warps that read these rows of the reader are done with it.
                if constexpr (!kByKey && Traits::kReusesReader) {
                    if (splits_diagonal) {
                        if constexpr (Traits::kGroups > 1) {
                            device::barrier_sync(1 + warp % 4, 32 * Traits::kGroups);
                        } else {
                            device::sync_warp();
                        }
                    }
                }
                FLA_UNROLL
                for (int half = 0; half < 2; ++half) {
                    const int row = row0 + g + 8 * half;
                    const bool valid = run.holds(row) && chunk.holds(row);
                    const std::int64_t token = chunk.token(valid ? row : chunk.begin);
                    const std::int64_t element = s.out.at(segment.batch, token, head);
                    float row_term = row_terms[half];
                    FLA_UNROLL
                    for (int n = 0; n < kOutTiles; ++n) {
                        const int col = out_col0 + 8 * n + 2 * t;
                        float factor[2] = {1.0F, 1.0F};
                        if constexpr (kChannelDecay && !kByKey) {
                            factor[0] = device::exp2_approx(log2_decay[n][2 * half]);
                            factor[1] = device::exp2_approx(log2_decay[n][2 * half + 1]);
                        }
                        const float x[2] = {s.scale * out[n][2 * half],
                                            s.scale * out[n][2 * half + 1]};
                        float own[2] = {};
                        if constexpr (!kByKey) {
                            if (splits_diagonal) {
                                // Terms are products of the values that the other sweep multiplies
                                // too (decayed, rounded), so that pairs of tokens cancel.
                                const auto key = device::unpack2<Bf16>(
                                    device::load(pair_at(stage.key, row, col)));
                                own[0] = s.scale * diagonal[half] * key[0];
                                own[1] = s.scale * diagonal[half] * key[1];
                                auto* const partner = pair_at(shared.partner, row, col);
                                auto y = device::unpack2<Bf16>(device::load(partner));
                                if constexpr (kChannelDecay) {
                                    y = device::unpack2<Bf16>(device::pack2<Bf16>(
                                        y[0] * factor[0], y[1] * factor[1]));
                                    if (valid) {
                                        const auto halves = split_halves(y[0] * x[0], y[1] * x[1]);
                                        device::store(partner, halves[0]);
                                        device::store(
                                            pair_at(low_halves_of<Traits>(shared, stage), row, col),
                                            halves[1]);
                                    }
                                } else {
                                    row_term += y[0] * x[0] + y[1] * x[1];
                                }
                            }
                        }
                        if (valid && col < (kByKey ? p.value_dim : p.key_dim)) {
                            device::store(reinterpret_cast<std::uint32_t*>(
                                              static_cast<Bf16*>(s.out.data) + element + col),
                                          device::pack2<Bf16>((x[0] + own[0]) * factor[0],
                                                              (x[1] + own[1]) * factor[1]));
                        }
                    }
                    if constexpr (!kByKey && !kChannelDecay) {
                        if (splits_diagonal) {
                            row_term += device::shfl_xor(row_term, 1);
                            row_term += device::shfl_xor(row_term, 2);
                            if (t == 0) {
                                device::store(&shared.head_terms[group][row],
                                              valid ? row_term : 0.0F);
                            }
                        }
                    }
                }
            }

            // state += key^T value over the run, decayed to its end (per head) or to the anchor.
            float total = 0.0F;
            if constexpr (!kChannelDecay) {
                if (decays) {
                    total = device::load(&head_decay.total);
                    const float factor = device::exp2_approx(total);
                    FLA_UNROLL
                    for (int m = 0; m < kMTiles; ++m) {
                        FLA_UNROLL
                        for (int n = 0; n < kNTiles; ++n) {
                            FLA_UNROLL
                            for (int i = 0; i < 4; ++i) {
                                state[m][n][i] *= factor;
                            }
                        }
                    }
                }
            }
            FLA_UNROLL
            for (int block = 0; block < kBlocks; ++block) {
                if (!run.meets_block(block)) {
                    continue;
                }
                std::uint32_t a[kMTiles][4];
                FLA_UNROLL
                for (int m = 0; m < kMTiles; ++m) {
                    load_a_transposed(a[m], stage.key, block * kBlockTokens, channel0 + 16 * m);
                    FLA_UNROLL
                    for (int i = 0; i < 4; ++i) {
                        const int token = block * kBlockTokens + 2 * t + i / 2 * 8;
                        if constexpr (kChannelDecay) {
                            a[m][i] &= (run.holds(token) ? 0xFFFFU : 0U) |
                                       (run.holds(token + 1) ? 0xFFFF0000U : 0U);
                        } else if (decays) {
                            const auto x = device::unpack2<Bf16>(a[m][i]);
                            const auto d = device::load_vec<2>(&head_decay.sums[token]);
                            a[m][i] =
                                device::pack2<Bf16>(x[0] * device::exp2_approx(total - d[0]),
                                                    x[1] * device::exp2_approx(total - d[1]));
                        }
                    }
                }
                FLA_UNROLL
                for (int n = 0; n < kNTiles; n += 2) {
                    std::uint32_t b[2][2];
                    load_b(b, stage.value, block * kBlockTokens, state_col0 + 8 * n);
                    FLA_UNROLL
                    for (int m = 0; m < kMTiles; ++m) {
                        mma(state[m][n], a[m], b[0]);
                        mma(state[m][n + 1], a[m], b[1]);
                    }
                }
            }
            device::sync_threads();  // the tiles and the state's copy are written again
        }

        if constexpr (!kByKey) {
            if (s.gate_gradient != GateGradient::kNone) {
                sum_gate_gradient<Traits>(shared, stage, s, segment, chunk, slot, chunk_index, head,
                                          carried);
                device::sync_threads();
            }
        }
    }
    if (s.end_states == nullptr) {
        return;
    }
    float* const ends = s.end_states + slot * p.key_dim * p.value_dim;
    FLA_UNROLL
    for (int m = 0; m < kMTiles; ++m) {
        FLA_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int channel = channel0 + 16 * m + g + 8 * half;
            const float factor = device::exp2_approx(owed[m][half]);
            FLA_UNROLL
            for (int n = 0; n < kNTiles; ++n) {
                const int col = state_col0 + 8 * n + 2 * t;
                if (channel < p.key_dim && col < p.value_dim) {
                    device::store_vec(ends + std::int64_t{channel} * p.value_dim + col,
                                      device::Vec<float, 2>{factor * state[m][n][2 * half],
                                                            factor * state[m][n][2 * half + 1]});
                }
            }
        }
    }
}

}  // namespace fla::gated
