#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "flagen/data/prediction_store.h"
#include "flagen/data/row_status.h"
#include "flagen/data/track_table.h"

namespace flagen::data {

/// One predicted region by its OUTPUT interval, 0-based, half-open, in bp.
struct PredictedRegion {
    std::string contig;
    std::int64_t start_bp = 0;  ///< May be negative, and end_bp above the contig's length: padded.
    std::int64_t end_bp = 0;
    char strand = '+';          ///< '-': bins and strand pairs run as the reverse strand is read.
    RowStatus status = RowStatus::kOk;

    [[nodiscard]] bool scored() const {
        return status == RowStatus::kOk || status == RowStatus::kOutOfBoundsPadded;
    }
    friend bool operator==(const PredictedRegion&, const PredictedRegion&) = default;
};

/// Tracks of a prediction file.
struct PredictedTracks {
    std::vector<std::string> ids;      ///< [T] identifiers
    std::vector<std::string> labels;   ///< [T] descriptions
    std::vector<std::string> assays;   ///< [T] groups

    [[nodiscard]] static PredictedTracks of(const TrackTable& table);
    friend bool operator==(const PredictedTracks&, const PredictedTracks&) = default;
};

/// Writes predictions of tracks over regions to HDF5: hound_predbed's names and shapes.
///
/// Layout, n regions, N bins, T tracks; N is left out of `preds` where bins are summed:
///
///     preds f32 [n, N, T] or [n, T]   chrom S[n]  start i64[n]  end i64[n]  strand S1[n]
///     status u8[n]  status_bits u16[n]  target_ids S[T]  target_labels S[T]  target_assay S[T]
///     status_text S[11]
///
/// Chunks are [1, N, min(T, 256)] with shuffle, gzip and fletcher32. A row without a prediction is
/// NaN and says why in `status`; bit k of `status_bits` stands for status k.
///
/// Finished rows are kept in `<path>.part`, of which a killed process leaves all it has written. A
/// writer for the same run finds them done and ends with the same bytes; for another one the part
/// is thrown away. The file appears under its name with finish(), `complete` = 1 written last.
class TrackPredictionWriter {
  public:
    /// @param run_digest of all that decides the values: model, genome, options. The regions and
    ///        tracks are added to it here.
    /// @throws UserError (kConfig) if the part cannot be created or another process has it.
    TrackPredictionWriter(const std::string& path, const std::string& run_digest,
                          std::vector<PredictedRegion> regions, PredictedTracks tracks,
                          std::int64_t num_bins, bool summed);
    ~TrackPredictionWriter();
    TrackPredictionWriter(const TrackPredictionWriter&) = delete;
    TrackPredictionWriter& operator=(const TrackPredictionWriter&) = delete;

    [[nodiscard]] bool is_done(std::int64_t row) const;
    [[nodiscard]] std::int64_t num_done() const;
    /// Whether a part with rows of another run stood there and was thrown away: worth a warning.
    [[nodiscard]] bool discarded_another_run() const;

    /// One region, row-major [N, T] (also where bins are summed: it sums, in fp64). Any order.
    /// @throws Error for a row that is done, a wrong size or a failed write.
    void add(std::int64_t row, std::span<const float> values);

    /// Writes and publishes the file, then deletes the part. Once only.
    /// @throws Error if rows are missing or a step fails; an older file is then untouched.
    void finish(const Attributes& attributes);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Reads a file that TrackPredictionWriter made, row by row.
class TrackPredictionReader {
  public:
    /// Checks attributes, sizes and `complete` before anything large is read.
    /// @throws UserError (kInputFile) naming file, dataset and reason.
    explicit TrackPredictionReader(const std::string& path);
    ~TrackPredictionReader();
    TrackPredictionReader(TrackPredictionReader&&) noexcept;

    [[nodiscard]] const std::vector<PredictedRegion>& regions() const;
    [[nodiscard]] const PredictedTracks& tracks() const;
    [[nodiscard]] const Attributes& attributes() const;
    [[nodiscard]] std::int64_t num_bins() const;  ///< 1 where bins are summed.
    [[nodiscard]] bool summed() const;

    /// Row-major [num_bins, T]. @throws UserError (kInputFile) if the data are damaged.
    [[nodiscard]] std::vector<float> read(std::int64_t row) const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Whether an HDF5 file holds track predictions (`preds`), as against those of genes.
/// @throws UserError (kInputFile) if it is no HDF5 file.
[[nodiscard]] bool holds_track_predictions(const std::string& path);

}  // namespace flagen::data
