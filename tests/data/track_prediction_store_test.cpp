#include "flagen/data/track_prediction_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "genomics/user_error_of.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::data {
namespace {

using ::flagen::testing::TempDir;
using ::flagen::testing::tool_output;

constexpr std::int64_t kBins = 5;

std::vector<PredictedRegion> some_regions(std::int64_t count) {
    std::vector<PredictedRegion> regions;
    for (std::int64_t i = 0; i < count; ++i) {
        regions.push_back({i % 2 == 0 ? "chrI" : "chrXVI", i * 160 - 32, i * 160 + 128, '+',
                           i == 0   ? RowStatus::kOutOfBoundsPadded
                           : i == 3 ? RowStatus::kNFractionHigh
                                    : RowStatus::kOk});
    }
    return regions;
}

PredictedTracks some_tracks(std::size_t count) {
    PredictedTracks tracks;
    for (std::size_t i = 0; i < count; ++i) {
        tracks.ids.push_back("track" + std::to_string(i));
        tracks.labels.push_back("RNA:sample " + std::to_string(i));
        tracks.assays.push_back("RNA");
    }
    return tracks;
}

std::vector<float> values_of(std::int64_t row, std::size_t num_tracks) {
    std::mt19937_64 random(static_cast<std::uint64_t>(row));
    std::vector<float> values(static_cast<std::size_t>(kBins) * num_tracks);
    for (float& value : values) {
        value = static_cast<float>(random() % 1'000'000) / 4321.0F;
    }
    return values;
}

std::string file_bytes(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// Adds the rows that are not done, from `first` on.
void add_rows(TrackPredictionWriter& writer, std::int64_t first, std::int64_t num_rows,
              std::size_t num_tracks) {
    for (std::int64_t row = first; row < num_rows; ++row) {
        if (!writer.is_done(row)) {
            writer.add(row, values_of(row, num_tracks));
        }
    }
}

void write_store(const std::string& path, std::int64_t num_rows, std::size_t num_tracks,
                 bool summed) {
    TrackPredictionWriter writer(path, "run", some_regions(num_rows), some_tracks(num_tracks),
                                 kBins, summed);
    add_rows(writer, 0, num_rows, num_tracks);
    writer.finish({{"transform", "new"}, {"bin_size", std::int64_t{32}}});
}

TEST(TrackPredictionStore, ReadsBackWhatItWrote) {
    const TempDir folder;
    const std::string path = (folder.path() / "predict.h5").string();
    write_store(path, 6, 300, false);  // 300 tracks: two chunks a row, the second one not full
    EXPECT_FALSE(std::filesystem::exists(path + ".part"));
    EXPECT_TRUE(holds_track_predictions(path));
    const TrackPredictionReader reader(path);
    EXPECT_EQ(reader.regions(), some_regions(6));
    EXPECT_EQ(reader.tracks(), some_tracks(300));
    EXPECT_EQ(reader.num_bins(), kBins);
    EXPECT_FALSE(reader.summed());
    EXPECT_EQ(reader.attributes().at("transform"), AttributeValue(std::string("new")));
    for (std::int64_t row = 0; row < 6; ++row) {
        const std::vector<float> found = reader.read(row);
        if (row == 3) {
            for (const float value : found) {
                ASSERT_TRUE(std::isnan(value)) << "a row that was not scored";
            }
        } else {
            EXPECT_EQ(found, values_of(row, 300)) << row;
        }
    }
}

// What a reader in the style of Borzoi's scripts does with predict.h5.
TEST(TrackPredictionStore, OpensInABorzoiStyleReader) {
    const TempDir folder;
    write_store((folder.path() / "predict.h5").string(), 6, 300, false);
    write_store((folder.path() / "sums.h5").string(), 6, 300, true);
    const std::string script = folder.write("check.py", R"(
import sys, h5py, numpy as np
with h5py.File(sys.argv[1] + '/predict.h5', 'r') as preds_h5:
    preds = preds_h5['preds'][:]
    chrom = [c.decode('UTF-8') for c in preds_h5['chrom']]
    start, end = preds_h5['start'][:], preds_h5['end'][:]
    strand = [s.decode() for s in preds_h5['strand']]
    ids = [t.decode() for t in preds_h5['target_ids']]
    bin_width = (end - start)[0] // preds.shape[1]
    assert preds.shape == (6, 5, 300) and preds.dtype == np.float32 and bin_width == 32
    assert chrom[:2] == ['chrI', 'chrXVI'] and start[0] == -32 and end[5] == 928
    assert strand == ['+'] * 6 and ids[299] == 'track299'
    assert preds_h5['preds'].chunks == (1, 5, 256) and preds_h5['preds'].fletcher32
    assert preds_h5['status'][:].tolist() == [3, 0, 0, 6, 0, 0]
    assert preds_h5['status_bits'].dtype == np.uint16 and preds_h5['status_bits'][:].tolist() == [8, 1, 1, 64, 1, 1]
    assert preds_h5.attrs['complete'] == 1 and preds_h5.attrs['rows_done'] == 6
with h5py.File(sys.argv[1] + '/sums.h5', 'r') as sums_h5:
    sums = sums_h5['preds'][:]
    assert sums.shape == (6, 300)
    keep = [0, 1, 2, 4, 5]
    np.testing.assert_allclose(sums[keep], preds[keep].sum(axis=1, dtype=np.float64), rtol=1e-7)
    assert np.isnan(sums[3]).all()
print('good')
)");
    EXPECT_EQ(
        tool_output(std::string(FLAGEN_VENV_PYTHON) + " " + script + " " + folder.path().string()),
        "good\n");
}

TEST(TrackPredictionStore, GoesOnAfterAKillWithTheSameBytes) {
    const TempDir folder;
    const std::string whole = (folder.path() / "whole.h5").string();
    const std::string killed = (folder.path() / "killed.h5").string();
    write_store(whole, 40, 4, false);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        TrackPredictionWriter writer(killed, "run", some_regions(40), some_tracks(4), kBins, false);
        for (std::int64_t row = 4; row < 17; ++row) {
            writer.add(row, values_of(row, 4));
        }
        raise(SIGKILL);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_FALSE(std::filesystem::exists(killed));
    TrackPredictionWriter writer(killed, "run", some_regions(40), some_tracks(4), kBins, false);
    EXPECT_EQ(writer.num_done(), 14) << "13 rows and the one that is not scored";
    EXPECT_TRUE(writer.is_done(16));
    EXPECT_FALSE(writer.is_done(17));
    add_rows(writer, 0, 40, 4);
    writer.finish({{"transform", "new"}, {"bin_size", std::int64_t{32}}});
    EXPECT_EQ(file_bytes(killed), file_bytes(whole));
}

TEST(TrackPredictionStore, GoesOnAfterAKillWhileTheFileWasPutTogether) {
    const TempDir folder;
    const std::string path = (folder.path() / "predict.h5").string();
    folder.write("predict.h5.assembling", "half a file");
    write_store(path, 4, 2, false);
    EXPECT_EQ(TrackPredictionReader(path).regions().size(), 4U);
    EXPECT_FALSE(std::filesystem::exists(path + ".assembling"));
}

TEST(TrackPredictionStore, APartOfAnotherRunIsThrownAway) {
    const TempDir folder;
    const std::string path = (folder.path() / "predict.h5").string();
    {
        TrackPredictionWriter writer(path, "run", some_regions(4), some_tracks(2), kBins, false);
        writer.add(1, values_of(1, 2));
    }
    {
        TrackPredictionWriter writer(path, "run", some_regions(4), some_tracks(2), kBins, false);
        EXPECT_TRUE(writer.is_done(1));
        EXPECT_FALSE(writer.discarded_another_run());
    }
    TrackPredictionWriter other(path, "another run", some_regions(4), some_tracks(2), kBins, false);
    EXPECT_FALSE(other.is_done(1));
    EXPECT_TRUE(other.discarded_another_run());
}

TEST(TrackPredictionStore, RefusesWrongRows) {
    const TempDir folder;
    const std::string path = (folder.path() / "predict.h5").string();
    TrackPredictionWriter writer(path, "run", some_regions(4), some_tracks(2), kBins, false);
    writer.add(0, values_of(0, 2));
    EXPECT_THROW(writer.add(0, values_of(0, 2)), Error) << "twice";
    EXPECT_THROW(writer.add(3, values_of(3, 2)), Error) << "not scored: done from the start";
    EXPECT_THROW(writer.add(1, values_of(1, 3)), Error) << "another number of tracks";
    EXPECT_THROW(writer.finish({}), Error) << "rows are missing";
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(TrackPredictionStore, RefusesDamageAndOtherFiles) {
    const TempDir folder;
    const std::string path = (folder.path() / "predict.h5").string();
    write_store(path, 6, 4, false);
    std::string bytes = file_bytes(path);
    const std::string cut = folder.write("cut.h5", bytes.substr(0, bytes.size() / 2));
    FLAGEN_EXPECT_USER_ERROR(TrackPredictionReader(cut), kInputFile, "cut.h5");
    const std::string text = folder.write("text.h5", "not HDF5");
    FLAGEN_EXPECT_USER_ERROR(TrackPredictionReader(text), kInputFile, "text.h5");
    // A changed byte somewhere must never pass as other values.
    const TrackPredictionReader good(path);
    int num_refused = 0;
    std::mt19937_64 random(5);
    for (int trial = 0; trial < 200; ++trial) {
        std::string mutated = bytes;
        mutated[random() % mutated.size()] ^= static_cast<char>(1 + random() % 255);
        const std::string name = folder.write("mutated.h5", mutated);
        try {
            const TrackPredictionReader reader(name);
            for (std::int64_t row = 0; row < 6; ++row) {
                if (row != 3) {
                    ASSERT_EQ(reader.read(row), good.read(row)) << trial;
                }
            }
        } catch (const UserError&) {
            ++num_refused;
        }
    }
    EXPECT_GT(num_refused, 0);
}

}  // namespace
}  // namespace flagen::data
