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
           sizeof(SweepShared<Traits>), params);
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

template <ReadSide kSide, int kK, int kV, class Launch>
void launch_sweep_side(Launch& launch, const SweepParams& params) {
    if (!params.scan.per_channel) {
        launch_sweep_kernel<SweepTraits<false, kSide, kK, kV, float>>(launch, params);
    } else if (params.scan.gate.type == Element::kFp32) {
        launch_sweep_kernel<SweepTraits<true, kSide, kK, kV, float>>(launch, params);
    } else {
        launch_sweep_kernel<SweepTraits<true, kSide, kK, kV, Bf16>>(launch, params);
    }
}

template <class Launch, int kK, int kV>
void TileLaunch<Launch, kK, kV>::sweep(Launch& launch, ReadSide side, const SweepParams& params) {
    if (side == ReadSide::kByKey) {
        launch_sweep_side<ReadSide::kByKey, kK, kV>(launch, params);
    } else {
        launch_sweep_side<ReadSide::kByValue, kK, kV>(launch, params);
    }
}

}  // namespace fla::gated
