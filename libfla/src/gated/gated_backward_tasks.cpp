#include "gated/gated_products.h"

namespace fla::FLA_ISA {
namespace {

/// Chunks whose states are held at once; the state ahead of every such segment is kept.
constexpr std::int64_t kSegmentChunks = 16;
constexpr std::int64_t kSegment = kSegmentChunks * kChunk;

/// Below this log-decay the factor is 0 in fp32, and so is its derivative.
constexpr float kLowestLogDecay = -105.0F;

struct BackwardBuffers {
    Chunk chunk;
    float* grad_o;          // [16, vp]
    float* grad_o_t;        // [vp, 16]
    float* v_t;             // [vp, 16]
    float* grad_scores;     // [16, 16] without decay, 0 above the diagonal
    float* grad_rows_t;     // [kp, 16]
    float* grad_q;          // [16, kp]
    float* grad_k;          // [16, kp]
    float* grad_v;          // [16, vp]
    float* grad_decay;      // [16, dw]
    float* through;         // [kp] <state ahead, gradient of the state behind> of each channel
    float* grad_state;      // [K, vp] gradient of the state behind the chunk
    float* chunk_states;    // [kSegmentChunks, K, vp]
    float* segment_states;  // [number of segments, K, vp]
};

std::int64_t count_segments(std::int64_t tokens) { return (tokens + kSegment - 1) / kSegment; }

template <Decay kDecay>
BackwardBuffers make_buffers(const GatedTask& task, Scratch& scratch) {
    BackwardBuffers b{};
    b.chunk = make_chunk<kDecay>(task, scratch);
    const Chunk& c = b.chunk;
    b.grad_o = scratch.take(kChunk * c.vp);
    b.grad_o_t = scratch.take(kChunk * c.vp);
    b.v_t = scratch.take(kChunk * c.vp);
    b.grad_scores = scratch.take(kChunk * kChunk);
    b.grad_rows_t = scratch.take(kChunk * c.kp);
    b.grad_q = scratch.take(kChunk * c.kp);
    b.grad_k = scratch.take(kChunk * c.kp);
    b.grad_v = scratch.take(kChunk * c.vp);
    b.grad_decay = scratch.take(kChunk * c.dw);
    b.through = scratch.take(c.kp);
    b.grad_state = scratch.take(c.keys * c.vp);
    b.chunk_states = scratch.take(kSegmentChunks * c.keys * c.vp);
    b.segment_states = scratch.take(count_segments(task.tokens) * c.keys * c.vp);
    return b;
}

template <Decay kDecay>
std::int64_t count_floats(const GatedTask& task) {
    Scratch scratch(nullptr);
    make_buffers<kDecay>(task, scratch);
    return scratch.used();
}

void copy_state(const Chunk& c, const float* from, float* to) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(c.keys * c.vp) * sizeof(float));
}

/// Fills segment_states; returns kNoBadToken or the first token with an illegal log_decay.
template <Decay kDecay>
std::int64_t fill_segment_states(const GatedTask& task, const BackwardBuffers& b) {
    const Chunk& c = b.chunk;
    float* state = b.chunk_states;
    load_state(task.initial_state, c, state);
    for (std::int64_t first = 0; first < task.tokens; first += kChunk) {
        if (first % kSegment == 0) {
            copy_state(c, state, b.segment_states + first / kSegment * c.keys * c.vp);
        }
        const std::int64_t count = tokens_in_chunk(task.tokens, first);
        prefetch_keys<kDecay>(task, first + kChunk);
        if (!load_keys<kDecay>(task, first, count, c)) {
            return first + find_bad_token<kDecay>(c, count);
        }
        advance_state<kDecay>(c, c.k_out, c.v, state, state);
    }
    return kNoBadToken;
}

