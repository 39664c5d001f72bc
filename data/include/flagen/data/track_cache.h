#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "flagen/data/track_manifest.h"
#include "flagen/data/track_source.h"
#include "flagen/data/window_list.h"

namespace flagen::data {

/// How build_track_cache() works.
struct TrackCacheOptions {
    int num_threads = 1;    ///< That bin and compress; writing has the caller's thread.
    int deflate_level = 1;  ///< 0 to 9. Levels above 1 cost much and save little here.
    /// Called after every window with those done and all; false stops the build, to be resumed.
    std::function<bool(std::int64_t, std::int64_t)> progress = {};
    bool discard_other = false;  ///< Start anew where an unfinished build of other inputs is.
};

/// What a call of build_track_cache() did.
struct TrackCacheResult {
    bool complete = false;         ///< Else it was stopped, and the part is kept.
    std::int64_t num_resumed = 0;  ///< Windows that an earlier, ended build had done.
    std::int64_t num_bytes = 0;    ///< Of tracks.h5; 0 if not complete.
};

/// Writes the targets of all windows to `folder`: tracks.h5 and manifest.json.
///
///     /targets f32|f16 [N, bins, T]   chunks [1, bins, min(T, 256)], shuffle + gzip + fletcher32
///     /chrom S[N]  /start i64[N]  /end i64[N]  /label S[N]     the rows of sequences.bed
///     /target_ids S[T]  /target_labels S[T]                    identifiers, descriptions
///     attributes: transform, scale = "squashed", bin_size, seq_length, crop_bp, targets_sha256,
///                 manifest_sha256, schema_version, rows_done, and last of all complete = 1
///
/// Any h5py opens the file. It appears under its name only when it is whole. Until then finished
/// windows are kept in tracks.h5.part; a build that was killed or stopped goes on from there and
/// ends with the same bytes. A part of other inputs is refused, or discarded if so told. The part
/// needs as much space as the file. With equal inputs the file has equal bytes, whatever the
/// number of threads.
///
/// f16 rounds to nearest; values are within its range by the transform (`none` does not clamp:
/// there a larger value becomes infinite, which is refused).
///
/// @throws UserError (kInputFile) as TrackSource::read(), (kConfig) if the folder cannot be
///         written, another process builds there, or it holds a part of other inputs; Error if a
///         write fails, for example on a full disk: run it again, then.
TrackCacheResult build_track_cache(const std::string& folder, const TrackManifest& manifest,
                                   const WindowList& windows, const TrackTable& table,
                                   const TrackSource& source, const TrackCacheOptions& options);

/// Whether `folder` holds a finished tracks.h5.
[[nodiscard]] bool has_track_cache(const std::string& folder);
/// Whether `folder` holds windows of a build that did not finish.
[[nodiscard]] bool has_unfinished_track_cache(const std::string& folder);
/// Removes what an unfinished build left in `folder`.
void remove_unfinished_track_cache(const std::string& folder);
/// Removes tracks.h5, its manifest and what an unfinished build left.
void remove_track_cache(const std::string& folder);

/// Targets out of a cache. Serves exactly the windows that it holds.
class TrackCacheSource final : public TrackSource {
  public:
    /// Opens `folder` for the inputs of a run.
    ///
    /// @throws UserError (kInputFile) if files are absent, incomplete, damaged or do not belong
    ///         together, or if the cache is stale: the message lists what changed
    ///         (stale_reasons()).
    TrackCacheSource(const std::string& folder, const TrackCacheInputs& inputs);
    ~TrackCacheSource() override;
    TrackCacheSource(const TrackCacheSource&) = delete;
    TrackCacheSource& operator=(const TrackCacheSource&) = delete;

    [[nodiscard]] std::int64_t num_tracks() const override;
    [[nodiscard]] std::int64_t bin_bp() const override;

    /// The windows in the order of the file.
    [[nodiscard]] const WindowList& windows() const;
    /// Whether read() can serve this output interval.
    [[nodiscard]] bool holds(const std::string& contig, std::int64_t start_bp,
                             std::int64_t num_bins) const;

    /// Bit for bit what the source gave that the cache was built from (rounded to f16, if the
    /// cache is). Decompression runs in the calling thread, in any number of them at once.
    ///
    /// @throws UserError (kInputFile) naming the window if the data are damaged; flagen::Error if
    ///         the cache does not hold the interval.
    void read(const std::string& contig, std::int64_t start_bp, std::int64_t num_bins,
              std::span<float> out) const override;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace flagen::data
