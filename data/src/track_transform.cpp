#include "flagen/data/track_transform.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "flagen/error.h"

namespace flagen::data {
namespace {

constexpr double kMaxHalf = 65504.0;  // largest finite f16

}  // namespace

const std::vector<std::string>& TrackTransform::names() {
    static const std::vector<std::string> names = {"old", "new", "none"};
    return names;
}

TrackTransform TrackTransform::make(const std::string& name, const TrackTable& table) {
    FLAGEN_USER_CHECK(UserFault::kConfig,
                      std::find(names().begin(), names().end(), name) != names().end(),
                      "unknown track transform: \"", name, "\"; it is one of old, new, none");
    TrackTransform result;
    result.name_ = name;
    result.kind_ = name == "old" ? Kind::kOld : name == "new" ? Kind::kNew : Kind::kNone;
    result.tracks_.reserve(table.tracks.size());
    for (const Track& track : table.tracks) {
        Squash squash = track.sum_stat.ends_with("_sqrt") ? Squash::kRoot : Squash::kNone;
        if (track.sum_stat == "sum_exp75") {
            FLAGEN_USER_CHECK(UserFault::kInputFile, result.kind_ != Kind::kOld,
                              "sum_stat sum_exp75 does not exist in the transform \"old\": track ",
                              track.identifier, "; there sum_sqrt is the power of 0.75");
            squash = Squash::kExp75;
        }
        result.tracks_.push_back(
            {track.scale, track.clip, track.clip_soft, squash, track.sum_stat.starts_with("sum")});
    }
    return result;
}

float TrackTransform::apply(std::size_t track, float pooled) const {
    if (kind_ == Kind::kNone) {
        return pooled;
    }
    const Parameters& p = tracks_[track];
    double u = pooled;
    if (kind_ == Kind::kNew) {
        u *= p.scale;
        if (p.squash == Squash::kRoot) {
            u = -1.0 + std::sqrt(1.0 + u);
        } else if (p.squash == Squash::kExp75) {
            u = -1.0 + std::pow(1.0 + u, 0.75);
        }
        if (u > p.clip_soft) {
            u = p.clip_soft - 1.0 + std::sqrt(u - p.clip_soft + 1.0);
        }
    } else {
        if (p.squash == Squash::kRoot) {
            u = std::pow(u, 0.75);
        }
        if (u > p.clip_soft) {
            u = p.clip_soft + std::sqrt(u - p.clip_soft);
        }
    }
    u = std::clamp(u, -p.clip, p.clip);  // NaN passes
    if (kind_ == Kind::kOld) {
        u *= p.scale;
    }
    return static_cast<float>(std::clamp(u, -kMaxHalf, kMaxHalf));
}

float TrackTransform::invert(std::size_t track, float value, InverseScale scale) const {
    if (kind_ == Kind::kNone) {
        return value;
    }
    const Parameters& p = tracks_[track];
    double u = value;
    if (kind_ == Kind::kOld) {
        u /= p.scale;
        if (u > p.clip_soft) {
            u = p.clip_soft + (u - p.clip_soft) * (u - p.clip_soft);
        }
        if (p.squash == Squash::kRoot) {
            u = std::pow(u, 4.0 / 3.0);
        }
        return static_cast<float>(scale == InverseScale::kScaled ? u * p.scale : u);
    }
    if (u > p.clip_soft) {
        const double root = u - p.clip_soft + 1.0;
        u = p.clip_soft - 1.0 + root * root;
    }
    if (p.squash == Squash::kRoot) {
        u = -1.0 + (1.0 + u) * (1.0 + u);
    } else if (p.squash == Squash::kExp75) {
        u = -1.0 + std::pow(1.0 + u, 4.0 / 3.0);
    }
    return static_cast<float>(scale == InverseScale::kRaw ? u / p.scale : u);
}

void TrackTransform::apply(std::span<float> values) const {
    const std::size_t width = tracks_.size();
    FLAGEN_CHECK_EQ(values.size() % width, std::size_t{0}, "values are not rows of all tracks");
    for (std::size_t row = 0; row < values.size(); row += width) {
        for (std::size_t track = 0; track < width; ++track) {
            values[row + track] = apply(track, values[row + track]);
        }
    }
}

void TrackTransform::invert(std::span<float> values, InverseScale scale) const {
    const std::size_t width = tracks_.size();
    FLAGEN_CHECK_EQ(values.size() % width, std::size_t{0}, "values are not rows of all tracks");
    for (std::size_t row = 0; row < values.size(); row += width) {
        for (std::size_t track = 0; track < width; ++track) {
            values[row + track] = invert(track, values[row + track], scale);
        }
    }
}

struct TrackTransform::Rows {
    at::Tensor values;  // the argument in the type that is computed in
    at::Tensor scale;
    at::Tensor clip;
    at::Tensor clip_soft;
    at::Tensor is_root;
    at::Tensor is_exp75;
    bool any_root = false;
    bool any_exp75 = false;
};

TrackTransform::Rows TrackTransform::rows_like(const at::Tensor& values) const {
    FLAGEN_CHECK(values.dim() >= 1 && values.size(-1) == num_tracks() &&
                     at::isFloatingType(values.scalar_type()),
                 "the transform is for ", num_tracks(), " tracks in the last dimension, found ",
                 values.dim() >= 1 ? values.size(-1) : 0, " of ", values.toString());
    std::vector<double> scale;
    std::vector<double> clip;
    std::vector<double> clip_soft;
    const auto count = num_tracks();
    at::Tensor is_root = at::zeros({count}, at::kBool);
    at::Tensor is_exp75 = at::zeros({count}, at::kBool);
    Rows rows;
    for (std::size_t i = 0; i < tracks_.size(); ++i) {
        scale.push_back(tracks_[i].scale);
        clip.push_back(tracks_[i].clip);
        clip_soft.push_back(tracks_[i].clip_soft);
        is_root.data_ptr<bool>()[i] = tracks_[i].squash == Squash::kRoot;
        is_exp75.data_ptr<bool>()[i] = tracks_[i].squash == Squash::kExp75;
        rows.any_root = rows.any_root || tracks_[i].squash == Squash::kRoot;
        rows.any_exp75 = rows.any_exp75 || tracks_[i].squash == Squash::kExp75;
    }
    const auto type = values.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    rows.values = values.to(type);
    const auto row = [&](const std::vector<double>& numbers) {
        return at::tensor(numbers, at::kDouble).to(rows.values.options());
    };
    rows.scale = row(scale);
    rows.clip = row(clip);
    rows.clip_soft = row(clip_soft);
    rows.is_root = is_root.to(values.device());
    rows.is_exp75 = is_exp75.to(values.device());
    return rows;
}

at::Tensor TrackTransform::apply(const at::Tensor& values) const {
    const Rows rows = rows_like(values);
    at::Tensor u = rows.values;
    if (kind_ == Kind::kNone) {
        return u;
    }
    const bool is_new = kind_ == Kind::kNew;
    if (is_new) {
        u = u * rows.scale;
    }
    if (rows.any_root) {
        u = at::where(rows.is_root, is_new ? at::sqrt(u + 1.0) - 1.0 : at::pow(u, 0.75), u);
    }
    if (rows.any_exp75) {
        u = at::where(rows.is_exp75, at::pow(u + 1.0, 0.75) - 1.0, u);
    }
    const at::Tensor above = u - rows.clip_soft;
    // An infinite clip_soft makes NaN in the branch that is not taken.
    u = at::where(
        above > 0.0,
        is_new ? rows.clip_soft - 1.0 + at::sqrt(above + 1.0) : rows.clip_soft + at::sqrt(above),
        u);
    u = at::clamp(u, at::neg(rows.clip), rows.clip);
    return at::clamp(is_new ? u : u * rows.scale, -kMaxHalf, kMaxHalf);
}

at::Tensor TrackTransform::invert(const at::Tensor& values, InverseScale scale) const {
    const Rows rows = rows_like(values);
    at::Tensor u = rows.values;
    if (kind_ == Kind::kNone) {
        return u;
    }
    const bool is_new = kind_ == Kind::kNew;
    if (!is_new) {
        u = u / rows.scale;
    }
    const at::Tensor above = u - rows.clip_soft;
    u = at::where(above > 0.0,
                  is_new ? rows.clip_soft - 1.0 + at::square(above + 1.0)
                         : rows.clip_soft + at::square(above),
                  u);
    if (rows.any_root) {
        u = at::where(rows.is_root, is_new ? at::square(u + 1.0) - 1.0 : at::pow(u, 4.0 / 3.0), u);
    }
    if (rows.any_exp75) {
        u = at::where(rows.is_exp75, at::pow(u + 1.0, 4.0 / 3.0) - 1.0, u);
    }
    if (is_new) {
        return scale == InverseScale::kRaw ? u / rows.scale : u;
    }
    return scale == InverseScale::kScaled ? u * rows.scale : u;
}

}  // namespace flagen::data
