#pragma once

#include <memory>

#include "flagen/models/directional_scan.h"
#include "flagen/models/norm_layer.h"

namespace flagen::models {

/// Token mixing in time linear in the tokens: [B, T, C] -> [B, T, C].
///
///     y = x, or x + silu(centred depthwise convolution of x)
///     o = heads of the forward scan, then those of the reverse scan        [B, T, H, V]
///     o = rms_norm(o) * silu(W_gate y)      (ssd: rms_norm(o * silu(W_gate y)))
///     result = W_out o
///
/// The norm works on each head alone, so no direction sees the other before W_out.
class LinearMixer : public TokenLayer {
  public:
    LinearMixer(const LinearMixerOptions& options, std::int64_t num_channels);

    at::Tensor forward(const at::Tensor& x) override;
    [[nodiscard]] StageCost cost(std::int64_t num_tokens) const override;

  private:
    LinearMixerOptions options_;
    std::int64_t num_channels_;
    std::int64_t inner_width_;  // heads of both directions x value
    std::shared_ptr<DepthwiseConv> local_conv_;
    std::shared_ptr<DirectionalScan> forward_scan_;
    std::shared_ptr<DirectionalScan> reverse_scan_;
    std::shared_ptr<NormLayer> output_norm_;
    torch::nn::Linear gate_proj_{nullptr};
    torch::nn::Linear out_proj_{nullptr};
};

}  // namespace flagen::models
