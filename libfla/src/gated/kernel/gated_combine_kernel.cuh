#pragma once

#include "gated/kernel/gated_params.h"

namespace fla::gated {

inline constexpr int kCombineThreads = 128;

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
    const int count = p.map.segments_per_sequence;
    const std::int64_t begin = std::int64_t{sequence} * count;
    // Of the i-th segment in the order of the walk.
    const auto slot_of = [&](int i) {
        return (begin + (p.backwards ? count - 1 - i : i)) * p.heads + head;
    };

    float state = 0.0F;
    if (p.initial_states.data != nullptr) {
        state =
            p.initial_states.factor * device::load(p.initial_states.at(sequence, head, row, col));
    }
    constexpr int kBatch = 32;  // loads in flight
    for (int i0 = 0; i0 < count; i0 += kBatch) {
        float added[kBatch], log2_decay[kBatch];
        FLA_UNROLL
        for (int i = 0; i < kBatch; ++i) {
            const std::int64_t slot = slot_of(i0 + i < count ? i0 + i : count - 1);
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
            device::store(p.states + slot_of(i0 + i) * elements + element, state);
            state = state * device::exp2_approx(log2_decay[i]) + added[i];
        }
    }
    if (p.final_states.data != nullptr) {
        device::store(p.final_states.at(sequence, head, row, col), p.final_states.factor * state);
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
