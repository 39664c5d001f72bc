#pragma once

#include <torch/nn/modules/linear.h>

#include "flagen/models/norm_layer.h"
#include "flagen/models/stream_shape.h"
#include "flagen/models/track_head_config.h"
#include "flagen/models/trunk_block.h"

namespace flagen::models {

/// Measured tracks from the trunk's tokens, one value a token (bin) and track:
///
///     y = softplus(W act(x) + b)         x [B, Lo, C] -> y [B, Lo, units], y > 0
///
/// Computed in fp32 also under autocast (fp64 for fp64 tokens): the tracks' range is wide and the
/// loss takes logarithms.
class TrackHead : public torch::nn::Module {
  public:
    /// @param activation of the tokens; kNone where the trunk ends with one
    TrackHead(const TrackHeadConfig& config, const StreamShape& tokens, Activation activation);

    [[nodiscard]] at::Tensor forward(const at::Tensor& tokens);
    [[nodiscard]] StageCost cost() const;

    [[nodiscard]] std::int64_t num_tracks() const { return num_tracks_; }
    [[nodiscard]] const StreamShape& tokens_shape() const { return tokens_; }

  private:
    StreamShape tokens_;
    std::int64_t num_tracks_;
    Activation activation_;
    torch::nn::Linear proj_{nullptr};
};

}  // namespace flagen::models
