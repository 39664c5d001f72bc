#pragma once

#include <torch/nn/module.h>

#include <cstddef>
#include <optional>

#include "flagen/models/stream_shape.h"
#include "flagen/models/trunk_skips.h"

namespace flagen::models {

/// Work of one stage for one window, forward only. A multiply-add counts as two operations; only
/// convolutions, matrix products and scans are counted.
struct StageCost {
    double flops = 0;
    double activation_bytes = 0;  ///< fp32 tensors that the backward pass keeps, about.

    StageCost& operator+=(const StageCost& other) {
        flops += other.flops;
        activation_bytes += other.activation_bytes;
        return *this;
    }
};

/// A map of tokens [B, T, C] to tokens of the same shape: a mixer or a feed-forward layer. Norm,
/// dropout of the branch and residual belong to ResidualBlock.
class TokenLayer : public torch::nn::Module {
  public:
    [[nodiscard]] virtual at::Tensor forward(const at::Tensor& x) = 0;
    /// Cost for one window of `num_tokens` tokens.
    [[nodiscard]] virtual StageCost cost(std::int64_t num_tokens) const = 0;
};

/// One block of the trunk: built for a fixed input shape, made by the block registry.
class TrunkBlock : public torch::nn::Module {
  public:
    TrunkBlock(const StreamShape& input, const StreamShape& output)
        : input_(input), output_(output) {}

    /// x has the layout and sizes of input(), with any number of windows; the result those of
    /// output().
    [[nodiscard]] virtual at::Tensor forward(const at::Tensor& x) = 0;
    /// The same for blocks that offer skips or take one; all others look at `x` alone.
    [[nodiscard]] virtual at::Tensor forward_with_skips(const at::Tensor& x,
                                                        TrunkSkips& /*skips*/) {
        return forward(x);
    }
    /// Which of input().skips a U-Net step takes.
    [[nodiscard]] virtual std::optional<std::size_t> taken_skip() const { return std::nullopt; }
    [[nodiscard]] virtual StageCost cost() const = 0;
    /// Whether it is a local convolution: the blocks before the first other one are the tower.
    [[nodiscard]] virtual bool is_convolution() const { return false; }

    [[nodiscard]] const StreamShape& input() const { return input_; }
    [[nodiscard]] const StreamShape& output() const { return output_; }

  private:
    StreamShape input_;
    StreamShape output_;
};

}  // namespace flagen::models
