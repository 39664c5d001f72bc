#pragma once

#include <ATen/ATen.h>

namespace flagen::models {

/// Losses of an expression head, computed in fp32 whatever the dtype of the prediction (fp64 if that is).
///
/// Axes: G genes, S samples. `mask` [G, S] bool is true where the target is present; a target may
/// be NaN elsewhere, without effect on value or gradient. With n present entries and d = predicted
/// - target:
///
///     masked_mse    1/n sum d^2
///     masked_huber  1/n sum h(d),  h = d^2 / 2 if |d| <= delta, else delta * (|d| - delta / 2)
///
/// Without any present entry the loss is 0 and so are all gradients.
/// P. J. Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35, 1964, for h.
///
/// @param predicted [G, S], any floating dtype; the only argument that gets a gradient
/// @param target    [G, S]
/// @param mask      [G, S] bool
/// @return scalar, fp32 (fp64 for an fp64 prediction)
/// @throws Error if the shapes differ or the mask is not bool.
[[nodiscard]] at::Tensor masked_mse(const at::Tensor& predicted, const at::Tensor& target,
                                    const at::Tensor& mask);
/// @param delta where the square turns into a line, in the units of the target; > 0
[[nodiscard]] at::Tensor masked_huber(const at::Tensor& predicted, const at::Tensor& target,
                                      const at::Tensor& mask, double delta);

}  // namespace flagen::models
