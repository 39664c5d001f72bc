#include "apps/report/track_locus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "flagen/data/track_prediction_store.h"
#include "flagen/error.h"
#include "support/temp_dir.h"

namespace flagen::apps::report {
namespace {

using ::flagen::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kNumBins = 4;
constexpr std::int64_t kBinBp = 32;

// Three rows: one without a prediction, then two whose value of a bin is 100 * row + 10 * bin + track.
std::string write_tracks(const TempDir& folder, bool summed) {
    const std::string path = (folder.path() / "tracks.h5").string();
    std::vector<data::PredictedRegion> regions = {
        {"chr1", 0, 128, '+', data::RowStatus::kNFractionHigh},
        {"chr1", 128, 256, '+', data::RowStatus::kOk},
        {"chr2", 1000, 1128, '+', data::RowStatus::kOutOfBoundsPadded},
    };
    data::TrackPredictionWriter writer(path, "digest", regions, {{"a", "b"}, {"first", "b"}, {"RNA", "RNA"}}, kNumBins,
                                       summed);
    for (std::int64_t row = 0; row < 3; ++row) {
        std::vector<float> values;
        for (std::int64_t bin = 0; bin < kNumBins; ++bin) {
            for (std::int64_t track = 0; track < 2; ++track) {
                values.push_back(static_cast<float>(100 * row + 10 * bin + track));
            }
        }
        if (!writer.is_done(row)) {
            writer.add(row, values);
        }
    }
    writer.finish({{"scale", std::string("raw")}});
    return path;
}

TEST(TrackLocus, TakesTheFirstPredictedRowAndSaysThatNothingWasMeasured) {
    const TempDir folder;
    const data::TrackPredictionReader reader(write_tracks(folder, false));
    const TrackLocusView view = read_track_locus(reader, nullptr, std::nullopt);
    EXPECT_EQ(view.locus.contig, "chr1");
    EXPECT_EQ(view.locus.start_bp, 128);
    EXPECT_EQ(view.locus.bin_bp, kBinBp);
    ASSERT_EQ(view.locus.tracks.size(), 2U);
    EXPECT_EQ(view.locus.tracks[0].name, "a: first");
    EXPECT_EQ(view.locus.tracks[1].name, "b");
    EXPECT_THAT(view.locus.tracks[1].predicted, ElementsAre(101, 111, 121, 131));
    EXPECT_THAT(view.locus.tracks[1].observed, IsEmpty());
    EXPECT_THAT(view.note, HasSubstr("not drawn"));
    EXPECT_THAT(track_locus_figure(view.locus).title, HasSubstr("chr1:129-256"));
}

TEST(TrackLocus, CutsTheRowToTheRegion) {
    const TempDir folder;
    const data::TrackPredictionReader reader(write_tracks(folder, false));
    const TrackLocusView view = read_track_locus(reader, nullptr, genomics::Interval{"chr2", 1040, 1070});
    EXPECT_EQ(view.locus.start_bp, 1032);  // the bins that hold the region's ends
    EXPECT_THAT(view.locus.tracks[0].predicted, ElementsAre(210, 220));
    const TrackLocusView wide = read_track_locus(reader, nullptr, genomics::Interval{"chr1", 0, 100'000});
    EXPECT_EQ(wide.locus.tracks[0].predicted.size(), 4U);
}

TEST(TrackLocus, FaultsAreTheUsers) {
    const TempDir folder;
    const data::TrackPredictionReader reader(write_tracks(folder, false));
    EXPECT_THROW(static_cast<void>(read_track_locus(reader, nullptr, genomics::Interval{"chr3", 0, 100})), UserError);
    EXPECT_THROW(static_cast<void>(read_track_locus(reader, nullptr, genomics::Interval{"chr1", 0, 100})), UserError);
    const TempDir other;
    const data::TrackPredictionReader sums(write_tracks(other, true));
    EXPECT_THROW(static_cast<void>(read_track_locus(sums, nullptr, std::nullopt)), UserError);
}

}  // namespace
}  // namespace flagen::apps::report
