#pragma once

#include <torch/nn/modules/conv.h>

#include <memory>

#include "flagen/models/norm_layer.h"
#include "flagen/models/trunk_block.h"

namespace flagen {
class JsonObject;
}

namespace flagen::models {

class OptionTable;
struct BlockDefaults;

/// One-hot form of base codes: uint8 [B, L], A C G T N = 0..4, to [B, L, 4] of `dtype`; N (and any
/// code above 3) is four zeros. Runs on the device of `codes`.
[[nodiscard]] at::Tensor one_hot_bases(const at::Tensor& codes, at::ScalarType dtype);

/// Options of `conv_dna`, the stem.
struct ConvDnaOptions {
    std::int64_t filters = 32;
    std::int64_t kernel_size = 15;  ///< Bases. At least `stride`; odd where the stride is 1.
    std::int64_t stride = 2;        ///< Of the convolution; default 1 where pool_size is above 1.
    std::int64_t pool_size = 1;     ///< Convolved bases of the maximum at the end.
    bool use_bias = true;
    NormType norm = NormType::kNone;
    Activation activation = Activation::kNone;

    void bind(OptionTable& table);
    void inherit(const BlockDefaults& defaults);
    void check(const StreamShape& input, JsonObject& json) const;
    [[nodiscard]] StreamShape output_shape(const StreamShape& input) const;
};

/// uint8 codes [B, L] -> one-hot -> strided convolution -> norm -> activation -> maximum over
/// pool_size: [B, L / stride / pool_size, filters].
///
/// Convolved token t sees kernel_size bases around base t * stride: those from
/// t * stride - ceil((kernel_size - stride) / 2) on, zeros beyond the window. A kernel whose length
/// differs from the stride by an even number is centred on the token exactly.
class ConvDna : public TrunkBlock {
  public:
    ConvDna(const ConvDnaOptions& options, const StreamShape& input);

    at::Tensor forward(const at::Tensor& codes) override;
    [[nodiscard]] StageCost cost() const override;
    [[nodiscard]] bool is_convolution() const override { return true; }

  private:
    [[nodiscard]] at::Tensor convolve(const at::Tensor& bases) const;

    ConvDnaOptions options_;
    torch::nn::Conv1d conv_{nullptr};
    std::shared_ptr<NormLayer> norm_;
};

}  // namespace flagen::models
