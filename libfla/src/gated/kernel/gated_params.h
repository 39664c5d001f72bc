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
    std::int64_t tokens;  ///< Of each sequence.
    int segments_per_sequence;
    int segment_tokens;  ///< A multiple of kChunkTokens.
    int num_segments;    ///< Of all sequences.
    bool reverse;        ///< Position 0 is the last token of the sequence.
};

/// One segment: the token of position p is origin + p * step.
struct Segment {
    std::int64_t batch;
    std::int64_t origin, step;
    std::int64_t position;  ///< First one of the segment.
    int count;              ///< Positions in it, at least 1.

    FLA_DEVICE int chunks() const { return (count + kChunkTokens - 1) / kChunkTokens; }
};

FLA_DEVICE Segment segment_at(const SegmentMap& map, int index) {
    Segment s;
    s.batch = index / map.segments_per_sequence;
    s.position = std::int64_t{index % map.segments_per_sequence} * map.segment_tokens;
    const std::int64_t left = map.tokens - s.position;
    s.count = left < map.segment_tokens ? int(left) : map.segment_tokens;
    s.origin = map.reverse ? map.tokens - 1 : 0;
    s.step = map.reverse ? -1 : 1;
    return s;
}

/// A piece of work: one segment of one head. Neighbouring items are heads of one segment.
struct WorkItem {
    int head;
    std::int64_t slot;  ///< In arrays [segments, H, ...].
    Segment segment;
};

FLA_DEVICE WorkItem work_item(const SegmentMap& map, int heads, int index) {
    return {index % heads, index, segment_at(map, index / heads)};
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

/// States at the ends of sequences, [sequences, H, K, V] with dense rows, times `factor`; null is
/// "absent".
struct SequenceStates {
    float* data;
    std::int64_t sequence_stride, head_stride, row_stride;
    float factor;

    FLA_DEVICE float* at(std::int64_t sequence, int head, int row, int col) const {
        return data + sequence * sequence_stride + head * head_stride + row * row_stride + col;
    }
};

struct CombineParams {
    SegmentMap map;
    int heads, key_dim, value_dim;
    bool backwards;
    bool per_channel;
    float* states;                  ///< in: X_p; out: state before the segment
    const float* log_decays;        ///< as in StateParams; null: no decay
    SequenceStates initial_states;  ///< Read; absent: zeros.
    SequenceStates final_states;    ///< Written, if present.
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
