#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace flagen::models {

/// Tokens on their way around the middle of a U-Net, during one forward pass.
///
/// Towers offer what they have before each pooling, U-Net steps take it, as StreamShape::skips
/// says. Only what some step takes is kept, and no longer than until then.
class TrunkSkips {
  public:
    /// wanted[i]: whether the i-th offer of a pass will be taken.
    explicit TrunkSkips(std::vector<bool> wanted) : wanted_(std::move(wanted)) {}

    /// @throws Error if there are more offers than the trunk was built with.
    void offer(const at::Tensor& tokens);
    /// The newest [B, num_tokens, C] that was kept; it is kept no longer. @throws Error if there
    /// is none.
    [[nodiscard]] at::Tensor take(std::int64_t num_tokens);

  private:
    std::vector<bool> wanted_;
    std::size_t num_offers_ = 0;
    std::vector<at::Tensor> kept_;
};

}  // namespace flagen::models
