#pragma once

#include <torch/nn/modules/linear.h>

#include <memory>

#include "flagen/models/depthwise_conv.h"
#include "flagen/models/nac_options.h"
#include "flagen/models/trunk_block.h"

namespace flagen {
class JsonObject;
}

namespace flagen::models {

class NacConv;
class NormActivation;

/// Options of `unet_conv`.
struct UnetConvOptions {
    std::int64_t kernel_size = 3;  ///< Of the separable convolution; odd.
    bool upsample_conv = false;  ///< A map of the coarse tokens' channels before they are doubled.
    NacOptions nac;

    void bind(OptionTable& table);
    void inherit(const BlockDefaults& defaults) { nac.inherit(defaults); }
    void check(const StreamShape& input, JsonObject& json) const;
    [[nodiscard]] StreamShape output_shape(const StreamShape& input) const;
};

/// One step up a U-Net, [B, T, C] -> [B, 2 T, C], with the skip z [B, 2 T, Cz] that a tower
/// offered:
///
///     u[t] = nac(x)[t / 2] + nac_map(z)[t]             nac(x) = act(norm(x)), a map of it where
///     y    = pointwise(depthwise(u)) + bias            upsample_conv is set
///
/// Takes the newest skip of twice the tokens.
class UnetConv : public TrunkBlock {
  public:
    UnetConv(const UnetConvOptions& options, const StreamShape& input);

    /// @throws Error: this block cannot run without skips.
    at::Tensor forward(const at::Tensor& x) override;
    at::Tensor forward_with_skips(const at::Tensor& x, TrunkSkips& skips) override;
    [[nodiscard]] std::optional<std::size_t> taken_skip() const override;
    [[nodiscard]] StageCost cost() const override;

  private:
    UnetConvOptions options_;
    std::shared_ptr<NacConv> coarse_conv_;  // one of the two
    std::shared_ptr<NormActivation> coarse_;
    std::shared_ptr<NacConv> skip_conv_;
    std::shared_ptr<DepthwiseConv> depthwise_;
    torch::nn::Linear pointwise_{nullptr};
};

}  // namespace flagen::models
