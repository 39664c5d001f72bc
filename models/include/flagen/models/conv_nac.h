#pragma once

#include <memory>

#include "flagen/models/nac_options.h"
#include "flagen/models/trunk_block.h"

namespace flagen {
class JsonObject;
}

namespace flagen::models {

class NacConv;

/// Options of `conv_nac`.
struct ConvNacOptions {
    std::int64_t filters = 0;      ///< Output channels; 0: as many as come in.
    std::int64_t kernel_size = 1;  ///< Odd.
    std::int64_t pool_size = 1;    ///< Tokens of the maximum at the end.
    double dropout = 0.0;
    NacOptions nac;

    void bind(OptionTable& table);
    void inherit(const BlockDefaults& defaults) { nac.inherit(defaults); }
    void check(const StreamShape& input, JsonObject& json) const;
    [[nodiscard]] StreamShape output_shape(const StreamShape& input) const;
};

/// norm -> activation -> convolution with bias -> dropout -> maximum over pool_size tokens:
/// [B, T, C] -> [B, T / pool_size, filters]. Convolutions are centred, with zeros beyond the ends.
class ConvNac : public TrunkBlock {
  public:
    ConvNac(const ConvNacOptions& options, const StreamShape& input);

    at::Tensor forward(const at::Tensor& x) override;
    [[nodiscard]] StageCost cost() const override;
    [[nodiscard]] bool is_convolution() const override { return true; }

  private:
    ConvNacOptions options_;
    std::shared_ptr<NacConv> conv_;
};

/// Options of `Cropping1D`.
struct CroppingOptions {
    std::int64_t cropping = 0;  ///< Tokens cut off at each end.

    void bind(OptionTable& table);
    void check(const StreamShape& input, JsonObject& json) const;
    [[nodiscard]] StreamShape output_shape(const StreamShape& input) const;
};

/// Cuts tokens off both ends: [B, T, C] -> [B, T - 2 cropping, C], a view. Skips do not outlive it:
/// they would no longer be aligned.
class Cropping : public TrunkBlock {
  public:
    Cropping(const CroppingOptions& options, const StreamShape& input);

    at::Tensor forward(const at::Tensor& x) override;
    [[nodiscard]] StageCost cost() const override { return {}; }

  private:
    std::int64_t cropping_;
};

}  // namespace flagen::models
