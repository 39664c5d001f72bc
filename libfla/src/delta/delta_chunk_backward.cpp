#include "delta/delta_chunk_terms.h"

// Walks the chunks forward once to lay down the state before each and its E (a history of bounded
// size; beyond it only a checkpoint a segment, from which the segment is walked again), then once
// backward. With dS' the gradient of the state after a chunk:
//     P = scale (dO Uᵀ) pairs,  dU = scoresᵀ dO + (exp(G_C - G) K) dS'
//     W = dU - gramᵀ dV,  dV = beta W    (block back-substitution),  dbeta_i = W_i . E_i
//     Y = -(dV Uᵀ) pairs                 strictly lower
//     dQ = scale exp(G) (dO Sᵀ) + P K
//     dK = -exp(G) (dV Sᵀ) + exp(G_C - G) (U dS'ᵀ) + Y K + Pᵀ Q + Yᵀ K
//     dS = exp(G_C) dS' + (scale exp(G) Q)ᵀ dO - (exp(G) K)ᵀ dV
// The gate's gradient is the sum of every term that carries exp(g_t) as a factor,
//     dg_t = sum_{i >= t > j} (P_ij q_i.k_j + Y_ij k_i.k_j) + sum_{i >= t} (reads of S)
//            + sum_{j < t} (writes to S') + exp(G_C) <S, dS'>,
// which, unlike a difference of q.dq and k.dk sums, keeps its digits when the decay is strong.

namespace fla::FLA_ISA {
namespace {

constexpr std::int64_t kHistoryFloats = std::int64_t{2} << 20;

struct HistoryPlan {
    std::int64_t num_chunks;
    std::int64_t chunk_floats;    // State before the chunk, then E.
    std::int64_t segment_chunks;  // Chunks whose history is held at once.
    std::int64_t num_segments;

    HistoryPlan(std::int64_t num_tokens, std::int64_t kp, std::int64_t vp)
        : num_chunks((num_tokens + kChunk - 1) / kChunk), chunk_floats((kp + kChunk) * vp) {
        const std::int64_t held = kHistoryFloats / chunk_floats;
        segment_chunks = held < 1 ? 1 : held;
        if (segment_chunks > num_chunks) {
            segment_chunks = num_chunks < 1 ? 1 : num_chunks;
        }
        num_segments = (num_chunks + segment_chunks - 1) / segment_chunks;
    }
};

struct BackwardScratch {
    ChunkTerms chunk;
    HistoryPlan plan;
    float* checkpoints;       // [num_segments, kp, vp]: state before each segment
    float* history;           // [segment_chunks, chunk_floats]
    float* state;             // [kp, vp]: running state of the forward walk
    float* state_gradient;    // [kp, vp]: dS', then dS
    float* state_transposed;  // [vp, kp]: of S, then of dS'
    float* q;                 // [C, kp]
    float* grad_q;            // [C, kp]
    float* grad_k;            // [C, kp]
    float* key_writes;        // [C, kp]
    float* grad_o;            // [C, vp]
    float* grad_u;            // [C, vp]
    float* grad_v;            // [C, vp]
    float* u_transposed;      // [vp, C]
    float* scores;            // [C, C]
    float* p;                 // [C, C]
    float* y;                 // [C, C]
    float* grad_beta;         // [C]
    float* reads;             // [C]: gate terms of what token i reads from S
    float* writes;            // [C]: gate terms of what token j writes to S'