/// Fills chunk_states with the state ahead of each chunk of a segment.
template <Decay kDecay>
void fill_chunk_states(const GatedTask& task, std::int64_t segment, const BackwardBuffers& b) {
    const Chunk& c = b.chunk;
    const std::int64_t size = c.keys * c.vp;
    copy_state(c, b.segment_states + segment * size, b.chunk_states);
    float* state = b.chunk_states;
    std::int64_t first = segment * kSegment;
    for (std::int64_t i = 1; i < kSegmentChunks && first + kChunk < task.tokens; ++i) {
        prefetch_keys<kDecay>(task, first + kChunk);
        load_keys<kDecay>(task, first, kChunk, c);
        advance_state<kDecay>(c, c.k_out, c.v, state, state + size);
        state += size;
        first += kChunk;
    }
}

/// through[x] = sum over y of state[x, y] * grad_state[x, y].
void fill_through(const BackwardBuffers& b, const float* state) {
    const Chunk& c = b.chunk;
    float rows[kChunk * kLanes];
    for (std::int64_t x0 = 0; x0 < c.kp; x0 += kChunk) {
        for (std::int64_t x = x0; x < x0 + kChunk; ++x) {
            Floats sum = {};
            for (std::int64_t y = 0; x < c.keys && y < c.vp; y += kLanes) {
                sum += load(state + x * c.vp + y) * load(b.grad_state + x * c.vp + y);
            }
            store(rows + (x - x0) * kLanes, sum);
        }
        sum_rows(rows, b.through + x0);
    }
}

/// out[i] = left_i . right_i of two [16, kp] matrices.
void dot_rows(const Chunk& c, const float* left, const float* right, float* out) {
    float rows[kChunk * kLanes];
    for (std::int64_t i = 0; i < kChunk; ++i) {
        Floats sum = {};
        for (std::int64_t x = 0; x < c.kp; x += kLanes) {
            sum += load(left + i * c.kp + x) * load(right + i * c.kp + x);
        }
        store(rows + i * kLanes, sum);
    }
    sum_rows(rows, out);
}

// The gradient of a log-decay g_t collects every pair (write at j, read at i) with j < t <= i. Each
// sum below holds only such pairs, so a closed gate gives a gradient of its own small size: the
// textbook form, sum over u >= t of (q dq - k dk), would leave the rounding of the open pairs
// there.

/// Gradient of per-head decays from grad_q and grad_k while these hold the part of the state alone.
void fill_head_grad_decay(const BackwardBuffers& b, const float* state) {
    const Chunk& c = b.chunk;
    float reads[kChunk];   // Pairs (state ahead, i).
    float writes[kChunk];  // Pairs (j, state behind).
    dot_rows(c, c.q, b.grad_q, reads);
    dot_rows(c, c.k, b.grad_k, writes);
    fill_through(b, state);
    float through = 0.0F;
    for (std::int64_t x = 0; x < c.keys; ++x) {
        through += b.through[x];
    }
    through *= c.prefix[kChunk - 1];
    for (std::int64_t t = 0; t < kChunk; ++t) {
        b.grad_decay[t] = through;
        through += writes[t];
    }
    float later_reads = 0.0F;
    for (std::int64_t t = kChunk - 1; t >= 0; --t) {
        later_reads += reads[t];
        b.grad_decay[t] += later_reads;
    }
    for (std::int64_t i = 1; i < kChunk; ++i) {
        float earlier_writes = 0.0F;
        for (std::int64_t t = 1; t <= i; ++t) {
            const std::int64_t pair = i * kChunk + t - 1;
            earlier_writes += b.grad_scores[pair] * c.scores[pair];
            b.grad_decay[t] += earlier_writes;
        }
    }
}

