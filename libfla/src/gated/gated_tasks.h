#pragma once

// The work of one (sequence, head), built once for each instruction set (host/cpu_isa.h).

#include <cstdint>

#include "fla/decay.h"

namespace fla {

/// A row of floats for each token: token t starts at data + t * stride. Reversed sequences have
/// data at the last token and a negative stride. Null data means absent.
template <typename Pointer>
struct TokenRows {
    Pointer data = nullptr;
    std::int64_t stride = 0;
};

/// A [K, V] matrix with contiguous rows. Null data means absent.
template <typename Pointer>
struct StateRows {
    Pointer data = nullptr;
    std::int64_t stride = 0;
};

/// One task of gated_forward_cpu() or gated_backward_cpu(). Pointers of the other pass stay null.
struct GatedTask {
    std::int64_t tokens = 0;
    std::int64_t keys = 0;
    std::int64_t values = 0;
    Decay decay = Decay::kNone;
    float scale = 1.0F;

    TokenRows<const float*> q, k;                       // [T, K]
    TokenRows<const float*> v, grad_o;                  // [T, V]
    TokenRows<const float*> log_decay;                  // [T] or [T, K]
    StateRows<const float*> initial_state;              // [K, V]
    StateRows<const float*> grad_final_state;           // [K, V]
    TokenRows<float*> o, grad_v;                        // [T, V]
    TokenRows<float*> grad_q, grad_k;                   // [T, K]
    TokenRows<float*> grad_log_decay;                   // [T] or [T, K]
    StateRows<float*> final_state, grad_initial_state;  // [K, V]
    float* scratch = nullptr;                           // 64-byte aligned
};

/// Returned by a task that found no fault; otherwise the number of the first token (in the order of
/// the walk) whose log_decay is positive or NaN.
inline constexpr std::int64_t kNoBadToken = -1;

#define FLA_DECLARE_GATED_TASKS(isa)                                   \
    namespace isa {                                                    \
    std::int64_t gated_forward_scratch_floats(const GatedTask& task);  \
    std::int64_t gated_backward_scratch_floats(const GatedTask& task); \
    std::int64_t run_gated_forward(const GatedTask& task);             \
    std::int64_t run_gated_backward(const GatedTask& task);            \
    }

FLA_DECLARE_GATED_TASKS(baseline)
#ifdef FLA_X86_BUILDS
FLA_DECLARE_GATED_TASKS(avx2)
FLA_DECLARE_GATED_TASKS(avx512)
#endif
#undef FLA_DECLARE_GATED_TASKS

}  // namespace fla
