#pragma once

#include <cstdint>

// The seam between the portable driver (delta_cpu.cpp) and the builds for one instruction set each.

namespace fla {

/// What one (b, h) problem reads. Pointers stand at the first token walked; strides count floats
/// and are negative when the walk goes backwards.
struct DeltaHeadInputs {
    std::int64_t num_tokens = 0;
    std::int64_t key_width = 0;
    std::int64_t value_width = 0;
    float scale = 1.0F;
    const float* q = nullptr;
    const float* k = nullptr;
    const float* v = nullptr;
    const float* beta = nullptr;
    const float* log_decay = nullptr;      // Null: no gate.
    const float* initial_state = nullptr;  // [K, V] or null.
    std::int64_t q_stride = 0;
    std::int64_t k_stride = 0;
    std::int64_t v_stride = 0;
    std::int64_t beta_stride = 0;
    std::int64_t log_decay_stride = 0;
    std::int64_t initial_state_stride = 0;
};

struct DeltaHeadForward {
    DeltaHeadInputs in;
    float* o = nullptr;
    float* final_state = nullptr;  // [K, V] or null.
    std::int64_t o_stride = 0;
    std::int64_t final_state_stride = 0;
};

/// grad_final_state may be null (zeros), grad_initial_state too (not written); grad_log_decay is
/// null exactly where log_decay is.
struct DeltaHeadBackward {
    DeltaHeadInputs in;
    const float* grad_o = nullptr;
    const float* grad_final_state = nullptr;
    float* grad_q = nullptr;
    float* grad_k = nullptr;
    float* grad_v = nullptr;
    float* grad_beta = nullptr;
    float* grad_log_decay = nullptr;
    float* grad_initial_state = nullptr;
    std::int64_t grad_o_stride = 0;
    std::int64_t grad_final_state_stride = 0;
    std::int64_t grad_q_stride = 0;
    std::int64_t grad_k_stride = 0;
    std::int64_t grad_v_stride = 0;
    std::int64_t grad_beta_stride = 0;
    std::int64_t grad_log_decay_stride = 0;
    std::int64_t grad_initial_state_stride = 0;
};

/// Floats of scratch that a problem of this shape needs; the caller aligns them to 64 bytes.
using DeltaScratchFloats = std::int64_t (*)(std::int64_t num_tokens, std::int64_t key_width,
                                            std::int64_t value_width);

/// The entry points of one build.
struct DeltaForwardKernel {
    DeltaScratchFloats scratch_floats;
    void (*run)(const DeltaHeadForward& problem, float* scratch);
};
struct DeltaBackwardKernel {
    DeltaScratchFloats scratch_floats;
    void (*run)(const DeltaHeadBackward& problem, float* scratch);
};

#define FLA_DECLARE_DELTA_KERNELS(isa)               \
    namespace isa {                                  \
    extern const DeltaForwardKernel kDeltaForward;   \
    extern const DeltaBackwardKernel kDeltaBackward; \
    }
FLA_DECLARE_DELTA_KERNELS(baseline)
FLA_DECLARE_DELTA_KERNELS(avx2)
FLA_DECLARE_DELTA_KERNELS(avx512)
#undef FLA_DECLARE_DELTA_KERNELS

}  // namespace fla