/// Adds the pairs inside the chunk to grad_q and grad_k, and fills the gradient of the decays, for
/// kLanes channels from x on. grad_q and grad_k hold the part of the state on entry.
void finish_channels(const BackwardBuffers& b, std::int64_t x) {
    const Chunk& c = b.chunk;
    Floats q[kChunk];
    Floats k[kChunk];
    Floats step[kChunk];
    Floats grad_q[kChunk];
    Floats grad_decay[kChunk];
    Floats later_reads = {};
    for (std::int64_t t = kChunk - 1; t >= 0; --t) {
        q[t] = load(c.q + t * c.kp + x);
        k[t] = load(c.k + t * c.kp + x);
        step[t] = load(c.step + t * c.kp + x);
        grad_q[t] = load(b.grad_q + t * c.kp + x);
        later_reads += q[t] * grad_q[t];
        grad_decay[t] = later_reads;
    }
    Floats earlier_writes = load(b.through + x) * load(c.prefix + (kChunk - 1) * c.kp + x);
    for (std::int64_t j = 0; j < kChunk; ++j) {
        const Floats grad_k = load(b.grad_k + j * c.kp + x);
        grad_decay[j] += earlier_writes;
        earlier_writes += k[j] * grad_k;
        Floats keys[kChunk];  // k_j as token i sees it.
        keys[j] = k[j];
        grad_q[j] += keys[j] * b.grad_scores[j * kChunk + j];
        for (std::int64_t i = j + 1; i < kChunk; ++i) {
            keys[i] = keys[i - 1] * step[i];
            grad_q[i] += keys[i] * b.grad_scores[i * kChunk + j];
        }
        Floats reads = {};  // Reads at i and later, as token i sees them.
        for (std::int64_t i = kChunk - 1; i > j; --i) {
            reads += q[i] * b.grad_scores[i * kChunk + j];
            grad_decay[i] += keys[i] * reads;
            reads *= step[i];
        }
        store(b.grad_k + j * c.kp + x, grad_k + reads + q[j] * b.grad_scores[j * kChunk + j]);
    }
    for (std::int64_t t = 0; t < kChunk; ++t) {
        store(b.grad_q + t * c.kp + x, grad_q[t]);
        store(b.grad_decay + t * c.kp + x, grad_decay[t]);
    }
}

/// out[16, kp] = (state right)^T for right [vp, 16].
void read_state_transposed(const BackwardBuffers& b, const float* state, const float* right,
                           float* out) {
    const Chunk& c = b.chunk;
    multiply(c.keys, kChunk, c.values, LeftMatrix{state, c.vp, 1}, right, kChunk, b.grad_rows_t,
             kChunk);
    transpose(c.kp, kChunk, b.grad_rows_t, kChunk, out, c.kp);
}

/// Fills grad_q, grad_k, grad_v and grad_decay from the loaded chunk, the state ahead of it and the
/// gradient of the state behind it.
template <Decay kDecay>
void fill_gradients(const BackwardBuffers& b, const float* state) {
    const Chunk& c = b.chunk;
    fill_scores<kDecay>(c);
    transpose(kChunk, c.vp, c.v, c.vp, b.v_t, kChunk);
    transpose(kChunk, c.vp, b.grad_o, c.vp, b.grad_o_t, kChunk);
    multiply(kChunk, kChunk, c.values, LeftMatrix{b.grad_o, c.vp, 1}, b.v_t, kChunk, b.grad_scores,
             kChunk);
    mask_upper(b.grad_scores);
    multiply(kChunk, c.vp, c.keys, LeftMatrix{c.k_out, c.kp, 1}, b.grad_state, c.vp, b.grad_v,
             c.vp);
    multiply_lower_transposed(c.scores, b.grad_o, c.vp, b.grad_v);
    read_state_transposed(b, state, b.grad_o_t, b.grad_q);
    read_state_transposed(b, b.grad_state, b.v_t, b.grad_k);
    if constexpr (kDecay != Decay::kNone) {
        apply_decay<kDecay>(c, b.grad_q, c.prefix, b.grad_q);
        apply_decay<kDecay>(c, b.grad_k, c.suffix, b.grad_k);
    }
    if constexpr (kDecay == Decay::kChannel) {
        fill_through(b, state);
        for (std::int64_t x = 0; x < c.kp; x += kLanes) {
            finish_channels(b, x);
        }
    } else {
        if constexpr (kDecay == Decay::kHead) {
            fill_head_grad_decay(b, state);
            multiply_row(b.grad_scores, c.gamma, kChunk * kChunk, b.grad_scores);
        }
        multiply_lower(b.grad_scores, c.k, c.kp, b.grad_q);
        multiply_lower_transposed(b.grad_scores, c.q, c.kp, b.grad_k);
    }
}

