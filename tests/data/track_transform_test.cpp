#include "flagen/data/track_transform.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "genomics/user_error_of.h"
#include "support/run_python.h"

namespace flagen::data {
namespace {

Track make_track(const std::string& statistic, float scale, float clip_soft, float clip) {
    Track track;
    track.identifier = statistic;
    track.sum_stat = statistic;
    track.scale = scale;
    track.clip_soft = clip_soft;
    track.clip = clip;
    return track;
}

TrackTable make_table(std::vector<Track> tracks) {
    TrackTable table;
    for (std::size_t i = 0; i < tracks.size(); ++i) {
        table.strand_pair_rows.push_back(static_cast<std::int64_t>(i));
    }
    table.tracks = std::move(tracks);
    return table;
}

TrackTransform one(const std::string& name, const std::string& statistic, float scale,
                   float clip_soft, float clip) {
    return TrackTransform::make(name, make_table({make_track(statistic, scale, clip_soft, clip)}));
}

// The forward and inverse maps in numpy, from the formulas of hound_data_read and dataset.py.
constexpr const char* kReference = R"(
import numpy as np
H = 65504.0
def forward(name, stat, s, cs, c, u):
    if name == 'none':
        return u
    u = np.array(u, 'f8')
    if name == 'new':
        u = s * u
        if stat.endswith('_sqrt'): u = -1 + np.sqrt(1 + u)
        if stat == 'sum_exp75': u = -1 + (1 + u) ** 0.75
        over = u > cs
        u = np.where(over, cs - 1 + np.sqrt(np.where(over, u - cs, 0) + 1), u)
        u = np.clip(u, -c, c)
    else:
        if stat.endswith('_sqrt'): u = u ** 0.75
        over = u > cs
        u = np.where(over, cs + np.sqrt(np.where(over, u - cs, 0)), u)
        u = s * np.clip(u, -c, c)
    return float(np.clip(u, -H, H))
def inverse(name, stat, s, cs, y, unscale):
    if name == 'none':
        return y
    if name == 'new':
        u = y
        if u > cs: u = cs - 1 + (u - cs + 1) ** 2
        if stat.endswith('_sqrt'): u = -1 + (u + 1) ** 2
        if stat == 'sum_exp75': u = (1 + u) ** (4 / 3) - 1
        return u / s if unscale else u
    u = y / s
    if u > cs: u = cs + (u - cs) ** 2
    if stat.endswith('_sqrt'): u = u ** (4 / 3)
    return u if unscale else u * s
for name in ('new', 'old', 'none'):
    for stat in ('sum', 'mean', 'sum_sqrt', 'mean_sqrt', 'sum_exp75'):
        if name == 'old' and stat == 'sum_exp75':
            continue
        for s, cs, c in ((0.3, 384, 768), (2.0, 32, 128), (0.01, 96, 384), (1.0, 64, 384)):
            s = float(np.float32(s))
            for u in (0.0, 0.001, 0.7, 5.0, 31.9, 32.0, 33.0, 100.0, 384.0, 1000.0, 2.5e4, 1e6, 3e8):
                u = float(np.float32(u))
                y = float(np.float32(forward(name, stat, s, cs, c, u)))
                print(name, stat, repr(s), cs, c, repr(u), repr(y),
                      repr(inverse(name, stat, s, cs, y, True)),
                      repr(inverse(name, stat, s, cs, y, False)))
)";

TEST(TrackTransformTest, AgreesWithNumpyForwardAndBack) {
    std::istringstream lines(testing::run_python(kReference));
    std::string name;
    std::string statistic;
    double scale = 0;
    double clip_soft = 0;
    double clip = 0;
    double pooled = 0;
    double expected = 0;
    double raw = 0;
    double scaled = 0;
    int count = 0;
    while (lines >> name >> statistic >> scale >> clip_soft >> clip >> pooled >> expected >> raw >>
           scaled) {
        const TrackTransform transform =
            one(name, statistic, static_cast<float>(scale), static_cast<float>(clip_soft),
                static_cast<float>(clip));
        const auto x = static_cast<float>(pooled);
        const std::string what =
            name + " " + statistic + " " + std::to_string(scale) + " of " + std::to_string(pooled);
        EXPECT_EQ(transform.sums(0), statistic.substr(0, 3) == "sum") << what;
        const float y = transform.apply(0, x);
        EXPECT_FLOAT_EQ(y, static_cast<float>(expected)) << what;
        const auto from = static_cast<float>(expected);
        EXPECT_FLOAT_EQ(transform.invert(0, from), static_cast<float>(raw)) << what;
        EXPECT_FLOAT_EQ(transform.invert(0, from, InverseScale::kScaled),
                        static_cast<float>(scaled))
            << what;
        const at::Tensor tensor = at::full({2, 1}, x);
        EXPECT_TRUE(at::allclose(transform.apply(tensor), at::full({2, 1}, y), 2e-6, 2e-7)) << what;
        EXPECT_TRUE(at::allclose(transform.invert(at::full({3, 1}, from)),
                                 at::full({3, 1}, static_cast<float>(raw)), 1e-5, 2e-6))
            << what;
        ++count;
    }
    EXPECT_EQ(count, (5 + 4 + 5) * 4 * 13);
}

// By hand: scale 0.25, SUM 64. new: 16, sqrt(17) - 1. old: 64^0.75 = 22.627417, times 0.25.
TEST(TrackTransformTest, SumSqrtNamesTwoFunctions) {
    EXPECT_FLOAT_EQ(one("new", "sum_sqrt", 0.25F, 384, 768).apply(0, 64.0F), 3.1231056F);
    EXPECT_FLOAT_EQ(one("old", "sum_sqrt", 0.25F, 384, 768).apply(0, 64.0F), 5.6568542F);
    EXPECT_FLOAT_EQ(one("none", "sum_sqrt", 0.25F, 384, 768).apply(0, 64.0F), 64.0F);
}

// By hand, soft clip 32 and a pooled 132: new 31 + sqrt(101), old 32 + sqrt(100). Above 1,056 and
// 9,248 the hard clip of 128 holds: new 31 + sqrt(u - 31) = 128 at u = 9,440; old at u = 9,248.
TEST(TrackTransformTest, ClipsSoftlyThenHard) {
    const TrackTransform with_new = one("new", "mean", 1, 32, 128);
    const TrackTransform with_old = one("old", "mean", 2, 32, 128);
    EXPECT_FLOAT_EQ(with_new.apply(0, 32.0F), 32.0F);
    EXPECT_FLOAT_EQ(with_new.apply(0, 132.0F), 41.0498756F);
    EXPECT_FLOAT_EQ(with_old.apply(0, 132.0F), 84.0F);
    EXPECT_EQ(with_new.apply(0, 9440.0F), 128.0F);
    EXPECT_LT(with_new.apply(0, 9400.0F), 128.0F);
    EXPECT_EQ(with_new.apply(0, 1e9F), 128.0F);
    EXPECT_EQ(with_new.apply(0, -1e9F), -128.0F);
    EXPECT_EQ(with_old.apply(0, 9248.0F), 256.0F);
    EXPECT_LT(with_old.apply(0, 9200.0F), 256.0F);
    // What was clipped comes back as the value where clipping began.
    EXPECT_FLOAT_EQ(with_new.invert(0, 128.0F), 9440.0F);
    EXPECT_FLOAT_EQ(with_old.invert(0, 256.0F), 9248.0F);
}

// (1 + u)^0.75 - 1 at u = 15 is 7, and comes back: Borzoi's scripts leave it as it is.
TEST(TrackTransformTest, SumExp75HasAnInverse) {
    const TrackTransform transform = one("new", "sum_exp75", 0.5F, 384, 768);
    EXPECT_FLOAT_EQ(transform.apply(0, 30.0F), 7.0F);
    EXPECT_FLOAT_EQ(transform.invert(0, 7.0F), 30.0F);
    EXPECT_FLOAT_EQ(transform.invert(0, 7.0F, InverseScale::kScaled), 15.0F);
    FLAGEN_EXPECT_USER_ERROR(one("old", "sum_exp75", 1, 1, 1), kInputFile, "sum_exp75", "old");
}

TEST(TrackTransformTest, ClampsToTheRangeOfHalf) {
    const float no_limit = std::numeric_limits<float>::infinity();
    EXPECT_EQ(one("new", "sum", 1, no_limit, no_limit).apply(0, 1e6F), 65504.0F);
    EXPECT_EQ(one("old", "sum", 100, no_limit, no_limit).apply(0, 1e6F), 65504.0F);
    EXPECT_EQ(one("none", "sum", 100, no_limit, no_limit).apply(0, 1e6F), 1e6F);
    EXPECT_EQ(one("none", "sum", 100, 1, 1).apply(0, -0.1F), -0.1F);
    const at::Tensor values = at::full({1, 1}, 1e6F);
    EXPECT_EQ(one("new", "sum", 1, no_limit, no_limit).apply(values).item<float>(), 65504.0F);
    EXPECT_FLOAT_EQ(
        one("new", "sum", 1, no_limit, no_limit).invert(at::full({1, 1}, 7.F)).item<float>(), 7.0F);
}

TEST(TrackTransformTest, RootsOfNegativeBinsAreNoNumbers) {
    EXPECT_TRUE(std::isnan(one("new", "sum_sqrt", 1, 384, 768).apply(0, -1.5F)));
    EXPECT_TRUE(std::isnan(one("old", "mean_sqrt", 1, 384, 768).apply(0, -0.5F)));
    EXPECT_FLOAT_EQ(one("new", "sum_sqrt", 1, 384, 768).apply(0, -0.75F), -0.5F);
}

// Tracks of different kinds side by side, as spans and as tensors of more dimensions.
TEST(TrackTransformTest, EveryTrackHasItsOwnParameters) {
    const TrackTable table =
        make_table({make_track("sum_sqrt", 0.3F, 384, 768), make_track("mean", 2, 32, 128),
                    make_track("sum_exp75", 1, 10, 20), make_track("sum", 0.01F, 96, 384)});
    const TrackTransform transform = TrackTransform::make("new", table);
    std::vector<float> values;
    for (int i = 0; i < 6 * 4; ++i) {
        values.push_back(static_cast<float>(i * i) * 1.37F);
    }
    std::vector<float> applied = values;
    transform.apply(applied);
    for (std::size_t i = 0; i < values.size(); ++i) {
        EXPECT_EQ(applied[i], transform.apply(i % 4, values[i]));
    }
    const at::Tensor tensor = at::tensor(values).view({2, 3, 4});
    const at::Tensor expected = at::tensor(applied).view({2, 3, 4});
    EXPECT_TRUE(at::allclose(transform.apply(tensor), expected, 1e-6, 1e-6));
    EXPECT_EQ(transform.apply(tensor.to(at::kDouble)).scalar_type(), at::kDouble);
    EXPECT_EQ(transform.apply(tensor.to(at::kHalf)).scalar_type(), at::kFloat);
    std::vector<float> back = applied;
    transform.invert(back);
    for (std::size_t i = 0; i < values.size(); ++i) {
        EXPECT_EQ(back[i], transform.invert(i % 4, applied[i]));
        if (std::abs(applied[i]) < table.tracks[i % 4].clip) {  // else it was clamped
            EXPECT_NEAR(back[i], values[i], 2e-5 * values[i] + 2e-6) << i;
        }
    }
    EXPECT_THROW((void)transform.apply(at::zeros({3, 5})), Error);
}

TEST(TrackTransformTest, RefusesUnknownNames) {
    FLAGEN_EXPECT_USER_ERROR(one("newer", "sum", 1, 1, 1), kConfig, "newer", "old, new, none");
}

}  // namespace
}  // namespace flagen::data
