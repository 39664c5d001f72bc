#include "gated/gated_products.h"

namespace fla::FLA_ISA {
namespace {

struct ForwardBuffers {
    Chunk chunk;
    float* o;      // [16, vp]
    float* state;  // [K, vp]
};

template <Decay kDecay>
ForwardBuffers make_buffers(const GatedTask& task, Scratch& scratch) {
    ForwardBuffers b{};
    b.chunk = make_chunk<kDecay>(task, scratch);
    b.o = scratch.take(kChunk * b.chunk.vp);
    b.state = scratch.take(b.chunk.keys * b.chunk.vp);
    return b;
}

template <Decay kDecay>
std::int64_t count_floats(const GatedTask& task) {
    Scratch scratch(nullptr);
    make_buffers<kDecay>(task, scratch);
    return scratch.used();
}

template <Decay kDecay>
std::int64_t run(const GatedTask& task) {
    Scratch scratch(task.scratch);
    const ForwardBuffers b = make_buffers<kDecay>(task, scratch);
    const Chunk& c = b.chunk;
    load_state(task.initial_state, c, b.state);
    for (std::int64_t first = 0; first < task.tokens; first += kChunk) {
        const std::int64_t count = tokens_in_chunk(task.tokens, first);
        prefetch_rows<true>(task.o, task.values, first, task.tokens);
        prefetch_keys<kDecay>(task, first + kChunk);
        prefetch_rows(task.q, task.keys, first + kChunk, task.tokens);
        if (!load_keys<kDecay>(task, first, count, c)) {
            return first + find_bad_token<kDecay>(c, count);
        }
        load_queries<kDecay>(task, first, count, c);
        fill_scores<kDecay>(c);
        multiply(kChunk, c.vp, c.keys, LeftMatrix{c.q_in, c.kp, 1}, b.state, c.vp, b.o, c.vp);
        multiply_lower(c.scores, c.v, c.vp, b.o);
        store_rows(b.o, c.vp, count, c.values, task.o.data + first * task.o.stride, task.o.stride);
        advance_state<kDecay>(c, c.k_out, c.v, b.state, b.state);
    }
    store_state(b.state, c, task.final_state);
    return kNoBadToken;
}

}  // namespace

std::int64_t gated_forward_scratch_floats(const GatedTask& task) {
    return FLA_BY_DECAY(task, count_floats, task);
}

std::int64_t run_gated_forward(const GatedTask& task) {
    const FlushDenormals flush;
    return FLA_BY_DECAY(task, run, task);
}

}  // namespace fla::FLA_ISA
