#pragma once

#include "gated/kernel/gated_params.h"

namespace fla::gated {

inline constexpr int kCombineThreads = 128;

/// Segments of one sequence as a range of the segment arrays.
FLA_DEVICE void segment_range(const SegmentMap& map, int sequence, std::int64_t& begin,
                              std::int64_t& end) {
    if (map.cu_seqlens == nullptr) {
        begin = std::int64_t{sequence} * map.segments_per_sequence;
        end = begin + map.segments_per_sequence;
    } else {
        begin = map.first_segment[sequence];
        end = map.first_segment[sequence + 1];
    }
}

/// Turns what each segment adds into the state before it, in place, in the order of the walk: one
/// thread takes one element of one state through all segments. Fixed order, fp32.
FLA_KERNEL void FLA_LAUNCH_BOUNDS(kCombineThreads) gated_combine_kernel(CombineParams p) {
    const int elements = p.key_dim * p.value_dim;
    const int blocks_per_head = (elements + kCombineThreads - 1) / kCombineThreads;
    const int block = device::block_index().x;
    const int element = block % blocks_per_head * kCombineThreads + device::thread_index().x;
    const int head = block / blocks_per_head % p.heads;
    const int sequence = block / blocks_per_head / p.heads;
    if (element >= elements) {
        return;
    }
    const int row = element / p.value_dim, col = element % p.value_dim;
    std::int64_t begin = 0, end = 0;
    segment_range(p.map, sequence, begin, end);

    float state = 0.0F;
    if (p.initial_state != nullptr) {
        state = p.initial_factor *
                device::load(p.initial_state + sequence * p.initial_sequence_stride +
                             head * p.initial_head_stride + row * p.initial_row_stride + col);
    }
    constexpr int kBatch = 32;  // loads in flight
    const std::int64_t count = end - begin;
    for (std::int64_t i0 = 0; i0 < count; i0 += kBatch) {
        float added[kBatch], log2_decay[kBatch];
        FLA_UNROLL
        for (int i = 0; i < kBatch; ++i) {
            const std::int64_t j = i0 + i < count ? i0 + i : count - 1;
            const std::int64_t slot = (p.backwards ? end - 1 - j : begin + j) * p.heads + head;
            added[i] = device::load(p.states + slot * elements + element);
            log2_decay[i] =
                p.log_decays == nullptr
                    ? 0.0F
                    : device::load(p.log_decays + (p.per_channel ? slot * p.key_dim + row : slot));
        }
        FLA_UNROLL
        for (int i = 0; i < kBatch; ++i) {
            if (i0 + i >= count) {
                break;
            }
            const std::int64_t j = i0 + i;
            const std::int64_t slot = (p.backwards ? end - 1 - j : begin + j) * p.heads + head;
            device::store(p.states + slot * elements + element, state);
            state = state * device::exp2_approx(log2_decay[i]) + added[i];
        }
    }
    if (p.final_state != nullptr) {
        device::store(p.final_state + sequence * p.final_sequence_stride +
                          head * p.final_head_stride + row * p.final_row_stride + col,
                      p.final_factor * state);
    }
}

/// One warp sums one row of S * dS behind one segment (per head: all rows).
FLA_KERNEL void FLA_LAUNCH_BOUNDS(kCombineThreads) gated_boundary_kernel(BoundaryParams p) {
    const int rows = p.per_channel ? p.key_dim : 1;
    const int cols = p.per_channel ? p.value_dim : p.key_dim * p.value_dim;
    constexpr int kWarps = kCombineThreads / device::kWarpSize;
    const std::int64_t index = std::int64_t{device::block_index().x} * kWarps + device::warp_id();
    if (index >= std::int64_t{p.num_segments} * p.heads * rows) {
        return;
    }
    const float* const state = p.end_states + index * cols;
    const float* const grad = p.grad_states + index * cols;
    float sum = 0.0F;
    for (int col = device::lane_id(); col < cols; col += device::kWarpSize) {
        sum += device::load(state + col) * device::load(grad + col);
    }
    FLA_UNROLL
    for (int delta = 1; delta < device::kWarpSize; delta *= 2) {
        sum += device::shfl_xor(sum, delta);
    }
    if (device::lane_id() == 0) {
        device::store(p.boundary + index, p.scale * sum);
    }
}

}  // namespace fla::gated
