#pragma once

#include "gated/kernel/gated_state_kernel.cuh"
#include "gated/kernel/gated_sweep_kernel.cuh"
#include "gated/kernel/gated_tile_launch.h"

namespace fla::gated {

template <class Traits, class Launch>
void launch_state_kernel(Launch& launch, const StateParams& params) {
    launch(gated_state_kernel<Traits>,
           std::int64_t{params.scan.map.num_segments} * params.scan.heads, Traits::kThreads,
           sizeof(StateShared<Traits>), params);
}

template <class Traits, class Launch>
void launch_sweep_kernel(Launch& launch, const SweepParams& params) {
    launch(gated_sweep_kernel<Traits>,
           std::int64_t{params.scan.map.num_segments} * params.scan.heads, Traits::kThreads,
           params.splits_state ? sizeof(SplitSweepShared<Traits>) : sizeof(SweepShared<Traits>),
           params);
}

template <class Launch, int kK, int kV>
void TileLaunch<Launch, kK, kV>::state(Launch& launch, const StateParams& params) {
    if (!params.scan.per_channel) {
        launch_state_kernel<StateTraits<false, kK, kV, float>>(launch, params);
    } else if (params.scan.gate.type == Element::kFp32) {
        launch_state_kernel<StateTraits<true, kK, kV, float>>(launch, params);
    } else {
        launch_state_kernel<StateTraits<true, kK, kV, Bf16>>(launch, params);
    }
}

template <ReadSide kSide, GateGradient kGradient, int kK, int kV, class Launch>
void launch_channel_sweep(Launch& launch, const SweepParams& params) {
    if (params.scan.gate.type == Element::kFp32) {
        launch_sweep_kernel<SweepTraits<true, kSide, kGradient, kK, kV, float>>(launch, params);
    } else {
        launch_sweep_kernel<SweepTraits<true, kSide, kGradient, kK, kV, Bf16>>(launch, params);
    }
}

template <ReadSide kSide, GateGradient kGradient, int kK, int kV, class Launch>
void launch_head_sweep(Launch& launch, const SweepParams& params) {
    launch_sweep_kernel<SweepTraits<false, kSide, kGradient, kK, kV, float>>(launch, params);
}

template <class Launch, int kK, int kV>
void TileLaunch<Launch, kK, kV>::sweep(Launch& launch, ReadSide side, const SweepParams& params) {
    constexpr ReadSide kByKey = ReadSide::kByKey, kByValue = ReadSide::kByValue;
    constexpr GateGradient kNone = GateGradient::kNone, kQuery = GateGradient::kQuery,
                           kKey = GateGradient::kKey;
    const bool per_channel = params.scan.per_channel;
    if (side == kByKey) {
        per_channel ? launch_channel_sweep<kByKey, kNone, kK, kV>(launch, params)
                    : launch_head_sweep<kByKey, kNone, kK, kV>(launch, params);
    } else if (params.gate_gradient == kQuery) {
        per_channel ? launch_channel_sweep<kByValue, kQuery, kK, kV>(launch, params)
                    : launch_head_sweep<kByValue, kQuery, kK, kV>(launch, params);
    } else if (params.gate_gradient == kKey) {
        per_channel ? launch_channel_sweep<kByValue, kKey, kK, kV>(launch, params)
                    : launch_head_sweep<kByValue, kKey, kK, kV>(launch, params);
    } else {
        // Only without decay: log-decays always get their gradient.
        launch_head_sweep<kByValue, kNone, kK, kV>(launch, params);
    }
}

}  // namespace fla::gated
