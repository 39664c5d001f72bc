#pragma once

#include <cstdint>

#include "device/device_layer.h"

/// What the kernels of the gated family are handed. Plain data, the same on host and device.
namespace fla::gated {

/// Tokens that one step of a kernel works on together.
inline constexpr int kChunkTokens = 64;

/// Log-decays are raised to this value: its exponential is 0 in fp32, and -inf cannot make NaNs.
inline constexpr float kLowestLogDecay = -105.0F;

FLA_DEVICE float raised(float log_decay) {
    return log_decay > kLowestLogDecay ? log_decay : kLowestLogDecay;
}

inline constexpr float kLog2E = 1.4426950408889634F;

/// Element types of operands. Sums, states and their gradients are always fp32.
enum class Element : int { kBf16, kFp16, kFp32 };

FLA_DEVICE float load_element(const void* data, Element type, std::int64_t i) {
    switch (type) {
        case Element::kBf16:
            return device::to_float(device::load(static_cast<const device::Bf16*>(data) + i));
        case Element::kFp16:
            return device::to_float(device::load(static_cast<const device::Half*>(data) + i));
        default:
            return device::load(static_cast<const float*>(data) + i);
    }
}

FLA_DEVICE void store_element(void* data, Element type, std::int64_t i, float x) {
    switch (type) {
        case Element::kBf16:
            device::store(static_cast<device::Bf16*>(data) + i,
                          device::from_float<device::Bf16>(x));
            break;
        case Element::kFp16:
            device::store(static_cast<device::Half*>(data) + i,
                          device::from_float<device::Half>(x));
            break;
        default:
            device::store(static_cast<float*>(data) + i, x);
    }
}

/// One operand [B, T, heads, D] (or [B, T, heads]) whose rows (last dimension) are dense. Head h of
/// the scan uses head h / heads_per_row of the operand. Strides count elements; null is "absent".
struct TokenRows {
    void* data;
    std::int64_t batch_stride, token_stride, head_stride;
    int heads_per_row;
    Element type;

    FLA_DEVICE std::int64_t at(std::int64_t batch, std::int64_t token, int head) const {
        return batch * batch_stride + token * token_stride + (head / heads_per_row) * head_stride;
    }
    template <class T>
    FLA_DEVICE const T* row(std::int64_t batch, std::int64_t token, int head) const {
        return static_cast<const T*>(data) + at(batch, token, head);
    }
    FLA_DEVICE float load(std::int64_t element) const { return load_element(data, type, element); }
    FLA_DEVICE void store(std::int64_t element, float x) const {
        store_element(data, type, element, x);
    }
};

/// How tokens are cut into segments. Position p of a sequence is its p-th token in the direction of
/// the operator; a segment is a run of `segment_tokens` positions (the last one may be shorter).
/// Segments of one sequence are neighbours in every array that is indexed by segment.
struct SegmentMap {
    std::int64_t tokens;                ///< Of each sequence, if they are not packed.
    int sequences;                      ///< B, or N if packed.
    int segments_per_sequence;          ///< If not packed.
    int segment_tokens;                 ///< A multiple of kChunkTokens.
    int num_segments;                   ///< Grid bound: with packed sequences some may be unused.
    bool reverse;                       ///< Position 0 is the last token of the sequence.
    const std::int64_t* cu_seqlens;     ///< [N + 1] on the device, or null.
    const std::int64_t* first_segment;  ///< [N + 1], packed only: first segment of each sequence.
    const int* sequence_of_segment;     ///< [num_segments], packed only; -1 if unused.
};

/// One segment: the token of position p is origin + p * step.
struct Segment {
    std::int64_t batch;  ///< Index of the batch dimension: 0 if packed.
    std::int64_t origin, step;
    std::int64_t position;  ///< First one of the segment.
    int count;              ///< Positions in it; 0 if there is nothing to do.
    int sequence;
};

FLA_DEVICE Segment segment_at(const SegmentMap& map, int index) {
    Segment s;
    std::int64_t begin = 0, tokens = map.tokens;
    std::int64_t in_sequence;
    if (map.cu_seqlens == nullptr) {
        s.sequence = index / map.segments_per_sequence;
        s.batch = s.sequence;
        in_sequence = index % map.segments_per_sequence;
    } else {
        s.sequence = map.sequence_of_segment[index];
        s.batch = 0;
        if (s.sequence < 0) {
            s.count = 0;
            return s;
        }
        begin = map.cu_seqlens[s.sequence];
        tokens = map.cu_seqlens[s.sequence + 1] - begin;
        in_sequence = index - map.first_segment[s.sequence];
    }
    s.position = in_sequence * map.segment_tokens;
    const std::int64_t left = tokens - s.position;
    s.count = left < map.segment_tokens ? int(left) : map.segment_tokens;
    s.origin = map.reverse ? begin + tokens - 1 : begin;
    s.step = map.reverse ? -1 : 1;
    return s;
}

/// Chunk `index` of a segment as rows of a tile. A walk back reverses the rows, so that a row and
/// its mirror image are the same token in both walks: runs and anchors then lie at the same tokens.
/// Rows outside of [begin, end) are padding.
struct Chunk {
    std::int64_t first_token;  ///< Of row `begin`.
    std::int64_t step;
    int begin, end;

