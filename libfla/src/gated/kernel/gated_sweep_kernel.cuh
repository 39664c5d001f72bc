#pragma once

#include "gated/kernel/gated_state_kernel.cuh"

namespace fla::gated {

template <bool kChannelDecay_, ReadSide kSide_, GateGradient kGradient_, int kK_, int kV_,
          class Gate_>
struct SweepTraits {
    static constexpr bool kChannelDecay = kChannelDecay_;
    static constexpr ReadSide kSide = kSide_;
    static constexpr bool kByKey = kSide == ReadSide::kByKey;
    static constexpr GateGradient kGradient = kGradient_;
    static constexpr bool kMakesGradient = kGradient != GateGradient::kNone;
    static_assert(!(kByKey && kMakesGradient));
    static constexpr int kK = kK_, kV = kV_;
    using Gate = Gate_;
    static constexpr int kReaderCols = kByKey ? kK : kV;
    static constexpr int kOutCols = kByKey ? kV : kK;
    /// Warp w makes rows [w % 4 * 16, + 16) and columns [w / 4 * kGroupCols, + kGroupCols) of the
    /// output, and holds rows [w % 4 * K / 4, + K / 4) and columns [w / 4 * V / groups, ..) of the
    /// state. (Groups of 32 columns, twice the warps with half the registers, were slower.)
    static constexpr int kGroupCols = 64;
    static constexpr int kGroups = kOutCols / kGroupCols;
    static constexpr int kThreads = 128 * kGroups;
    static constexpr int kMTiles = kK / 64;
    static constexpr int kStateCols = kV / kGroups;
    static constexpr int kNTiles = kStateCols / 8;
    static constexpr int kOutTiles = kGroupCols / 8;
    /// Two stages where they fit.
    static constexpr bool kWideGates = kChannelDecay && sizeof(Gate) == 4;
    /// Resident on one SM, as shared memory allows with 227 KB.
    static constexpr int kCtasPerSm = kK == 64 && kV == 64 ? 2 : 1;
    /// Is the partner prefetched with the stage, or loaded when its chunk begins?
    static constexpr bool kStagesPartner = kMakesGradient && kK == 64 && kV == 64 && !kWideGates;
    static constexpr int kStages = kWideGates && kK == 128 && kV == 128 ? 1 : 2;
};

/// Sums for the gradient of the log-decays: of the terms of each block of 16 tokens, and of all
/// that was visited before the run.
template <int kK>
struct GateSums {
    alignas(16) float blocks[kBlocks][kK];
    alignas(16) float visited[kK];
};

template <int kK, int kThreads>
struct ChannelDecay {
    WholeChunkCoefficients coefficients;
    alignas(16) float halves[2][kK];  ///< Log-decays (base 2) of the halves of the chunk.
    std::uint32_t runs[kThreads / device::kWarpSize];
};

template <int kThreads, int kGroups>
struct HeadDecays {
    alignas(16) float gate[kChunkTokens];
    float terms[kGroups][kChunkTokens];  ///< For the gradient of the log-decays.
    HeadDecay sums[kThreads / device::kWarpSize];
};

template <class Traits>
struct SweepShared {
    struct Stage {
        TokenTile<Traits::kReaderCols> reader;
        TokenTile<Traits::kK> key;
        TokenTile<Traits::kV> value;
        If<Traits::kChannelDecay, GateTile<typename Traits::Gate, Traits::kK>> gate;
        /// q or k, for the gradient of the log-decays.
        If<Traits::kStagesPartner, TokenTile<Traits::kK>> partner;
    };
    Stage stages[Traits::kStages];
    Tile<Traits::kK, Traits::kV> state;  ///< bf16 copy
    If<Traits::kMakesGradient && !Traits::kStagesPartner, TokenTile<Traits::kK>> partner;
    If<Traits::kMakesGradient && Traits::kChannelDecay, GateSums<Traits::kK>> gate_sums;
    If<Traits::kChannelDecay, ChannelDecay<Traits::kK, Traits::kThreads>> channel_decay;
    If<!Traits::kChannelDecay, HeadDecays<Traits::kThreads, Traits::kGroups>> head_decay;
};

/// With splits_state: also what rounding left of the state.
template <class Traits>
struct SplitSweepShared : SweepShared<Traits> {
    Tile<Traits::kK, Traits::kV> state_low;
};

template <class Traits>
FLA_DEVICE void load_sweep_stage(typename SweepShared<Traits>::Stage& stage, const SweepParams& s,
                                 const Segment& segment, int chunk_index, int head) {
    constexpr int kThreads = Traits::kThreads;
    const ScanParams& p = s.scan;
    const Chunk chunk = chunk_at(segment, chunk_index, p.backwards);
    load_operand<kThreads, Traits::kReaderCols>(stage.reader, s.reader, segment, chunk, head,
                                                Traits::kByKey ? p.key_dim : p.value_dim);
    load_operand<kThreads, Traits::kK>(stage.key, p.key, segment, chunk, head, p.key_dim);
    load_operand<kThreads, Traits::kV>(stage.value, p.value, segment, chunk, head, p.value_dim);
    if constexpr (Traits::kChannelDecay) {
        load_operand<kThreads, Traits::kK, typename Traits::Gate>(stage.gate, p.gate, segment,
                                                                  chunk, head, p.key_dim);
    }
    if constexpr (Traits::kStagesPartner) {
        load_operand<kThreads, Traits::kK>(stage.partner, s.partner, segment, chunk, head,
                                           p.key_dim);
    }
}

template <int kRows, int kCols>
FLA_DEVICE std::uint32_t* pair_at(Tile<kRows, kCols>& tile, int row, int col) {
    return reinterpret_cast<std::uint32_t*>(tile.at(row, col));
}

template <class Traits>
FLA_DEVICE auto& partner_of(SweepShared<Traits>& shared,
                            typename SweepShared<Traits>::Stage& stage) {
    if constexpr (Traits::kStagesPartner) {
        return stage.partner;
    } else {
        return shared.partner;
    }
}

/// Per head: sums the terms of a chunk in the order of the walk and writes or
/// completes the gradient of its log-decays. `visited` is what lies behind the chunk (kKey).
template <class Traits>
FLA_DEVICE void sum_head_gate_gradient(SweepShared<Traits>& shared, const SweepParams& s,
                                       const Segment& segment, const Chunk& chunk, int head,
                                       float& visited, float* chunk_total) {
    const ScanParams& p = s.scan;
    const int lane = device::lane_id();
    constexpr bool kIsKey = Traits::kGradient == GateGradient::kKey;
    float terms[2], prior[2] = {};
    bool inside[2];
    FLA_UNROLL
    for (int i = 0; i < 2; ++i) {
        const int row = 2 * lane + i;
        inside[i] = chunk.holds(row);
        terms[i] = device::load(&shared.head_decay.terms[0][row]);
        FLA_UNROLL
        for (int group = 1; group < Traits::kGroups; ++group) {
            terms[i] += device::load(&shared.head_decay.terms[group][row]);
        }
        if (kIsKey && inside[i]) {
            prior[i] = s.grad_gate.load(s.grad_gate.at(segment.batch, chunk.token(row), head));
        }
    }
    if (kIsKey) {
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
        if (kIsKey) {
            const float gate = p.gate.load(p.gate.at(segment.batch, token, head));
            s.grad_gate.store(
                at, gate < kLowestLogDecay ? 0.0F : visited - prior[i] - (before[i] + terms[i]));
        } else {
            s.grad_gate.store(at, before[i]);
        }
    }
    const float all = device::shfl(sum, device::kWarpSize - 1);
    if (kIsKey) {
        visited -= all;
    } else if (lane == 0) {
        device::store(chunk_total, all);
    }
}

/// Per channel: sums the terms of a run in the order of the walk and writes or completes the
/// gradient of its log-decays. `terms` is an accumulator of this warp's rows, those of `block`.
template <class Traits, class Run>
FLA_DEVICE void write_gate_gradient(SweepShared<Traits>& shared,
                                    typename SweepShared<Traits>::Stage& stage,
                                    const SweepParams& s, const Segment& segment,
                                    const Chunk& chunk, int head, int block,
                                    float (&terms)[Traits::kOutTiles][4], const Run& run) {
    using Gate = typename Traits::Gate;
    constexpr bool kIsKey = Traits::kGradient == GateGradient::kKey;
    constexpr float kSign = kIsKey ? -1.0F : 1.0F;
    const int lane = device::lane_id(), g = lane / 4, t = lane % 4;
    const int col0 = device::warp_id() / 4 * Traits::kGroupCols + 2 * t;
    const int row0 = block * kBlockTokens + g;
    const int key_dim = s.scan.key_dim;
    Gate* to[2];
    bool valid[2];
    FLA_UNROLL
    for (int half = 0; half < 2; ++half) {
        const int row = row0 + 8 * half;
        valid[half] = run.holds(row) && chunk.holds(row);
        to[half] =
            static_cast<Gate*>(s.grad_gate.data) +
            s.grad_gate.at(segment.batch, chunk.token(valid[half] ? row : chunk.begin), head) +
            col0;
    }
    // What kQuery left, read before the sums so that they hide its latency.
    device::Vec<Gate, 2> prior[Traits::kOutTiles][2];
    if constexpr (kIsKey) {
        FLA_UNROLL
        for (int n = 0; n < Traits::kOutTiles; ++n) {
            FLA_UNROLL
            for (int half = 0; half < 2; ++half) {
                const int inside = col0 + 8 * n < key_dim ? 8 * n : -col0;
                prior[n][half] = device::load_vec<2>(to[half] + inside);
            }
        }
    }
    FLA_UNROLL
    for (int n = 0; n < Traits::kOutTiles; ++n) {
        FLA_UNROLL
        for (int i = 0; i < 2; ++i) {
            float x = terms[n][i], y = terms[n][2 + i];
            const float total = sum_rows(x, y);
            if (g == 7) {
                device::store(&shared.gate_sums.blocks[block][col0 + 8 * n + i], total);
            }
            // kQuery wants the sums without the row itself.
            terms[n][i] = kIsKey ? x : x - terms[n][i];
            terms[n][2 + i] = kIsKey ? y : y - terms[n][2 + i];
        }
    }
    device::sync_threads();
    FLA_UNROLL
    for (int n = 0; n < Traits::kOutTiles; ++n) {
        const int col = col0 + 8 * n;
        auto before = device::load_vec<2>(&shared.gate_sums.visited[col]);
        FLA_UNROLL
        for (int b = 0; b + 1 < kBlocks; ++b) {
            const float sign = b < block ? kSign : 0.0F;
            const auto sum = device::load_vec<2>(&shared.gate_sums.blocks[b][col]);
            before[0] += sign * sum[0];
            before[1] += sign * sum[1];
        }
        FLA_UNROLL
        for (int half = 0; half < 2; ++half) {
            float x[2];
            FLA_UNROLL
            for (int i = 0; i < 2; ++i) {
                x[i] = before[i] + kSign * terms[n][2 * half + i];
                if constexpr (kIsKey) {
                    const auto gate = device::load_vec<2>(stage.gate.at(row0 + 8 * half, col));
                    x[i] = device::to_float(gate[i]) < kLowestLogDecay
                               ? 0.0F
                               : x[i] - device::to_float(prior[n][half][i]);
                }
            }
            if (valid[half] && col < key_dim) {
                device::store_vec(to[half] + 8 * n,
                                  device::Vec<Gate, 2>{device::from_float<Gate>(x[0]),
                                                       device::from_float<Gate>(x[1])});
            }
        }
    }
}

template <class Traits>
FLA_KERNEL void FLA_LAUNCH_BOUNDS2(Traits::kThreads, Traits::kCtasPerSm)
    gated_sweep_kernel(SweepParams s) {
    constexpr bool kByKey = Traits::kByKey, kChannelDecay = Traits::kChannelDecay;
    constexpr int kK = Traits::kK, kThreads = Traits::kThreads;
    constexpr int kMTiles = Traits::kMTiles, kNTiles = Traits::kNTiles;
    constexpr int kOutTiles = Traits::kOutTiles;
    auto& shared = device::dynamic_shared<SweepShared<Traits>>();
    const ScanParams& p = s.scan;

    const int item = device::block_index().x;
    const auto work = work_item(p.map, p.heads, item);
    const int head = work.head;
    const std::int64_t slot = work.slot;
    const Segment& segment = work.segment;
    const int chunks = segment.chunks();
    const int thread = device::thread_index().x, lane = device::lane_id();
    const int g = lane / 4, t = lane % 4;
    const int warp = device::warp_id(), group = warp / 4;
    // Later rows have more scores. Every other group and CTA deals the rows out the other way
    // round, so that each scheduler of an SM gets as many.
    const int row_block = (group + item) % 2 == 0 ? warp % 4 : kBlocks - 1 - warp % 4;
    const int row0 = row_block * kBlockTokens, out_col0 = group * Traits::kGroupCols;
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
    // For the gradient of the log-decays, in the order of the walk: kKey what lies behind the
    // tokens visited so far, kQuery the terms of those of this chunk. Per channel that of channel
    // `thread`.
    float visited = 0.0F;
    constexpr bool kMakesGradient = Traits::kMakesGradient;
    constexpr bool kIsKey = Traits::kGradient == GateGradient::kKey;
    if constexpr (kMakesGradient && kIsKey) {
        if (!kChannelDecay) {
            visited = device::load(s.boundary + slot);
        } else if (thread < p.key_dim) {
            visited = device::load(s.boundary + slot * p.key_dim + thread);
        }
    }

    if constexpr (kChannelDecay) {
        if (group == 0) {
            make_coefficients(shared.channel_decay.coefficients, row_block, p.span);
        }
    }
    // Where the sums of a chunk stand, and that of channel `thread`, fetched ahead.
    const auto totals_of = [&](int chunk_index) {
        return s.chunk_totals + (slot * (p.map.segment_tokens / kChunkTokens) + chunk_index) *
                                    (kChannelDecay ? p.key_dim : 1);
    };
    const bool fetches_total = kIsKey && kChannelDecay && thread < p.key_dim;
    float next_total = fetches_total ? device::load(totals_of(first) + thread) : 0.0F;
    float next_gate = fetches_gate ? fetch_head_gate(p, segment, first, head) : 0.0F;
    if constexpr (Traits::kStages == 2) {
        load_sweep_stage<Traits>(shared.stages[0], s, segment, first, head);
        device::cp_async_commit();
    }
    for (int c = 0; c < chunks; ++c) {
        const int chunk_index = first + c * step;
        const Chunk chunk = chunk_at(segment, chunk_index, p.backwards);
        auto& stage = shared.stages[c % Traits::kStages];
        if constexpr (!kChannelDecay) {
            if (fetches_gate) {
                device::store(&shared.head_decay.gate[thread], next_gate);
            }
        }
        if constexpr (kMakesGradient && !Traits::kStagesPartner) {
            load_operand<kThreads, kK>(shared.partner, s.partner, segment, chunk, head, p.key_dim);
        }
        if constexpr (Traits::kStages == 1) {
            load_sweep_stage<Traits>(stage, s, segment, chunk_index, head);
        }
        device::cp_async_commit();
        if (c + 1 < chunks) {
            if constexpr (Traits::kStages == 2) {
                load_sweep_stage<Traits>(shared.stages[(c + 1) % 2], s, segment, chunk_index + step,
                                         head);
            }
            next_gate = fetches_gate ? fetch_head_gate(p, segment, chunk_index + step, head) : 0.0F;
        }
        device::cp_async_commit();
        // The stage is older than the partner, which is waited for when it is needed.
        device::cp_async_wait<Traits::kStages == 2 ? 2 : 1>();
        device::sync_threads();

        if constexpr (kChannelDecay && kMakesGradient) {
            visited = kIsKey ? visited + next_total : 0.0F;
        }
        if (fetches_total && c + 1 < chunks) {
            next_total = device::load(totals_of(chunk_index + step) + thread);
        }
        std::uint32_t runs = 16U;
        if constexpr (kChannelDecay) {
            std::uint32_t own = 31U;
            FLA_UNROLL
            for (int m = 0; m < kMTiles; ++m) {
                if (m % Traits::kGroups == group) {
                    own &=
                        runs_in_range(stage.gate, channel0 + 16 * m, shared.channel_decay.halves);
                }
            }
            if (lane == 0) {
                device::store(&shared.channel_decay.runs[warp], own);
            }
            device::sync_threads();
            runs = 31U;
            FLA_UNROLL
            for (int w = 0; w < kThreads / device::kWarpSize; ++w) {
                runs &= device::load(&shared.channel_decay.runs[w]);
            }
        }
        if constexpr (!kChannelDecay) {
            if (decays) {
                sum_head_decay(shared.head_decay.sums[warp], shared.head_decay.gate, p.span);
            }
        }

        const auto process = [&](const auto& run) {
            using Run = std::remove_cvref_t<decltype(run)>;
            const bool has_rows = run.meets_block(row_block);

            [[maybe_unused]] float
                log2_decay[kOutTiles][4];  // of this warp's rows, out_col0 .. + 63 (channels)
            if constexpr (kChannelDecay) {
                if (has_rows) {
                    FLA_UNROLL
                    for (int pass = 0; pass < kK / Traits::kGroupCols; ++pass) {
                        if (pass % Traits::kGroups != group) {
                            continue;
                        }
                        const int col0 = Traits::kGroupCols * pass;
                        anchored_log2_decay(log2_decay, stage.gate, row0, col0, run, p.span,
                                            shared.channel_decay.coefficients);
                        scale_rows(stage.key, log2_decay, -1.0F, row0, col0, run);
                        if constexpr (kByKey) {
                            scale_rows(stage.reader, log2_decay, 1.0F, row0, col0, run);
                        }
                    }
                }
                FLA_UNROLL
                for (int m = 0; m < kMTiles; ++m) {
                    float before[2], after[2];
                    if constexpr (Run::kWhole) {
                        FLA_UNROLL
                        for (int half = 0; half < 2; ++half) {
                            const int channel = channel0 + 16 * m + g + 8 * half;
                            before[half] = device::load(&shared.channel_decay.halves[0][channel]);
                            after[half] = device::load(&shared.channel_decay.halves[1][channel]);
                        }
                    } else {
                        run_log2_decay(before, after, stage.gate, channel0 + 16 * m, run);
                    }
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
                            auto& state_low =
                                device::dynamic_shared<SplitSweepShared<Traits>>().state_low;
                            const auto rounded = device::unpack2<Bf16>(copy);
                            device::store(pair_at(state_low, channel, col),
                                          device::pack2<Bf16>(x - rounded[0], y - rounded[1]));
                        }
                    }
                }
            }
            if constexpr (kMakesGradient && kChannelDecay) {
                if (thread < kK) {
                    device::store(&shared.gate_sums.visited[thread], visited);
                }
            }
            device::sync_threads();

            // out = reader . state.
            constexpr int kSteps = Traits::kReaderCols / 16;
            std::uint32_t reader[kSteps][4];
            float out[kOutTiles][4] = {};
            if (has_rows) {
                FLA_UNROLL
                for (int k = 0; k < kSteps; ++k) {
                    load_a(reader[k], stage.reader, row0, 16 * k);
                    FLA_UNROLL
                    for (int n = 0; n < kOutTiles; n += 2) {
                        std::uint32_t b[2][2];
                        if constexpr (kByKey) {
                            load_b(b, shared.state, 16 * k, out_col0 + 8 * n);
                        } else {
                            load_b_transposed(b, shared.state, out_col0 + 8 * n, 16 * k);
                        }
                        mma(out[n], reader[k], b[0]);
                        mma(out[n + 1], reader[k], b[1]);
                        if (s.splits_state) {
                            auto& state_low =
                                device::dynamic_shared<SplitSweepShared<Traits>>().state_low;
                            if constexpr (kByKey) {
                                load_b(b, state_low, 16 * k, out_col0 + 8 * n);
                            } else {
                                load_b_transposed(b, state_low, out_col0 + 8 * n, 16 * k);
                            }
                            mma(out[n], reader[k], b[0]);
                            mma(out[n + 1], reader[k], b[1]);
                        }
                    }
                }
            }
            if constexpr (kMakesGradient && !Traits::kStagesPartner) {
                device::cp_async_wait<Traits::kStages == 2 ? 1 : 0>();
                device::sync_threads();
            }

            if (has_rows) {
                // Scores = reader . writer by blocks, decayed and masked; out += scores . writer.
                // For the gradient of the log-decays the diagonal stays apart.
                [[maybe_unused]] float diagonal[2] = {}, row_decay[2] = {}, row_terms[2] = {};
                if constexpr (!kChannelDecay) {
                    if (decays) {
                        FLA_UNROLL
                        for (int half = 0; half < 2; ++half) {
                            const int row = row0 + g + 8 * half;
                            row_decay[half] = device::load(&shared.head_decay.sums[warp].sums[row]);
                            const float factor = device::exp2_approx(row_decay[half]);
                            FLA_UNROLL
                            for (int n = 0; n < kOutTiles; ++n) {
                                if constexpr (kMakesGradient) {
                                    // The adjoint's state adds up rounded e^G q: so must this.
                                    const auto y = device::unpack2<Bf16>(
                                        device::load(pair_at(partner_of<Traits>(shared, stage), row,
                                                             out_col0 + 8 * n + 2 * t)));
                                    const float z[2] = {y[0] * factor, y[1] * factor};
                                    const auto r =
                                        device::unpack2<Bf16>(device::pack2<Bf16>(z[0], z[1]));
                                    row_terms[half] +=
                                        s.scale * ((r[0] - z[0]) * out[n][2 * half] +
                                                   (r[1] - z[1]) * out[n][2 * half + 1]);
                                }
                                out[n][2 * half] *= factor;
                                out[n][2 * half + 1] *= factor;
                            }
                        }
                    }
                }
                FLA_UNROLL
                for (int block = 0; block < kBlocks; ++block) {
                    if (block > row_block || !run.meets_block(block)) {
                        continue;
                    }
                    const bool on_diagonal = block == row_block;
                    float scores[2][4] = {};
                    FLA_UNROLL
                    for (int k = 0; k < kSteps; ++k) {
                        std::uint32_t b[2][2];
                        if constexpr (kByKey) {
                            load_b_transposed(b, stage.key, block * kBlockTokens, 16 * k);
                        } else {
                            load_b_transposed(b, stage.value, block * kBlockTokens, 16 * k);
                        }
                        mma(scores[0], reader[k], b[0]);
                        mma(scores[1], reader[k], b[1]);
                    }
                    if (kMakesGradient && on_diagonal) {
                        FLA_UNROLL
                        for (int half = 0; half < 2; ++half) {
                            const auto& tile = scores[half];
                            diagonal[half] = device::shfl(
                                g % 2 == 0 ? tile[2 * half] : tile[2 * half + 1], 4 * g + g / 2);
                        }
                    }
                    std::uint32_t a[4];
                    FLA_UNROLL
                    for (int i = 0; i < 4;
                         ++i) {  // register i: rows + 8 (i % 2), columns + 8 (i / 2)
                        const int half = i % 2;
                        const int col = block * kBlockTokens + i / 2 * 8 + 2 * t;
                        const int row = row0 + g + 8 * half;
                        float x[2] = {scores[i / 2][2 * half], scores[i / 2][2 * half + 1]};
                        if constexpr (!kChannelDecay) {
                            if (decays) {
                                const auto col_decay =
                                    device::load_vec<2>(&shared.head_decay.sums[warp].sums[col]);
                                x[0] *= device::exp2_approx(
                                    col <= row ? row_decay[half] - col_decay[0] : 0.0F);
                                x[1] *= device::exp2_approx(
                                    col + 1 <= row ? row_decay[half] - col_decay[1] : 0.0F);
                            }
                        }
                        // Readers outside of the run are not stored, but writers must not count.
                        if (!Run::kWhole || on_diagonal) {
                            const int bound = kMakesGradient ? row : row + 1;
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

                // Scale and store; for the gradient of the log-decays `out` becomes its terms:
                // products of the values that the other sweep multiplies too (decayed, rounded), so
                // that pairs of tokens cancel.
                FLA_UNROLL
                for (int half = 0; half < 2; ++half) {
                    const int row = row0 + g + 8 * half;
                    const bool valid = run.holds(row) && chunk.holds(row);
                    Bf16* const to =
                        static_cast<Bf16*>(s.out.data) +
                        s.out.at(segment.batch, chunk.token(valid ? row : chunk.begin), head) +
                        out_col0 + 2 * t;
                    [[maybe_unused]] float row_term = row_terms[half];
                    FLA_UNROLL
                    for (int n = 0; n < kOutTiles; ++n) {
                        const int col = out_col0 + 8 * n + 2 * t;
                        float factor[2] = {1.0F, 1.0F};
                        if constexpr (kChannelDecay && !kByKey) {
                            factor[0] = device::exp2_approx(log2_decay[n][2 * half]);
                            factor[1] = device::exp2_approx(log2_decay[n][2 * half + 1]);
                        }
                        float x[2] = {s.scale * out[n][2 * half], s.scale * out[n][2 * half + 1]};
                        if constexpr (kMakesGradient) {
                            auto y = device::unpack2<Bf16>(
                                device::load(pair_at(partner_of<Traits>(shared, stage), row, col)));
                            if constexpr (kChannelDecay) {
                                y = device::unpack2<Bf16>(
                                    device::pack2<Bf16>(y[0] * factor[0], y[1] * factor[1]));
                                out[n][2 * half] = valid ? y[0] * x[0] : 0.0F;
                                out[n][2 * half + 1] = valid ? y[1] * x[1] : 0.0F;
                            } else {
                                row_term += y[0] * x[0] + y[1] * x[1];
                            }
                            const auto key =
                                device::unpack2<Bf16>(device::load(pair_at(stage.key, row, col)));
                            x[0] += s.scale * diagonal[half] * key[0];
                            x[1] += s.scale * diagonal[half] * key[1];
                        }
                        if (valid && col < (kByKey ? p.value_dim : p.key_dim)) {
                            device::store(reinterpret_cast<std::uint32_t*>(to + 8 * n),
                                          device::pack2<Bf16>(x[0] * factor[0], x[1] * factor[1]));
                        }
                    }
                    if constexpr (kMakesGradient && !kChannelDecay) {
                        row_term += device::shfl_xor(row_term, 1);
                        row_term += device::shfl_xor(row_term, 2);
                        if (t == 0) {
                            device::store(&shared.head_decay.terms[group][row],
                                          valid ? row_term : 0.0F);
                        }
                    }
                }
            }
            if constexpr (kMakesGradient && kChannelDecay) {
                write_gate_gradient<Traits>(shared, stage, s, segment, chunk, head, row_block, out,
                                            run);
            }

            // state += key^T value over the run, decayed to its end (per head) or to the anchor.
            if constexpr (!kChannelDecay) {
                if (decays) {
                    const float factor =
                        device::exp2_approx(device::load(&shared.head_decay.sums[warp].total));
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
                            const auto factor =
                                device::load_vec<2>(&shared.head_decay.sums[warp].to_end[token]);
                            a[m][i] = device::pack2<Bf16>(x[0] * factor[0], x[1] * factor[1]);
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
            if constexpr (kMakesGradient && kChannelDecay) {
                if (thread < kK) {
                    FLA_UNROLL
                    for (int block = 0; block < kBlocks; ++block) {
                        const float sum = device::load(&shared.gate_sums.blocks[block][thread]);
                        visited += kIsKey ? -sum : sum;
                    }
                }
            }
        };
        // The whole chunk at once where the factors' range allows it, else a block of 16 tokens,
        // else token by token. Tokens outside the run take no part.
        if (!kChannelDecay || (runs & 16U) != 0) {
            process(WholeChunk{});
        } else if constexpr (kChannelDecay) {
            int end = 0;
            for (int begin = chunk.begin / kBlockTokens * kBlockTokens; begin < chunk.end;
                 begin = end) {
                const bool block_fits = (runs >> (begin / kBlockTokens) & 1U) != 0;
                end = begin + (block_fits ? kBlockTokens : 1);
                const int anchor = block_fits                          ? begin + kBlockTokens / 2
                                   : p.span == DecaySpan::kAfterWriter ? begin + 1
                                                                       : begin;
                process(TokenRun{begin, anchor, end});
            }
        }

        if constexpr (kMakesGradient) {
            float* const totals = totals_of(chunk_index);
            if constexpr (!kChannelDecay) {
                if (warp == 0) {
                    sum_head_gate_gradient(shared, s, segment, chunk, head, visited, totals);
                }
            } else if (!kIsKey && thread < p.key_dim) {
                device::store(totals + thread, visited);
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