    BackwardScratch(std::int64_t num_tokens, std::int64_t keys, std::int64_t values,
                    ScratchArena& arena)
        : chunk(keys, values, arena),
          plan(num_tokens, chunk.kp, chunk.vp),
          checkpoints(arena.take(plan.num_segments * chunk.kp * chunk.vp)),
          history(arena.take(plan.segment_chunks * plan.chunk_floats)),
          state(arena.take(chunk.kp * chunk.vp)),
          state_gradient(arena.take(chunk.kp * chunk.vp)),
          state_transposed(arena.take(chunk.kp * chunk.vp)),
          q(arena.take(kChunk * chunk.kp)),
          grad_q(arena.take(kChunk * chunk.kp)),
          grad_k(arena.take(kChunk * chunk.kp)),
          key_writes(arena.take(kChunk * chunk.kp)),
          grad_o(arena.take(kChunk * chunk.vp)),
          grad_u(arena.take(kChunk * chunk.vp)),
          grad_v(arena.take(kChunk * chunk.vp)),
          u_transposed(arena.take(kChunk * chunk.vp)),
          scores(arena.take(kChunk * kChunk)),
          p(arena.take(kChunk * kChunk)),
          y(arena.take(kChunk * kChunk)),
          grad_beta(arena.take(kChunk)),
          reads(arena.take(kChunk)),
          writes(arena.take(kChunk)) {}
};

std::int64_t scratch_floats(std::int64_t num_tokens, std::int64_t key_width,
                            std::int64_t value_width) {
    ScratchArena arena(nullptr);
    const BackwardScratch scratch(num_tokens, key_width, value_width, arena);
    return arena.used();
}

void copy_floats(const float* in, std::int64_t count, float* out) {
    __builtin_memcpy(out, in, static_cast<std::size_t>(count) * sizeof(float));
}

/// Walks the chunks of one segment forward; scratch.state enters as the state before it and leaves
/// as the state after it. Keeps state-before and E of each chunk where `keep` is set.
void walk_segment(const DeltaHeadInputs& in, std::int64_t segment, bool keep,
                  BackwardScratch& scratch) {
    ChunkTerms& chunk = scratch.chunk;
    const HistoryPlan& plan = scratch.plan;
    const std::int64_t begin = segment * plan.segment_chunks;
    const std::int64_t limit = begin + plan.segment_chunks;
    const std::int64_t end = limit < plan.num_chunks ? limit : plan.num_chunks;
    const std::int64_t state_floats = chunk.kp * chunk.vp;
    for (std::int64_t c = begin; c < end; ++c) {
        load_keys(in, c * kChunk, chunk);
        solve_errors(in, c * kChunk, scratch.state, chunk);
        if (keep) {
            float* kept = scratch.history + (c - begin) * plan.chunk_floats;
            copy_floats(scratch.state, state_floats, kept);
            copy_floats(chunk.e, chunk.rows * chunk.vp, kept + state_floats);
        }
        advance_state(chunk, scratch.state);
    }
}

/// dots_i += row_i . other_i after row_i *= factor * factors_i, for `rows` rows.
void scale_rows_and_dot(std::int64_t rows, std::int64_t width, const float* factors, float factor,
                        const float* other, float* values, float* dots) {
    for (std::int64_t i = 0; i < rows; ++i) {
        const Floats f = broadcast(factor * factors[i]);
        Floats sum = {};
        for (std::int64_t j = 0; j < width; j += kLanes) {
            const Floats scaled = f * load(values + i * width + j);
            store(values + i * width + j, scaled);
            sum += scaled * load(other + i * width + j);
        }
        dots[i] += sum_lanes(sum);
    }
}

/// Turns grad_u into W on the way and leaves dV = beta W in grad_v and dbeta in grad_beta.
void solve_gradients(BackwardScratch& scratch) {
    const ChunkTerms& chunk = scratch.chunk;
    const std::int64_t vp = chunk.vp;
    float ones[kBlock];
    for (float& one : ones) {
        one = 1.0F;
    }
    float inverse[kBlock * kBlock];
    for (std::int64_t i = chunk.rows - kBlock; i >= 0; i -= kBlock) {
        const std::int64_t next = i + kBlock;
        float* grad_u = scratch.grad_u + i * vp;
        float* grad_v = scratch.grad_v + i * vp;
        multiply<Into::kAdd>(kBlock, vp, chunk.rows - next,
                             {chunk.gram + next * kChunk + i, 1, kChunk},
                             scratch.grad_v + next * vp, vp, grad_u, vp, -1.0F);
        invert_block(chunk.gram + i * kChunk + i, chunk.beta + i, ones, inverse);
        multiply(kBlock, vp, kBlock, {inverse, 1, kBlock}, grad_u, vp, grad_v, vp);
        for (std::int64_t r = 0; r < kBlock; ++r) {
            scratch.grad_beta[i + r] = 0.0F;
        }
        scale_rows_and_dot(kBlock, vp, ones, 1.0F, chunk.e + i * vp, grad_v, scratch.grad_beta + i);
        scale_rows(kBlock, vp, grad_v, chunk.beta + i, 1.0F, grad_v);
    }
}

/// Turns p from dO Uᵀ into P and y from dV Uᵀ into Y. With a gate, dg_t also gets its terms of
/// pairs i >= t > j: the sum of each column runs up from the last row, so that nothing is
/// subtracted.
void finish_pairs(BackwardScratch& scratch, float scale, bool gated, double* grad_gate) {
    const ChunkTerms& chunk = scratch.chunk;
    if (gated) {
        float column_sums[kChunk] = {};
        for (std::int64_t t = chunk.rows - 1; t >= 0; --t) {
            const Ints last_column = column_numbers(0) * 0 + (static_cast<std::int32_t>(t) - 1);
            Floats sum = {};
            for (std::int64_t j = 0; j < round_up_to_tile(t + 1); j += kLanes) {
                const std::int64_t entry = t * kChunk + j;
                const Floats terms = load(scratch.p + entry) * load(scratch.scores + entry) -
                                     load(scratch.y + entry) * load(chunk.gram + entry);
                const Floats sums = load(column_sums + j) + terms;
                store(column_sums + j, sums);
                sum += column_numbers(j) <= last_column ? sums : Floats{};
            }
            grad_gate[t] = static_cast<double>(sum_lanes(sum));
        }
    }
    apply_decays(chunk, scale, Diagonal::kInside, scratch.p);
    apply_decays(chunk, -1.0F, Diagonal::kOutside, scratch.y);
}

/// Adds the terms of reads, writes and the carried state to dg. `carried` is exp(G_C) <S, dS'>.
void finish_gate_gradient(const BackwardScratch& scratch, double carried, double* grad_gate) {
    const std::int64_t rows = scratch.chunk.rows;
    double writes = carried;
    for (std::int64_t t = 0; t < rows; ++t) {
        grad_gate[t] += writes;
        writes += static_cast<double>(scratch.writes[t]);
    }
    double reads = 0.0;
    for (std::int64_t t = rows - 1; t >= 0; --t) {
        reads += static_cast<double>(scratch.reads[t]);
        grad_gate[t] += reads;
    }
}

double inner_product(std::int64_t count, const float* a, const float* b) {
    double total = 0.0;
    for (std::int64_t first = 0; first < count; first += 256) {
        const std::int64_t end = first + 256 < count ? first + 256 : count;
        Floats sum = {};
        for (std::int64_t j = first; j < end; j += kLanes) {
            sum += load(a + j) * load(b + j);
        }
        total += static_cast<double>(sum_lanes(sum));
    }
    return total;
}

/// Computes dU and, from it, W, dV and dbeta.
void compute_value_gradients(BackwardScratch& scratch) {
    ChunkTerms& chunk = scratch.chunk;
    scale_rows(chunk.rows, chunk.kp, chunk.k, chunk.suffix, 1.0F, chunk.scaled);
    multiply(chunk.rows, chunk.vp, chunk.key_width, {chunk.scaled, chunk.kp, 1},
             scratch.state_gradient, chunk.vp, scratch.grad_u, chunk.vp);
    add_lower_transposed_times(chunk.rows, chunk.vp, scratch.scores, scratch.grad_o,
                               scratch.grad_u);
    solve_gradients(scratch);
}

/// Computes dQ and dK from P, Y, the state before the chunk and dS'.
void compute_key_gradients(float scale, const float* state, BackwardScratch& scratch) {
    ChunkTerms& chunk = scratch.chunk;
    const std::int64_t rows = chunk.rows;
    const std::int64_t kp = chunk.kp;
    const std::int64_t vp = chunk.vp;
    const std::int64_t values = chunk.value_width;
    for (std::int64_t i = 0; i < rows; ++i) {
        scratch.reads[i] = 0.0F;
        scratch.writes[i] = 0.0F;
    }
    transpose(kp, vp, state, vp, scratch.state_transposed, kp);
    multiply(rows, kp, values, {scratch.grad_o, vp, 1}, scratch.state_transposed, kp,
             scratch.grad_q, kp);
    scale_rows_and_dot(rows, kp, chunk.prefix, scale, scratch.q, scratch.grad_q, scratch.reads);
    add_lower_times(rows, kp, scratch.p, chunk.k, scratch.grad_q);

    multiply(rows, kp, values, {scratch.grad_v, vp, 1}, scratch.state_transposed, kp,
             scratch.grad_k, kp);
    scale_rows_and_dot(rows, kp, chunk.prefix, -1.0F, chunk.k, scratch.grad_k, scratch.reads);
    transpose(kp, vp, scratch.state_gradient, vp, scratch.state_transposed, kp);
    multiply(rows, kp, values, {chunk.u, vp, 1}, scratch.state_transposed, kp, scratch.key_writes,
             kp);
    scale_rows_and_dot(rows, kp, chunk.suffix, 1.0F, chunk.k, scratch.key_writes, scratch.writes);
    for (std::int64_t j = 0; j < rows * kp; j += kLanes) {
        store(scratch.grad_k + j, load(scratch.grad_k + j) + load(scratch.key_writes + j));
    }
    add_lower_times(rows, kp, scratch.y, chunk.k, scratch.grad_k);
    add_lower_transposed_times(rows, kp, scratch.p, scratch.q, scratch.grad_k);
    add_lower_transposed_times(rows, kp, scratch.y, chunk.k, scratch.grad_k);
}

/// Turns dS' into dS.
void carry_state_gradient(float scale, BackwardScratch& scratch) {
    ChunkTerms& chunk = scratch.chunk;
    const std::int64_t kp = chunk.kp;
    const std::int64_t vp = chunk.vp;
    scale_all(kp * vp, chunk.whole, scratch.state_gradient);
    scale_rows(chunk.rows, kp, scratch.q, chunk.prefix, scale, chunk.scaled);
    multiply<Into::kAdd>(chunk.key_width, vp, chunk.rows, {chunk.scaled, 1, kp}, scratch.grad_o, vp,
                         scratch.state_gradient, vp);
    scale_rows(chunk.rows, kp, chunk.k, chunk.prefix, 1.0F, chunk.scaled);
    multiply<Into::kAdd>(chunk.key_width, vp, chunk.rows, {chunk.scaled, 1, kp}, scratch.grad_v, vp,
                         scratch.state_gradient, vp, -1.0F);
}

void store_gradients(const DeltaHeadBackward& problem, std::int64_t first, std::int64_t n,
                     const double* grad_gate, const BackwardScratch& scratch) {
    const ChunkTerms& chunk = scratch.chunk;
    store_rows(scratch.grad_q, chunk.kp, n, chunk.key_width,
               problem.grad_q + first * problem.grad_q_stride, problem.grad_q_stride);
    store_rows(scratch.grad_k, chunk.kp, n, chunk.key_width,
               problem.grad_k + first * problem.grad_k_stride, problem.grad_k_stride);
    store_rows(scratch.grad_v, chunk.vp, n, chunk.value_width,
               problem.grad_v + first * problem.grad_v_stride, problem.grad_v_stride);
    store_rows(scratch.grad_beta, 1, n, 1, problem.grad_beta + first * problem.grad_beta_stride,
               problem.grad_beta_stride);
    for (std::int64_t i = 0; problem.grad_log_decay != nullptr && i < n; ++i) {
        problem.grad_log_decay[(first + i) * problem.grad_log_decay_stride] =
            static_cast<float>(grad_gate[i]);
    }
}

/// One chunk of the backward walk: `kept` holds the state before it and its E.
void sweep_chunk(const DeltaHeadBackward& problem, std::int64_t first, const float* kept,
                 BackwardScratch& scratch) {
    const DeltaHeadInputs& in = problem.in;
    ChunkTerms& chunk = scratch.chunk;
    const std::int64_t left = in.num_tokens - first;
    const std::int64_t n = left < kChunk ? left : kChunk;
    const std::int64_t state_floats = chunk.kp * chunk.vp;
    load_keys(in, first, chunk);
    copy_floats(kept + state_floats, chunk.rows * chunk.vp, chunk.e);
    scale_rows(chunk.rows, chunk.vp, chunk.e, chunk.beta, 1.0F, chunk.u);
    load_rows(in.q + first * in.q_stride, in.q_stride, n, in.key_width, chunk.rows, scratch.q,
              chunk.kp);
    load_rows(problem.grad_o + first * problem.grad_o_stride, problem.grad_o_stride, n,
              in.value_width, chunk.rows, scratch.grad_o, chunk.vp);
    lower_products(chunk.rows, in.key_width, scratch.q, chunk.kp, chunk.k_transposed,
                   scratch.scores);
    apply_decays(chunk, in.scale, Diagonal::kInside, scratch.scores);

    compute_value_gradients(scratch);
    transpose(chunk.rows, chunk.vp, chunk.u, chunk.vp, scratch.u_transposed, kChunk);
    lower_products(chunk.rows, in.value_width, scratch.grad_o, chunk.vp, scratch.u_transposed,
                   scratch.p);
    lower_products(chunk.rows, in.value_width, scratch.grad_v, chunk.vp, scratch.u_transposed,
                   scratch.y);
    const bool gated = in.log_decay != nullptr;
    double grad_gate[kChunk];
    finish_pairs(scratch, in.scale, gated, grad_gate);
    compute_key_gradients(in.scale, kept, scratch);
    if (gated) {
        const double carried = static_cast<double>(chunk.whole) *
                               inner_product(state_floats, kept, scratch.state_gradient);
        finish_gate_gradient(scratch, carried, grad_gate);
    }
    carry_state_gradient(in.scale, scratch);
    store_gradients(problem, first, n, grad_gate, scratch);
}

void run(const DeltaHeadBackward& problem, float* memory) {
    const DeltaHeadInputs& in = problem.in;
    ScratchArena arena(memory);
    BackwardScratch scratch(in.num_tokens, in.key_width, in.value_width, arena);
    ChunkTerms& chunk = scratch.chunk;
    const HistoryPlan& plan = scratch.plan;
    const std::int64_t state_floats = chunk.kp * chunk.vp;
    set_no_decay(chunk);
    load_state(chunk, in.initial_state, in.initial_state_stride, scratch.state);
    for (std::int64_t segment = 0; segment < plan.num_segments; ++segment) {
        copy_floats(scratch.state, state_floats, scratch.checkpoints + segment * state_floats);
        if (segment + 1 < plan.num_segments) {
            walk_segment(in, segment, false, scratch);
        }
    }
    load_state(chunk, problem.grad_final_state, problem.grad_final_state_stride,
               scratch.state_gradient);
    for (std::int64_t segment = plan.num_segments - 1; segment >= 0; --segment) {
        copy_floats(scratch.checkpoints + segment * state_floats, state_floats, scratch.state);
        walk_segment(in, segment, true, scratch);
        const std::int64_t begin = segment * plan.segment_chunks;
        const std::int64_t limit = begin + plan.segment_chunks;
        const std::int64_t end = limit < plan.num_chunks ? limit : plan.num_chunks;
        for (std::int64_t c = end - 1; c >= begin; --c) {
            sweep_chunk(problem, c * kChunk, scratch.history + (c - begin) * plan.chunk_floats,
                        scratch);
        }
    }
    if (problem.grad_initial_state != nullptr) {
        store_rows(scratch.state_gradient, chunk.vp, in.key_width, in.value_width,
                   problem.grad_initial_state, problem.grad_initial_state_stride);
    }
}

}  // namespace

extern const DeltaBackwardKernel kDeltaBackward;
const DeltaBackwardKernel kDeltaBackward = {scratch_floats, run};

}  // namespace fla::FLA_ISA
