#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "flagen/data/track_table.h"

namespace flagen::data {

/// What invert() does with the scale of the table.
enum class InverseScale {
    kRaw,     ///< Undoes it: back to the units of the bigWig. The inverse of apply().
    kScaled,  ///< Leaves it in, as Borzoi's scripts do unless told to unscale.
};

/// From pooled measurements to the scale that a track is trained on, and back.
///
/// With s = scale, cs = clip_soft, c = clip of the track, and u the SUM or MEAN of the measured
/// values over the bases of a bin (which of them: sums(); bases without data count as 0):
///
///                        `new` (baskerville's default)        `old` (Borzoi's paper and weights)
///     1 scale            u = s * u                            -
///     2 *_sqrt           u = -1 + sqrt(1 + u)                 u = u^0.75
///       sum_exp75        u = -1 + (1 + u)^0.75                (refused)
///     3 if u > cs        u = cs - 1 + sqrt(u - cs + 1)        u = cs + sqrt(u - cs)
///     4                  y = clamp(u, -c, c)                  y = s * clamp(u, -c, c)
///     5                  y clamped to the finite range of f16, both
///
///     inverse 1          u = y                                u = y / s
///     inverse 2, u > cs  u = cs - 1 + (u - cs + 1)^2          u = cs + (u - cs)^2
///     inverse 3, *_sqrt  u = -1 + (1 + u)^2                   u = u^(4/3)
///       sum_exp75        u = -1 + (1 + u)^(4/3)
///     inverse 4          u / s, unless kScaled                u * s if kScaled
///
/// `none`: y is the pooled value, and the inverse is y, whatever scale and clips say.
///
/// The same sum_stat, "sum_sqrt", names a square root in `new` and a power of 0.75 in `old`: the
/// name of the transform belongs to every file of targets or predictions. Clamped values are not
/// invertible: the inverse of c is what first reached it. Where a formula has no real value (the
/// root of a negative bin) the result is NaN.
///
/// Source: calico/baskerville, src/baskerville/scripts/hound_data_read.py (forward),
/// src/baskerville/dataset.py untransform_preds (inverse; it never inverts sum_exp75).
class TrackTransform {
  public:
    /// "old", "new" and "none".
    [[nodiscard]] static const std::vector<std::string>& names();

    /// The transform `name` with the parameters of the tracks of `table`.
    ///
    /// @throws UserError (kConfig) for an unknown name; (kInputFile) if a track's sum_stat does not
    ///         exist in this transform.
    [[nodiscard]] static TrackTransform make(const std::string& name, const TrackTable& table);

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] std::int64_t num_tracks() const {
        return static_cast<std::int64_t>(tracks_.size());
    }
    /// Whether bins of this track are pooled by their sum; else by their mean.
    [[nodiscard]] bool sums(std::size_t track) const { return tracks_.at(track).sums; }

    /// One pooled value of one track; computed in fp64.
    [[nodiscard]] float apply(std::size_t track, float pooled) const;
    [[nodiscard]] float invert(std::size_t track, float value,
                               InverseScale scale = InverseScale::kRaw) const;

    /// In place, row-major [bins, T]; the same numbers as above.
    void apply(std::span<float> values) const;
    void invert(std::span<float> values, InverseScale scale = InverseScale::kRaw) const;

    /// [..., T] of any floating dtype and device -> the same shape and device. Computed and
    /// returned in fp32 (fp64 for fp64 input), so last digits may differ from the above.
    [[nodiscard]] at::Tensor apply(const at::Tensor& values) const;
    [[nodiscard]] at::Tensor invert(const at::Tensor& values,
                                    InverseScale scale = InverseScale::kRaw) const;

  private:
    enum class Kind { kNone, kOld, kNew };
    enum class Squash { kNone, kRoot, kExp75 };
    struct Parameters {
        double scale;
        double clip;
        double clip_soft;
        Squash squash;
        bool sums;
    };
    struct Rows;  // the parameters as tensors of shape [T]

    TrackTransform() = default;
    [[nodiscard]] Rows rows_like(const at::Tensor& values) const;

    std::string name_;
    Kind kind_ = Kind::kNone;
    std::vector<Parameters> tracks_;
};

}  // namespace flagen::data
