#pragma once

#include <cstdint>

#include "fla/direction.h"
#include "fla/parallel.h"
#include "fla/tensor_ref.h"

namespace fla {

/// Largest key and value width of the delta family.
inline constexpr std::int64_t kMaxDeltaDim = 256;

/// Inputs, outputs and options of one forward pass of the delta rule: DeltaNet without a gate,
/// Gated DeltaNet with one log-decay a head.
///
/// Computes, independently for every sequence b and head h, token by token (the decay comes first):
///
///     S̄_t = exp(g_t) * S_{t-1}                  S is [K, V]; g_t = 0 where log_decay is absent
///     e_t = v_t - S̄_tᵀ k_t
///     S_t = S̄_t + beta_t * k_t e_tᵀ
///     o_t = scale * S_tᵀ q_t
///
/// Axes: B sequences, T tokens, H heads of values, Hq heads of queries and keys (H is a multiple of
/// Hq; head h reads q and k of head h * Hq / H), K key width, V value width, both 1 .. 256. T, B
/// and H may be 0. Sizes and strides count elements. The innermost stride of q, k, v, o, the states
/// and their gradients is 1; all other strides are free (0 or negative too, where a tensor is only
/// read). Outputs must not overlap inputs or one another and need no initialisation.
///
/// Stable where beta_t * |k_t|^2 <= 2 for every token, as normalised keys and beta in [0, 2] give;
/// outside, the recurrence itself may grow exponentially.
///
/// Sources: S. Yang et al., "Parallelizing Linear Transformers with the Delta Rule over Sequence
/// Length", arXiv:2406.06484; S. Yang, J. Kautz, A. Hatamizadeh, "Gated Delta Networks",
/// arXiv:2412.06464.
struct DeltaForward {
    ConstTensorRef q;              ///< [B, T, Hq, K]
    ConstTensorRef k;              ///< [B, T, Hq, K]
    ConstTensorRef v;              ///< [B, T, H, V]
    ConstTensorRef beta;           ///< [B, T, H], any value; 0 leaves the state alone
    ConstTensorRef log_decay;      ///< [B, T, H], natural log, <= 0, -inf resets; null: no gate
    ConstTensorRef initial_state;  ///< [B, H, K, V]; null data means all zeros
    TensorRef o;                   ///< [B, T, H, V], every element is written
    TensorRef final_state;         ///< [B, H, K, V]; null data skips the write

    double scale = 1.0;  ///< Factor on q, usually 1 / sqrt(K).
    Direction direction = Direction::kForward;
};

/// Inputs and outputs of the backward pass: the vector-Jacobian product of DeltaForward. Axes and
/// stride rules as there. Nothing of the forward pass needs to be kept but its inputs.
struct DeltaBackward {
    ConstTensorRef q;                 ///< [B, T, Hq, K]
    ConstTensorRef k;                 ///< [B, T, Hq, K]
    ConstTensorRef v;                 ///< [B, T, H, V]
    ConstTensorRef beta;              ///< [B, T, H]
    ConstTensorRef log_decay;         ///< [B, T, H]; null: no gate
    ConstTensorRef initial_state;     ///< [B, H, K, V]; null means zeros
    ConstTensorRef grad_o;            ///< [B, T, H, V]
    ConstTensorRef grad_final_state;  ///< [B, H, K, V]; null means zeros
    TensorRef grad_q;                 ///< [B, T, Hq, K], summed over the heads of a group
    TensorRef grad_k;                 ///< [B, T, Hq, K], summed over the heads of a group
    TensorRef grad_v;                 ///< [B, T, H, V]
    TensorRef grad_beta;              ///< [B, T, H]; right at beta = 0 too
    TensorRef grad_log_decay;         ///< [B, T, H]; null where log_decay is, required otherwise
    TensorRef grad_initial_state;     ///< [B, H, K, V]; null skips the write

    double scale = 1.0;
    Direction direction = Direction::kForward;
};

/// Runs the forward pass on the CPU in fp32, chunk by chunk. All tensors are fp32.
///
/// Time is linear in T. One task per (b, h) is handed to `parallel_for`; the result has the same
/// bits for any number of threads, but may differ in the last bits between instruction sets
/// (baseline, AVX2, AVX-512; chosen at run time). Gates below -105 act as -105 and decays below
/// 2^-126 as 0. Error bounds: tests/libfla/delta_chunked_test.cpp.
///
/// @throws fla::InvalidArgument if a shape, dtype or stride breaks the contract, K or V exceeds
///         kMaxDeltaDim, or a log_decay is positive or NaN. Nothing is written then.
void delta_forward_cpu(const DeltaForward& params, const ParallelFor& parallel_for);

/// Runs the backward pass on the CPU in fp32; properties and errors as delta_forward_cpu().
///
/// The states are computed again, in segments whose states fit 8 MiB of scratch memory a running
/// task; beyond the first segment each keeps one more [K, V] (64 KiB at K = V = 128). With Hq < H,
/// 2 * B * T * H * K floats more.
void delta_backward_cpu(const DeltaBackward& params, const ParallelFor& parallel_for);

/// Runs the recurrence of DeltaForward token by token in fp64: slow, single-threaded, the yardstick
/// of every other implementation. Tensors are fp32 or fp64 in any mix, with any strides.
///
/// @throws fla::InvalidArgument as delta_forward_cpu() does.
void delta_forward_reference(const DeltaForward& params);

/// Runs the adjoint recurrence of DeltaBackward token by token in fp64, likewise.
void delta_backward_reference(const DeltaBackward& params);

}  // namespace fla