    FLA_DEVICE bool holds(int row) const { return row >= begin && row < end; }
    FLA_DEVICE std::int64_t token(int row) const { return first_token + (row - begin) * step; }
};

FLA_DEVICE Chunk chunk_at(const Segment& segment, int index, bool backwards) {
    const int left = segment.count - index * kChunkTokens;
    const int rows = left < kChunkTokens ? left : kChunkTokens;
    const std::int64_t position =
        segment.position + index * kChunkTokens + (backwards ? rows - 1 : 0);
    Chunk chunk;
    chunk.first_token = segment.origin + position * segment.step;
    chunk.step = backwards ? -segment.step : segment.step;
    chunk.begin = backwards ? kChunkTokens - rows : 0;
    chunk.end = backwards ? kChunkTokens : rows;
    return chunk;
}

/// Which tokens' log-decays lie between a writer and a later reader: those of the tokens after the
/// writer, the reader's own included (the operator), or the adjoint's, which walks back: those of
/// the tokens from the writer's own on, without the reader's.
enum class DecaySpan : int { kAfterWriter, kFromWriter };

/// The arguments that the passes share. "Visited" order is that of the positions, or its opposite
/// where `backwards` is set.
struct ScanParams {
    SegmentMap map;
    int heads;
    int key_dim, value_dim;  ///< K and V of the tensors; the tiles may be wider.
    bool backwards;
    DecaySpan span;
    TokenRows key;    ///< Written to the state: [.., K].
    TokenRows value;  ///< Written to the state: [.., V].
    TokenRows gate;   ///< Log-decays: [.., K] or one a head; absent: no decay.
    bool per_channel;

    FLA_DEVICE bool has_decay() const { return gate.data != nullptr; }
};

/// Arguments of the segment states: X_p = what the segment adds to the state, and the sum of its
/// log-decays.
struct StateParams {
    ScanParams scan;
    float* states;      ///< [segments, H, K, V]
    float* log_decays;  ///< [segments, H, K] per channel, [segments, H] per head; null if none.
};

/// Which side of the state a sweep reads.
///
///     kByKey:    out_i = e^{D_ij} (reader_i . key_j) value_j summed over j, reader [K], out [V]
///     kByValue:  out_i = (reader_i . value_j) e^{D_ij} key_j,               reader [V], out [K]
///
/// With D_ij the log-decays between writer j and reader i (DecaySpan), j visited before i or j = i.
/// One kernel makes all outputs of the family (kernels: "reader; key, value; walk"):
///
///     o   kByKey    q;   k, v    forward    kAfterWriter
///     dq  kByValue  dO;  k, v    forward    kAfterWriter
///     dk  kByValue  v;   q, dO   backward   kFromWriter
///     dv  kByKey    k;   q, dO   backward   kFromWriter
enum class ReadSide { kByKey, kByValue };

/// What a sweep does beside its output for the gradient of the log-decays,
///
///     dg_t = sum over u >= t of (q_u . dq'_u - k_u . dk'_u),
///
/// where dq' and dk' leave out what a token gives to itself. That part cancels exactly; with it,
/// strong decays would leave rounding errors only. The sums are closed at the end of each chunk.
enum class GateGradient : int {
    kNone,
    kQuery,  ///< Sweep of dq: sums of q dq' of the earlier tokens of the chunk, into grad_gate, and
             ///< of the whole chunk, into chunk_totals.
    kKey,    ///< Sweep of dk: makes the gradient of these, of the sums of k dk' and of what lies
             ///< behind the segment.
};

struct SweepParams {
    ScanParams scan;
    TokenRows reader;     ///< [.., K] or [.., V]
    TokenRows out;        ///< [.., V] or [.., K]
    float scale;          ///< Of the output.
    const float* states;  ///< [segments, H, K, V]: before the first visited token of each segment.

    /// State behind each segment, as this sweep adds it up; may be `states`. Null: not wanted.
    float* end_states;
    bool splits_state;  ///< Read the state as bf16 and a rest: for long sums and for the gradient
                        ///< of the log-decays, whose terms must cancel.

    GateGradient gate_gradient;
    TokenRows partner;      ///< q (kQuery) or k (kKey): [.., K]
    TokenRows grad_gate;    ///< like scan.gate
    float* chunk_totals;    ///< [segments, chunks of a segment, H, K] (per head: without K)
    const float* boundary;  ///< [segments, H, K] (per head: without K): S * dS at its end.
};

struct CombineParams {
    SegmentMap map;
    int heads, key_dim, value_dim;
    bool backwards;
    bool per_channel;
    float* states;               ///< in: X_p; out: state before the segment
    const float* log_decays;     ///< as in StateParams; null: no decay
    const float* initial_state;  ///< [sequences, H, K, V] with strides; null: zeros
    std::int64_t initial_sequence_stride, initial_head_stride, initial_row_stride;
    float initial_factor;  ///< On the initial state.
    float* final_state;    ///< as initial_state; null: not wanted
    std::int64_t final_sequence_stride, final_head_stride, final_row_stride;
    float final_factor;
};

/// B = rowsum(S * dS) at the end of each segment.
struct BoundaryParams {
    int num_segments, heads, key_dim, value_dim;
    bool per_channel;
    float scale;
    const float* end_states;   ///< [segments, H, K, V]
    const float* grad_states;  ///< [segments, H, K, V]: gradient of the state behind each segment
    float* boundary;
};

}  // namespace fla::gated
