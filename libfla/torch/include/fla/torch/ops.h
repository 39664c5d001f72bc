#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

/// Linear-attention operators on tensors, with autograd.
///
/// Axes: B sequences, T tokens, Hq query/key heads, H value heads (H % Hq == 0; head h reads query
/// and key head h / (H / Hq)), K key width, V value width. The same operators are registered with
/// the dispatcher as torch.ops.fla.<name>, after torch.ops.load_library("libfla_torch.so").
///
/// Dtypes: q, k and v share one of float32, bfloat16, float16 or float64. Gates, beta and states
/// may be any of the first three. The CPU computes in float32, states and their gradients are
/// float32, and outputs have the dtype of v. With float64 everything must be float64 and the
/// token-by-token reference runs: exact, slow, and what torch.autograd.gradcheck wants.
///
/// Strides: tensors whose last dimension is contiguous are read in place; any other tensor is
/// copied. Results are contiguous. Results carry the same bits for any number of threads.
///
/// CUDA: linear attention, scalar-gated attention, GLA and SSD run on sm_80 and later, on the
/// current stream of the tensors' device, without synchronizing (CUDA graphs may capture them), with
/// K, V <= 256. bfloat16 with K, V <= 128 runs on tensor cores, everything else several times
/// slower (fla/gated_cuda.h says what decides). chunk_ssd() and chunk_linear_attn() without the
/// normaliser keep bfloat16 in the scan; with it, the scan is float32. q, k, v and per-channel gates
/// must have a contiguous last dimension and are never copied; states are, and so is a gradient of o
/// that has none. There is no float64, and gates above 0 or NaN are not looked for.
///
/// Gradients: once differentiable, for every tensor argument, states included.
///
/// Reverse direction walks from the last token to the first: initial_state is then the state after
/// the end of the sequence and final_state the one before token 0, the same as flipping every
/// argument and result along T.
///
/// @throws c10::Error naming operator, tensor, found and expected value if a shape, dtype or device
///         is wrong, and for CUDA tensors where the build or the operator has no CUDA kernel.
namespace fla::ops {

enum class Direction { kForward, kReverse };

/// phi, applied to q and k: x, or elu(x) + 1.
enum class FeatureMap { kIdentity, kEluPlusOne };

struct ScanOptions {
    std::optional<double> scale = std::nullopt;  ///< Factor on q; 1 / sqrt(K) when absent.
    std::optional<at::Tensor> initial_state = std::nullopt;  ///< [B, H, K, V]; zeros when absent.
    Direction direction = Direction::kForward;
};

struct ScanOutput {
    at::Tensor o;            ///< [B, T, H, V], dtype of v.
    at::Tensor final_state;  ///< [B, H, K, V], float32 (float64 for float64 input).
};

/// Scalar-gated linear attention (retention, the scalar half of Mamba-2):
///
///     S_t = exp(g_t) S_{t-1} + k_t v_t^T      o_t = scale S_t^T q_t
///
/// q, k [B, T, Hq, K]; v [B, T, H, V]; g [B, T, H], natural log, every value <= 0. A constant decay
/// a head is gamma.expand({B, T, H}): it is read without a copy.
[[nodiscard]] ScanOutput chunk_simple_gla(const at::Tensor& q, const at::Tensor& k,
                                          const at::Tensor& v, const at::Tensor& g,
                                          const ScanOptions& options = {});

/// Gated linear attention, a decay for every key channel (arXiv:2312.06635):
///
///     S_t = diag(exp(g_t)) S_{t-1} + k_t v_t^T      o_t = scale S_t^T q_t
///
/// q, k [B, T, Hq, K]; v [B, T, H, V]; g [B, T, H, K], natural log, every value <= 0.
[[nodiscard]] ScanOutput chunk_gla(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   const at::Tensor& g, const ScanOptions& options = {});

/// DeltaNet (arXiv:2406.06484):
///
///     e_t = v_t - S_{t-1}^T k_t      S_t = S_{t-1} + beta_t k_t e_t^T      o_t = scale S_t^T q_t
///
/// q, k [B, T, Hq, K]; v [B, T, H, V]; beta [B, T, H]. Keys are used as given: normalise them
/// (beta |k|^2 <= 2 keeps the recurrence stable).
[[nodiscard]] ScanOutput chunk_delta_rule(const at::Tensor& q, const at::Tensor& k,
                                          const at::Tensor& v, const at::Tensor& beta,
                                          const ScanOptions& options = {});

/// Gated DeltaNet (arXiv:2412.06464): chunk_delta_rule() on the state exp(g_t) S_{t-1}.
///
/// g [B, T, H], natural log, every value <= 0; the rest as in chunk_delta_rule().
[[nodiscard]] ScanOutput chunk_gated_delta_rule(const at::Tensor& q, const at::Tensor& k,
                                                const at::Tensor& v, const at::Tensor& g,
                                                const at::Tensor& beta,
                                                const ScanOptions& options = {});

struct LinearAttnOptions {
    /// Factor on phi(q). Absent: 1 with the normaliser (it would cancel), else 1 / sqrt(K).
    std::optional<double> scale = std::nullopt;
    std::optional<at::Tensor> initial_state = std::nullopt;  ///< [B, H, K, V]; zeros when absent.
    std::optional<at::Tensor> initial_z =
        std::nullopt;  ///< [B, H, K]; zeros when absent; needs `normalize`.
    FeatureMap feature_map = FeatureMap::kEluPlusOne;
    bool normalize = false;  ///< Divide by den_t + 1e-6.
    Direction direction = Direction::kForward;
};

struct LinearAttnOutput {
    at::Tensor o;            ///< [B, T, H, V], dtype of v.
    at::Tensor final_state;  ///< [B, H, K, V], float32 (float64 for float64 input).
    at::Tensor final_z;      ///< [B, H, K], as final_state; [B, H, 0] without the normaliser.
};

/// Linear attention (arXiv:2006.16236) with feature map phi and optional normaliser:
///
///     S_t = S_{t-1} + phi(k_t) v_t^T      num_t = scale S_t^T phi(q_t)
///     z_t = z_{t-1} + phi(k_t)            den_t = scale z_t . phi(q_t)
///     o_t = num_t, or num_t / (den_t + 1e-6)
///
/// q, k [B, T, Hq, K]; v [B, T, H, V].
[[nodiscard]] LinearAttnOutput chunk_linear_attn(const at::Tensor& q, const at::Tensor& k,
                                                 const at::Tensor& v,
                                                 const LinearAttnOptions& options = {});

/// Arguments of the state-space dual form; axes G groups, P head width, N state width.
struct SsdInputs {
    at::Tensor x;                                ///< [B, T, H, P]
    at::Tensor dt;                               ///< [B, T, H], before bias and softplus
    at::Tensor a_log;                            ///< [H]; A = -exp(a_log)
    at::Tensor b;                                ///< [B, T, G, N], H % G == 0; dtype of x
    at::Tensor c;                                ///< [B, T, G, N]; dtype of x
    std::optional<at::Tensor> d = std::nullopt;  ///< [H]; the skip D x is left out when absent
    std::optional<at::Tensor> dt_bias = std::nullopt;        ///< [H]
    std::optional<at::Tensor> initial_state = std::nullopt;  ///< [B, H, P, N]
};

struct SsdOptions {
    bool dt_softplus = true;
    double dt_min = 0.0;  ///< Step sizes are clamped to [dt_min, dt_max] after softplus.
    std::optional<double> dt_max = std::nullopt;  ///< No upper limit when absent.
    Direction direction = Direction::kForward;
};

struct SsdOutput {
    at::Tensor y;            ///< [B, T, H, P], dtype of x.
    at::Tensor final_state;  ///< [B, H, P, N], float32 (float64 for float64 input).
};

/// State-space dual form of Mamba-2 (arXiv:2405.21060), mapped to chunk_simple_gla():
///
///     dt'_t = clamp(softplus(dt_t + dt_bias))
///     h_t = exp(dt'_t A) h_{t-1} + dt'_t x_t B_t^T      y_t = h_t C_t + D x_t
[[nodiscard]] SsdOutput chunk_ssd(const SsdInputs& inputs, const SsdOptions& options = {});

}  // namespace fla::ops
