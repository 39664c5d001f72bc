#pragma once

#include <memory>
#include <vector>

#include "flagen/models/nac_options.h"
#include "flagen/models/trunk_block.h"

namespace flagen {
class JsonObject;
}

namespace flagen::models {

class NacConv;

/// Options of `res_tower`. Stage i of `repeat` has filters_init * m^i channels, rounded to a
/// multiple of divisible_by (half to even), with m such that the last stage has filters_end.
struct ResTowerOptions {
    std::int64_t filters_init = 64;
    std::int64_t filters_end = 0;  ///< 0: filters_init in every stage.
    std::int64_t divisible_by = 1;
    std::int64_t kernel_size = 1;  ///< Of the first convolution of a stage; odd.
    std::int64_t num_convs = 2;    ///< Convolutions of a stage; all but the first see one token.
    std::int64_t pool_size = 2;    ///< Tokens of the maximum after every stage.
    std::int64_t repeat = 1;       ///< Stages.
    double dropout = 0.0;          ///< After the convolutions of a stage.
    NacOptions nac;

    void bind(OptionTable& table);
    void inherit(const BlockDefaults& defaults) { nac.inherit(defaults); }
    void check(const StreamShape& input, JsonObject& json) const;
    [[nodiscard]] StreamShape output_shape(const StreamShape& input) const;
    [[nodiscard]] std::vector<std::int64_t> filters() const;  ///< [repeat]
};

/// Borzoi's convolution tower, stages of
///
///     y = nac_conv(x);  x = y + scale * dropout(nac_conv(...nac_conv(y)));  pool(x)
///
/// with one scale a channel that starts at 0; where num_convs is 1, x = dropout(y). Each stage
/// offers its x before the pooling to a U-Net step.
class ResTower : public TrunkBlock {
  public:
    ResTower(const ResTowerOptions& options, const StreamShape& input);

    at::Tensor forward(const at::Tensor& x) override;
    at::Tensor forward_with_skips(const at::Tensor& x, TrunkSkips& skips) override;
    [[nodiscard]] StageCost cost() const override;
    [[nodiscard]] bool is_convolution() const override { return true; }

  private:
    struct Stage {
        std::vector<std::shared_ptr<NacConv>> convs;
        at::Tensor scale;  // [C]
    };

    void add_stage(std::int64_t in, std::int64_t out);
    [[nodiscard]] at::Tensor run_stage(const Stage& stage, const at::Tensor& x) const;

    ResTowerOptions options_;
    std::vector<Stage> stages_;
};

}  // namespace flagen::models
