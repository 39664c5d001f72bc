#pragma once

#include <span>

namespace flagen::models {

/// Pearson's r in two passes; NaN when a side's standard deviation is at most 1e-13 of its scale,
/// the largest absolute value that the side was computed from.
[[nodiscard]] double pearson_with_scale(std::span<const double> x, std::span<const double> y,
                                        double x_scale, double y_scale);

/// Whether a standard deviation is at most 1e-13 of `scale`.
[[nodiscard]] bool is_constant(double variance, double scale);

[[nodiscard]] double largest_absolute(std::span<const double> values);

}  // namespace flagen::models
