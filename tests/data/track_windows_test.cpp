#include "flagen/data/track_windows.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "genomics/user_error_of.h"

namespace flagen::data {
namespace {

/// A bin's value says where it came from: 1000 * (start / bin) + track; 0 off [0, length).
class AddressSource final : public TrackSource {
  public:
    AddressSource(std::int64_t num_tracks, std::int64_t bin_bp, std::int64_t length_bp)
        : num_tracks_(num_tracks), bin_bp_(bin_bp), length_bp_(length_bp) {}

    std::int64_t num_tracks() const override { return num_tracks_; }
    std::int64_t bin_bp() const override { return bin_bp_; }
    void read(const std::string&, std::int64_t start_bp, std::int64_t num_bins,
              std::span<float> out) const override {
        for (std::int64_t bin = 0; bin < num_bins; ++bin) {
            const std::int64_t at = start_bp + bin * bin_bp_;
            for (std::int64_t track = 0; track < num_tracks_; ++track) {
                const bool on = at >= 0 && at < length_bp_;
                out[static_cast<std::size_t>(bin * num_tracks_ + track)] =
                    on ? static_cast<float>(1000 * at / bin_bp_ + track) : 0.0F;
            }
        }
    }

  private:
    std::int64_t num_tracks_;
    std::int64_t bin_bp_;
    std::int64_t length_bp_;
};

TEST(TrackWindows, ReadsTheBinsInsideTheCrop) {
    const TrackWindows tracks(std::make_shared<AddressSource>(2, 10, 1000), {0, 1}, {100, 20, 10});
    const auto values = tracks.read({"c", 200, 100, genomics::Strand::kForward});
    ASSERT_EQ(values.size(), 12U);  // (100 - 2 * 20) / 10 bins of two tracks
    EXPECT_EQ(values[0], 22'000.0F);
    EXPECT_EQ(values[1], 22'001.0F);
    EXPECT_EQ(values[10], 27'000.0F);
}

TEST(TrackWindows, ReverseComplementTurnsBinsAndSwapsStrandPairs) {
    // Tracks 0 and 2 are a strand pair, track 1 has no strand.
    const TrackWindows tracks(std::make_shared<AddressSource>(3, 10, 1000), {2, 1, 0}, {40, 0, 10});
    const auto values = tracks.read({"c", 100, 40, genomics::Strand::kReverse});
    const std::vector<float> expected = {13'002, 13'001, 13'000, 12'002, 12'001, 12'000,
                                         11'002, 11'001, 11'000, 10'002, 10'001, 10'000};
    EXPECT_EQ(values, expected);
}

TEST(TrackWindows, RefusesPairsThatAreNotMutual) {
    EXPECT_THROW(TrackWindows(std::make_shared<AddressSource>(3, 10, 1000), {1, 2, 0}, {40, 0, 10}),
                 Error);
}

TEST(TrackEvaluation, ScoresEveryBinOnceFromTheNearestWindow) {
    std::mt19937_64 random(11);
    const auto draw = [&](std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random);
    };
    for (int trial = 0; trial < 300; ++trial) {
        WindowGeometry geometry;
        geometry.bin_bp = draw(1, 8);
        geometry.crop_bp = draw(0, 20);
        const std::int64_t output_bins = draw(1, 30);
        geometry.seq_length_bp = 2 * geometry.crop_bp + output_bins * geometry.bin_bp;
        const std::int64_t stride_bp = draw(geometry.bin_bp, 2 * output_bins * geometry.bin_bp);
        genomics::Segment segment;
        segment.contig = "c";
        segment.start_bp = draw(0, 500);
        segment.length_bp = draw(1, 400);
        const auto passes = plan_track_evaluation({segment}, geometry, stride_bp);

        // Starts of all windows, to find the nearest centre by looking at each.
        std::map<std::int64_t, const TrackPass*> scored_by;
        for (const TrackPass& pass : passes) {
            ASSERT_GE(pass.first_bin, 0);
            ASSERT_LE(pass.first_bin + pass.num_bins, output_bins);
            const std::int64_t output_start = pass.window.start_bp + geometry.crop_bp;
            for (std::int64_t i = 0; i < pass.num_bins; ++i) {
                const std::int64_t at = output_start + (pass.first_bin + i) * geometry.bin_bp;
                ASSERT_EQ((at - segment.start_bp) % geometry.bin_bp, 0);
                ASSERT_TRUE(scored_by.emplace(at, &pass).second) << "scored twice: " << at;
            }
        }
        const std::int64_t num_bins = segment.length_bp / geometry.bin_bp;
        ASSERT_EQ(static_cast<std::int64_t>(scored_by.size()), num_bins);
        for (const auto& [at, pass] : scored_by) {
            const auto distance = [&](const TrackPass& other) {
                return std::abs(2 * other.window.start_bp + geometry.seq_length_bp -
                                (2 * at + geometry.bin_bp));
            };
            for (const TrackPass& other : passes) {
                // Half a bin may go to either side of the border.
                ASSERT_LE(distance(*pass), distance(other) + 2 * geometry.bin_bp) << at;
            }
        }
    }
}

TEST(TrackEvaluation, AShortSegmentLiesInTheMiddleOfItsWindow) {
    genomics::Segment segment;
    segment.contig = "c";
    segment.start_bp = 1000;
    segment.length_bp = 40;
    const auto passes = plan_track_evaluation({segment}, {200, 50, 10}, 100);  // outputs of 10 bins
    ASSERT_EQ(passes.size(), 1U);
    EXPECT_EQ(passes[0].window.start_bp, 1000 - 30 - 50);
    EXPECT_EQ(passes[0].first_bin, 3);
    EXPECT_EQ(passes[0].num_bins, 4);
}

TEST(TrackEvaluation, RefusesAStrideBelowOneBin) {
    FLAGEN_EXPECT_USER_ERROR(plan_track_evaluation({}, {200, 50, 10}, 9), kConfig, "stride of 9 bp");
}

}  // namespace
}  // namespace flagen::data
