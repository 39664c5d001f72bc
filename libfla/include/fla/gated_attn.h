#pragma once

#include <cstdint>

#include "fla/decay.h"
#include "fla/direction.h"
#include "fla/parallel.h"
#include "fla/tensor_ref.h"

namespace fla {

/// Largest key and value width of the gated family. Leaves room for a ones column beside V = 256.
inline constexpr std::int64_t kMaxGatedDim = 512;

/// Inputs, outputs and options of one forward pass of the gated linear-attention family.
///
/// Computes, independently for every sequence b and head h, over tokens t in `direction`:
///
///     S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T        S is [K, V]
///     o_t = scale * S_t^T q_t
///
/// Axes: B sequences, T tokens, H heads, Hq query/key heads (H % Hq == 0; head h reads query/key
/// head h / (H / Hq)), K key width, V value width. T may be 0. The innermost stride of q, k, v, o,
/// per-channel log_decay and both states is 1; all other strides are free (a stride of 0 or a
/// negative one too, where a tensor is only read). Outputs must not overlap inputs or each other.
///
/// Sources: A. Katharopoulos et al., arXiv:2006.16236 (no decay); Y. Sun et al., arXiv:2307.08621
/// and T. Dao, A. Gu, arXiv:2405.21060 (per head); S. Yang et al., arXiv:2312.06635 (per channel).
/// Reference in this repository: libfla/src/gated/gated_reference.cpp (fp64, token by token).
struct GatedForward {
    ConstTensorRef q;  ///< [B, T, Hq, K]
    ConstTensorRef k;  ///< [B, T, Hq, K]
    ConstTensorRef v;  ///< [B, T, H, V]
    /// Natural log, every value <= 0; -inf resets the state. Null for kNone, [B, T, H] for kHead,
    /// [B, T, H, K] for kChannel.
    ConstTensorRef log_decay;
    ConstTensorRef initial_state;  ///< [B, H, K, V]; null means zeros
    TensorRef o;                   ///< [B, T, H, V], every element is written
    TensorRef final_state;         ///< [B, H, K, V]; null skips the write

    Decay decay = Decay::kNone;
    Direction direction = Direction::kForward;
    double scale = 1.0;  ///< Factor on q, usually 1 / sqrt(K).
};

/// Inputs and outputs of the backward pass: the vector-Jacobian product of GatedForward.
///
/// Shapes and stride rules are those of the forward tensors. Nothing of the forward pass needs to
/// be kept but its inputs: states are computed again.
struct GatedBackward {
    ConstTensorRef q;                 ///< [B, T, Hq, K]
    ConstTensorRef k;                 ///< [B, T, Hq, K]
    ConstTensorRef v;                 ///< [B, T, H, V]
    ConstTensorRef log_decay;         ///< as in GatedForward
    ConstTensorRef initial_state;     ///< [B, H, K, V]; null means zeros
    ConstTensorRef grad_o;            ///< [B, T, H, V]
    ConstTensorRef grad_final_state;  ///< [B, H, K, V]; null means zeros
    TensorRef grad_q;                 ///< [B, T, Hq, K], summed over the heads of a group
    TensorRef grad_k;                 ///< [B, T, Hq, K], summed over the heads of a group
    TensorRef grad_v;                 ///< [B, T, H, V]
    TensorRef grad_log_decay;         ///< as log_decay; null for kNone, required otherwise
    TensorRef grad_initial_state;     ///< [B, H, K, V]; null skips the write

    Decay decay = Decay::kNone;
    Direction direction = Direction::kForward;
    double scale = 1.0;
};

/// Runs the forward pass on the CPU in fp32, chunk by chunk. All tensors are fp32.
///
/// Time is linear in T. Exact for every gate (0, tiny, -80, -inf): no exponent is ever positive
/// and no history is dropped. Values below about 1e-38 become 0. One task per (b, h) is handed to
/// `parallel_for`; the result has the same bits for any number of threads, but may differ in the
/// last bits between instruction sets (baseline, AVX2, AVX-512; chosen at run time).
///
/// @throws fla::InvalidArgument if a shape, dtype or stride breaks the contract, K or V exceeds
///         kMaxGatedDim, or a log_decay is positive or NaN (outputs are then unspecified).
void gated_forward_cpu(const GatedForward& params, const ParallelFor& parallel_for);

/// Runs the backward pass on the CPU in fp32; properties and errors as gated_forward_cpu().
///
/// The gradient of a log_decay below -105, -inf included, is exactly 0. Scratch memory: K * V
/// floats per 256 tokens of each running task, and with Hq < H also 2 * B * T * H * K floats.
void gated_backward_cpu(const GatedBackward& params, const ParallelFor& parallel_for);

/// Runs the recurrence of GatedForward token by token in fp64: slow, single-threaded, the yardstick
/// of every other implementation. Tensors are fp32 or fp64 in any mix, with any strides; the
/// arithmetic is fp64 throughout.
///
/// @throws fla::InvalidArgument as gated_forward_cpu().
void gated_forward_reference(const GatedForward& params);

/// Runs the adjoint recurrence of GatedBackward token by token in fp64, likewise.
void gated_backward_reference(const GatedBackward& params);

}  // namespace fla
