#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flagen/data/genome_mask.h"
#include "flagen/data/track_table.h"
#include "flagen/data/window_list.h"
#include "flagen/genomics/contig_table.h"

namespace flagen::data {

/// A file by what it holds.
struct FileIdentity {
    std::string path;  ///< Absolute, where it was read; for messages.
    std::int64_t size_bytes = 0;
    std::int64_t mtime_ns = 0;  ///< Time of the last change, since 1970.
    std::string sha256;         ///< Of the whole content.
};

/// All that decides the values of a track cache: what manifest.json says.
struct TrackManifest {
    std::string contigs_sha256;    ///< Of "name <tab> length" of every contig, in order.
    std::string targets_sha256;    ///< TrackTable::digest().
    std::string windows_sha256;    ///< Of sequences.bed.
    std::string blacklist_sha256;  ///< GenomeMask::digest().
    std::string transform;         ///< old, new or none.
    std::string dtype;             ///< f32 or f16.
    WindowGeometry geometry;
    std::int64_t num_windows = 0;
    std::vector<FileIdentity> files;  ///< [T] bigWigs.

    [[nodiscard]] std::string to_json_text() const;
    /// SHA-256 of what decides the values: contents, not where files lie or how old they are.
    [[nodiscard]] std::string inputs_digest() const;
    /// @throws UserError (kInputFile) naming `path` for a file that cannot be read, is malformed or
    ///         has another schema version.
    [[nodiscard]] static TrackManifest read(const std::string& path);
};

/// What a cache is made from, or is wanted for.
struct TrackCacheInputs {
    const genomics::ContigTable& contigs;
    const TrackTable& table;
    std::string transform;
    const WindowGeometry& geometry;
    const GenomeMask& blacklist;
    bool half = false;  ///< Store f16.
};

/// The manifest of a cache to be made. Reads every bigWig once for its digest, `num_threads` at a
/// time.
/// @throws UserError (kInputFile) for a file that cannot be read.
[[nodiscard]] TrackManifest make_track_manifest(const TrackCacheInputs& inputs,
                                                const WindowList& windows, int num_threads);

/// What differs between a cache's manifest and its inputs as they are now, one line each; empty if
/// the cache is good. Windows are compared only where `windows` is given, and `half` never: a
/// cache serves f32 either way.
///
/// A bigWig of other size has changed. One of the same size and time has not. Of another time, its
/// content decides. One that is gone is passed over: a cache is used on machines that lack the
/// bigWigs.
[[nodiscard]] std::vector<std::string> stale_reasons(const TrackManifest& manifest,
                                                     const TrackCacheInputs& inputs,
                                                     const WindowList* windows);

}  // namespace flagen::data
