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
    /// Two stages where they fit.
    static constexpr bool kWideGates = kChannelDecay && sizeof(Gate) == 4;
    static constexpr int kStages = kWideGates && kK == 128 && kV == 128 ? 1 : 2;
};

template <int kK>
struct GateSums {
    alignas(16) float blocks[kBlocks][kK];
    alignas(16) float visited[kK];
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
    /// q or k, for the gradient of the log-decays.
    std::conditional_t<Traits::kByKey, Nothing, SharedTile<Bf16, kChunkTokens, Traits::kK>> partner;
    /// Its sums: of the terms of each block of 16 tokens, and of all that was visited before the run.
    std::conditional_t<Traits::kByKey || !Traits::kChannelDecay, Nothing, GateSums<Traits::kK>>
        gate_sums;
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

/// Two neighbouring elements of an operand, `element` even.
template <class T>
FLA_DEVICE device::Vec<float, 2> load_pair(const void* data, std::int64_t element) {
    const auto x = device::load_vec<2>(static_cast<const T*>(data) + element);
    return {device::to_float(x[0]), device::to_float(x[1])};
}
template <class T>
FLA_DEVICE void store_pair(void* data, std::int64_t element, float x, float y) {
    device::store_vec(static_cast<T*>(data) + element,
                      device::Vec<T, 2>{device::from_float<T>(x), device::from_float<T>(y)});
}

/// Per head: sums the terms of a chunk (head_terms) in the order of the walk and writes or completes
/// the gradient of its log-decays. `visited` is what lies behind the chunk (kKey).
template <class Traits>
FLA_DEVICE void sum_head_gate_gradient(SweepShared<Traits>& shared, const SweepParams& s,
                                       const Segment& segment, const Chunk& chunk, int head,
                                       float& visited, float* chunk_total) {
    const ScanParams& p = s.scan;
    const int lane = device::lane_id();
    const bool is_key = s.gate_gradient == GateGradient::kKey;
    float terms[2], prior[2] = {};
    bool inside[2];
    FLA_UNROLL
    for (int i = 0; i < 2; ++i) {
        const int row = 2 * lane + i;
        inside[i] = chunk.holds(row);
        terms[i] = device::load(&shared.head_terms[0][row]);
        if constexpr (Traits::kGroups == 2) {
            terms[i] += device::load(&shared.head_terms[1][row]);
        }
        if (is_key && inside[i]) {
            prior[i] =
                s.grad_gate.load(s.grad_gate.at(segment.batch, chunk.token(row), head));
        }
    }
    if (is_key) {
        visited += device::load(chunk_total);
    }
    float sum = terms[0] + terms[1];
    FLA_UNROLL
    for (int delta = 1; delta < device::kWarpSize; delta *= 2) {
        const float other = device::shfl_up(sum, delta);
        sum += lane >= delta ? other : 0.0F;
    }
    const float before[2] = {sum - terms[1] - terms[0], sum - terms[1]};
    FLA_UNROLL
    for (int i = 0; i < 2; ++i) {
        if (!inside[i]) {
            continue;
        }
        const std::int64_t token = chunk.token(2 * lane + i);
        const std::int64_t at = s.grad_gate.at(segment.batch, token, head);
        if (is_key) {
            const float gate = p.gate.load(p.gate.at(segment.batch, token, head));
            s.grad_gate.store(at, gate < kLowestLogDecay
                                      ? 0.0F
                                      : visited - prior[i] - (before[i] + terms[i]));
        } else {
            s.grad_gate.store(at, before[i]);
        }
    }
    const float all = device::shfl(sum, device::kWarpSize - 1);
    if (is_key) {
        visited -= all;
    } else if (lane == 0) {
        device::store(chunk_total, all);
    }
}

/// Per channel: sums the terms of a run in the order of the walk and writes or completes the gradient
/// of its log-decays. `terms` is an accumulator of this warp's rows.
template <class Traits, class Run>
FLA_DEVICE void write_gate_gradient(SweepShared<Traits>& shared,
                                    typename SweepShared<Traits>::Stage& stage,
                                    const SweepParams& s, const Segment& segment,
                                    const Chunk& chunk, int head,
                                    float (&terms)[Traits::kOutTiles][4], const Run& run) {
    using Gate = typename Traits::Gate;
    const int lane = device::lane_id(), g = lane / 4, t = lane % 4;
    const int block = device::warp_id() % 4, col0 = device::warp_id() / 4 * 64;
    const bool is_key = s.gate_gradient == GateGradient::kKey;
    const int key_dim = s.scan.key_dim;
    std::int64_t elements[2];
    bool valid[2];
    FLA_UNROLL
    for (int half = 0; half < 2; ++half) {
        const int row = block * kBlockTokens + g + 8 * half;
        valid[half] = run.holds(row) && chunk.holds(row);
        elements[half] =
            s.grad_gate.at(segment.batch, chunk.token(valid[half] ? row : chunk.begin), head);
    }
    FLA_UNROLL
    for (int n = 0; n < Traits::kOutTiles; ++n) {
        const int col = col0 + 8 * n + 2 * t;
        FLA_UNROLL
        for (int i = 0; i < 2; ++i) {
            float x = terms[n][i], y = terms[n][2 + i];
            const float total = sum_rows(x, y);
            if (g == 7) {
                device::store(&shared.gate_sums.blocks[block][col + i], total);
            }
            // kQuery wants the sums without the row itself.
            terms[n][i] = is_key ? x : x - terms[n][i];
            terms[n][2 + i] = is_key ? y : y - terms[n][2 + i];
        }
    }
    device::sync_threads();
    FLA_UNROLL
    for (int n = 0; n < Traits::kOutTiles; ++n) {
        const int col = col0 + 8 * n + 2 * t;
        auto before = device::load_vec<2>(&shared.gate_sums.visited[col]);
        FLA_UNROLL
        for (int b = 0; b < kBlocks; ++b) {
            if (b < block) {
                const auto sum = device::load_vec<2>(&shared.gate_sums.blocks[b][col]);
                before[0] += is_key ? -sum[0] : sum[0];
                before[1] += is_key ? -sum[1] : sum[1];
            }
        }
        FLA_UNROLL
        for (int half = 0; half < 2; ++half) {
            if (!valid[half] || col >= key_dim) {
                continue;
            }
            float x[2] = {terms[n][2 * half], terms[n][2 * half + 1]};
            if (is_key) {
                const auto prior = load_pair<Gate>(s.grad_gate.data, elements[half] + col);
                const int row = block * kBlockTokens + g + 8 * half;
                FLA_UNROLL
                for (int i = 0; i < 2; ++i) {
                    const float gate = device::to_float(device::load(stage.gate.at(row, col + i)));
                    x[i] = gate < kLowestLogDecay ? 0.0F : before[i] - prior[i] - x[i];
                }
            } else {
                x[0] += before[0];
                x[1] += before[1];
            }
            store_pair<Gate>(s.grad_gate.data, elements[half] + col, x[0], x[1]);
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
    // For the gradient of the log-decays, in the order of the walk: kKey what lies behind the tokens
    // visited so far, kQuery the terms of those of this chunk. Per channel that of channel `thread`.
    float visited = 0.0F;
    const bool makes_gate_gradient = !kByKey && s.gate_gradient != GateGradient::kNone;
    const bool is_key = s.gate_gradient == GateGradient::kKey;
    if (makes_gate_gradient && is_key) {
        if (!kChannelDecay) {
            visited = device::load(s.boundary + slot);
        } else if (thread < p.key_dim) {
            visited = device::load(s.boundary + slot * p.key_dim + thread);
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
            if (makes_gate_gradient) {
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
        // The stage is older than the partner, which is waited for when it is needed.
        device::cp_async_wait<Traits::kStages == 2 ? 2 : 1>();
        device::sync_threads();

        const std::int64_t total_slot =
            slot * (p.map.segment_tokens / kChunkTokens) + chunk_index;
        if (kChannelDecay && makes_gate_gradient) {
            if (!is_key) {
                visited = 0.0F;
            } else if (thread < p.key_dim) {
                visited += device::load(s.chunk_totals + total_slot * p.key_dim + thread);
            }
        }
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

        const auto process = [&](const auto& run) {
            using Run = std::remove_cvref_t<decltype(run)>;
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
            if constexpr (!kByKey && kChannelDecay) {
                if (makes_gate_gradient && thread < kK) {
                    device::store(&shared.gate_sums.visited[thread], visited);
                }
            }
            device::sync_threads();

            // scores = reader . writer; out = reader . state.
            constexpr int kSteps = Traits::kReaderCols / 16;
            float scores[kChunkTokens / 8][4] = {};
            float out[kOutTiles][4] = {};
            if (has_rows) {
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
            }
            if (makes_gate_gradient) {
                device::cp_async_wait<Traits::kStages == 2 ? 1 : 0>();
                device::sync_threads();
            }

            if (has_rows) {
                // Decay and mask the scores, then out += scores . writer. For the gradient of the
                // log-decays the diagonal stays apart.
                float diagonal[2] = {}, row_decay[2] = {}, row_terms[2] = {};
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
                                    if (makes_gate_gradient) {
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
                    const bool on_diagonal = block == warp % 4;
                    if (makes_gate_gradient && on_diagonal) {
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
                        if (!Run::kWhole || on_diagonal) {
                            const int bound = makes_gate_gradient ? row : row + 1;
                            x[0] = col < bound && run.holds(col) ? x[0] : 0.0F;
                            x[1] = col + 1 < bound && run.holds(col + 1) ? x[1] : 0.0F;
                        }
                        a[i] = device::pack2<Bf16>(x[0], x[1]);
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

                // Scale and store; for the gradient of the log-decays `out` becomes its terms: products
                // of the values that the other sweep multiplies too (decayed, rounded), so that
                // pairs of tokens cancel.
                FLA_UNROLL
                for (int half = 0; half < 2; ++half) {
                    const int row = row0 + g + 8 * half;
                    const bool valid = run.holds(row) && chunk.holds(row);
                    const std::int64_t element =
                        s.out.at(segment.batch, chunk.token(valid ? row : chunk.begin), head);
                    float row_term = row_terms[half];
                    FLA_UNROLL
                    for (int n = 0; n < kOutTiles; ++n) {
                        const int col = out_col0 + 8 * n + 2 * t;
                        float factor[2] = {1.0F, 1.0F};
                        if constexpr (kChannelDecay && !kByKey) {
                            factor[0] = device::exp2_approx(log2_decay[n][2 * half]);
                            factor[1] = device::exp2_approx(log2_decay[n][2 * half + 1]);
                        }
                        float x[2] = {s.scale * out[n][2 * half], s.scale * out[n][2 * half + 1]};
                        if constexpr (!kByKey) {
                            if (makes_gate_gradient) {
                                auto y = device::unpack2<Bf16>(
                                    device::load(pair_at(shared.partner, row, col)));
                                if constexpr (kChannelDecay) {
                                    y = device::unpack2<Bf16>(device::pack2<Bf16>(
                                        y[0] * factor[0], y[1] * factor[1]));
                                    out[n][2 * half] = valid ? y[0] * x[0] : 0.0F;
                                    out[n][2 * half + 1] = valid ? y[1] * x[1] : 0.0F;
                                } else {
                                    row_term += y[0] * x[0] + y[1] * x[1];
                                }
                                const auto key = device::unpack2<Bf16>(
                                    device::load(pair_at(stage.key, row, col)));
                                x[0] += s.scale * diagonal[half] * key[0];
                                x[1] += s.scale * diagonal[half] * key[1];
                            }
                        }
                        if (valid && col < (kByKey ? p.value_dim : p.key_dim)) {
                            device::store(reinterpret_cast<std::uint32_t*>(
                                              static_cast<Bf16*>(s.out.data) + element + col),
                                          device::pack2<Bf16>(x[0] * factor[0], x[1] * factor[1]));
                        }
                    }
                    if constexpr (!kByKey && !kChannelDecay) {
                        if (makes_gate_gradient) {
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
            if constexpr (!kByKey && kChannelDecay) {
                if (makes_gate_gradient) {
                    write_gate_gradient<Traits>(shared, stage, s, segment, chunk, head, out, run);
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
            if constexpr (!kByKey && kChannelDecay) {
                if (makes_gate_gradient && thread < kK) {
                    FLA_UNROLL
                    for (int block = 0; block < kBlocks; ++block) {
                        const float sum = device::load(&shared.gate_sums.blocks[block][thread]);
                        visited += is_key ? -sum : sum;
                    }
                }
            }
        };
        // The whole chunk at once where the factors' range allows it, else a block of 16 tokens, else
        // token by token. Tokens outside the run take no part.
        if (!kChannelDecay || (runs & 16U) != 0) {
            process(WholeChunk{});
        } else if constexpr (kChannelDecay) {
            int end = 0;
            for (int begin = chunk.begin / kBlockTokens * kBlockTokens; begin < chunk.end;
                 begin = end) {
                const bool block_fits = (runs >> (begin / kBlockTokens) & 1U) != 0;
                end = begin + (block_fits ? kBlockTokens : 1);
                const int anchor = block_fits ? begin + kBlockTokens / 2
                                   : p.span == DecaySpan::kAfterWriter ? begin + 1
                                                                       : begin;
                process(TokenRun{begin, anchor, end});
            }
        }

        if constexpr (!kByKey) {
            if (makes_gate_gradient) {
                float* const totals = s.chunk_totals + total_slot * (kChannelDecay ? p.key_dim : 1);
                if (!kChannelDecay) {
                    if (warp == 0) {
                        sum_head_gate_gradient(shared, s, segment, chunk, head, visited, totals);
                    }
                } else if (!is_key && thread < p.key_dim) {
                    device::store(totals + thread, visited);
                }
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