template <Decay kDecay>
void store_gradients(const GatedTask& task, std::int64_t first, std::int64_t count,
                     const BackwardBuffers& b) {
    const Chunk& c = b.chunk;
    scale_row(b.grad_q, kChunk * c.kp, task.scale);
    store_rows(b.grad_q, c.kp, count, c.keys, task.grad_q.data + first * task.grad_q.stride,
               task.grad_q.stride);
    store_rows(b.grad_k, c.kp, count, c.keys, task.grad_k.data + first * task.grad_k.stride,
               task.grad_k.stride);
    store_rows(b.grad_v, c.vp, count, c.values, task.grad_v.data + first * task.grad_v.stride,
               task.grad_v.stride);
    if constexpr (kDecay != Decay::kNone) {
        for (std::int64_t x = 0; x < count * c.dw; ++x) {
            b.grad_decay[x] = c.log_decay[x] < kLowestLogDecay ? 0.0F : b.grad_decay[x];
        }
        store_rows(b.grad_decay, c.dw, count, kDecay == Decay::kChannel ? c.keys : 1,
                   task.grad_log_decay.data + first * task.grad_log_decay.stride,
                   task.grad_log_decay.stride);
    }
}

template <Decay kDecay>
std::int64_t run(const GatedTask& task) {
    Scratch scratch(task.scratch);
    const BackwardBuffers b = make_buffers<kDecay>(task, scratch);
    const Chunk& c = b.chunk;
    const std::int64_t bad_token = fill_segment_states<kDecay>(task, b);
    if (bad_token != kNoBadToken) {
        return bad_token;
    }
    load_state(task.grad_final_state, c, b.grad_state);
    for (std::int64_t x = 0; x < kChunk * c.kp; ++x) {
        b.grad_rows_t[x] = 0.0F;  // Rows K .. kp-1 stay so.
    }
    for (std::int64_t segment = count_segments(task.tokens) - 1; segment >= 0; --segment) {
        fill_chunk_states<kDecay>(task, segment, b);
        const std::int64_t begin = segment * kSegment;
        const std::int64_t end = task.tokens - begin < kSegment ? task.tokens : begin + kSegment;
        for (std::int64_t i = (end - begin - 1) / kChunk; i >= 0; --i) {
            const std::int64_t first = begin + i * kChunk;
            const std::int64_t count = tokens_in_chunk(task.tokens, first);
            prefetch_rows(task.q, task.keys, first - kChunk, task.tokens);
            prefetch_rows(task.grad_o, task.values, first - kChunk, task.tokens);
            prefetch_rows<true>(task.grad_q, task.keys, first, task.tokens);
            prefetch_rows<true>(task.grad_k, task.keys, first, task.tokens);
            prefetch_rows<true>(task.grad_v, task.values, first, task.tokens);
            if constexpr (kDecay == Decay::kChannel) {
                prefetch_rows<true>(task.grad_log_decay, task.keys, first, task.tokens);
            }
            load_keys<kDecay>(task, first, count, c);
            load_queries<kDecay>(task, first, count, c);
            load_rows(task.grad_o.data + first * task.grad_o.stride, task.grad_o.stride, count,
                      c.values, kChunk, b.grad_o, c.vp);
            fill_gradients<kDecay>(b, b.chunk_states + i * c.keys * c.vp);
            store_gradients<kDecay>(task, first, count, b);
            advance_state<kDecay>(c, c.q_in, b.grad_o, b.grad_state, b.grad_state);
        }
    }
    store_state(b.grad_state, c, task.grad_initial_state);
    return kNoBadToken;
}

}  // namespace

std::int64_t gated_backward_scratch_floats(const GatedTask& task) {
    return FLA_BY_DECAY(task, count_floats, task);
}

std::int64_t run_gated_backward(const GatedTask& task) {
    const FlushDenormals flush;
    return FLA_BY_DECAY(task, run, task);
}

}  // namespace fla::FLA_ISA
