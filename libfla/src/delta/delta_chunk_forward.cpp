#include "delta/delta_chunk_terms.h"

namespace fla::FLA_ISA {
namespace {

struct ForwardScratch {
    ChunkTerms chunk;
    float* q;       // [C, kp]
    float* scores;  // [C, C]
    float* o;       // [C, vp]
    float* state;   // [kp, vp]

    ForwardScratch(std::int64_t keys, std::int64_t values, ScratchArena& arena)
        : chunk(keys, values, arena),
          q(arena.take(kChunk * chunk.kp)),
          scores(arena.take(kChunk * kChunk)),
          o(arena.take(kChunk * chunk.vp)),
          state(arena.take(chunk.kp * chunk.vp)) {}
};

std::int64_t scratch_floats(std::int64_t /*num_tokens*/, std::int64_t key_width,
                            std::int64_t value_width) {
    ScratchArena arena(nullptr);
    const ForwardScratch scratch(key_width, value_width, arena);
    return arena.used();
}

/// Writes the outputs of the chunk whose U and state-before are known.
void write_outputs(const DeltaHeadForward& problem, std::int64_t first, ForwardScratch& scratch) {
    const DeltaHeadInputs& in = problem.in;
    ChunkTerms& chunk = scratch.chunk;
    const std::int64_t left = in.num_tokens - first;
    const std::int64_t n = left < kChunk ? left : kChunk;
    load_rows(in.q + first * in.q_stride, in.q_stride, n, in.key_width, chunk.rows, scratch.q,
              chunk.kp);
    lower_products(chunk.rows, in.key_width, scratch.q, chunk.kp, chunk.k_transposed,
                   scratch.scores);
    apply_decays(chunk, in.scale, Diagonal::kInside, scratch.scores);
    scale_rows(chunk.rows, chunk.kp, scratch.q, chunk.prefix, in.scale, chunk.scaled);
    multiply(chunk.rows, chunk.vp, in.key_width, {chunk.scaled, chunk.kp, 1}, scratch.state,
             chunk.vp, scratch.o, chunk.vp);
    add_lower_times(chunk.rows, chunk.vp, scratch.scores, chunk.u, scratch.o);
    store_rows(scratch.o, chunk.vp, n, in.value_width, problem.o + first * problem.o_stride,
               problem.o_stride);
}

void run(const DeltaHeadForward& problem, float* memory) {
    const DeltaHeadInputs& in = problem.in;
    ScratchArena arena(memory);
    ForwardScratch scratch(in.key_width, in.value_width, arena);
    ChunkTerms& chunk = scratch.chunk;
    load_state(chunk, in.initial_state, in.initial_state_stride, scratch.state);
    set_no_decay(chunk);
    for (std::int64_t first = 0; first < in.num_tokens; first += kChunk) {
        load_keys(in, first, chunk);
        solve_errors(in, first, scratch.state, chunk);
        write_outputs(problem, first, scratch);
        advance_state(chunk, scratch.state);
    }
    if (problem.final_state != nullptr) {
        store_rows(scratch.state, chunk.vp, in.key_width, in.value_width, problem.final_state,
                   problem.final_state_stride);
    }
}

}  // namespace

extern const DeltaForwardKernel kDeltaForward;
const DeltaForwardKernel kDeltaForward = {scratch_floats, run};

}  // namespace fla::FLA_ISA
