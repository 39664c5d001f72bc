#include "flagen/data/track_cache.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "chunk_codec.h"
#include "flagen/atomic_file.h"
#include "flagen/error.h"
#include "flagen/sha256.h"
#include "hdf5_file.h"
#include "ordered_prefetcher.h"
#include "track_cache_layout.h"
#include "chunk_journal.h"

namespace flagen::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kBytesPerSync = std::int64_t{1} << 28;
constexpr const char* kPart = ".part";              // finished windows of an unfinished build
constexpr const char* kAssembling = ".assembling";  // the HDF5 file that they are copied to

/// A window whose targets are ready to be written.
struct EncodedWindow {
    std::int64_t row = 0;
    std::vector<std::vector<std::uint8_t>> chunks;

    [[nodiscard]] std::int64_t num_bytes() const {
        std::int64_t sum = 0;
        for (const auto& chunk : chunks) {
            sum += static_cast<std::int64_t>(chunk.size());
        }
        return sum;
    }
};

/// Reads, bins and compresses windows; any number of threads.
class WindowEncoder {
  public:
    WindowEncoder(const WindowList& windows, const TrackSource& source, ElementType type,
                  int deflate_level)
        : windows_(windows), source_(source), type_(type), deflate_level_(deflate_level) {}

    [[nodiscard]] EncodedWindow encode(std::int64_t row) const {
        const ListedWindow& window = windows_.windows[static_cast<std::size_t>(row)];
        const auto bins = static_cast<std::size_t>(windows_.geometry.num_bins());
        const auto tracks = static_cast<std::size_t>(source_.num_tracks());
        std::vector<float> values(bins * tracks);
        source_.read(window.contig, window.start_bp, windows_.geometry.num_bins(), values);
        if (type_ == ElementType::kFloat16) {
            check_half_range(values, window);
        }
        EncodedWindow encoded;
        encoded.row = row;
        const auto width =
            static_cast<std::size_t>(tracks_per_chunk(static_cast<std::int64_t>(tracks)));
        for (std::size_t first = 0; first < tracks; first += width) {
            std::vector<float> chunk(bins * width, 0.0F);
            const std::size_t count = std::min(width, tracks - first);
            for (std::size_t bin = 0; bin < bins; ++bin) {
                std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(bin * tracks + first),
                            count, chunk.begin() + static_cast<std::ptrdiff_t>(bin * width));
            }
            encoded.chunks.push_back(encode_chunk(chunk, type_, deflate_level_));
        }
        return encoded;
    }

  private:
    static void check_half_range(const std::vector<float>& values, const ListedWindow& window) {
        for (const float value : values) {
            FLAGEN_USER_CHECK(UserFault::kConfig, std::abs(value) <= 65504.0F,
                              "value does not fit f16: ", value, " in window ", window.contig, ":",
                              window.start_bp, "-", window.end_bp, "; leave f16 out");
        }
    }

    const WindowList& windows_;
    const TrackSource& source_;
    const ElementType type_;
    const int deflate_level_;
};

void write_rows_of_windows(Hdf5File& file, const WindowList& list) {
    std::vector<std::string> contigs;
    std::vector<std::string> labels;
    std::vector<std::int64_t> starts;
    std::vector<std::int64_t> ends;
    for (const ListedWindow& window : list.windows) {
        contigs.push_back(window.contig);
        labels.push_back(window.label);
        starts.push_back(window.start_bp);
        ends.push_back(window.end_bp);
    }
    file.write_strings("/chrom", contigs);
    file.write_int64("/start", starts);
    file.write_int64("/end", ends);
    file.write_strings("/label", labels);
}

void write_tracks(Hdf5File& file, const TrackTable& table) {
    std::vector<std::string> identifiers;
    std::vector<std::string> descriptions;
    for (const Track& track : table.tracks) {
        identifiers.push_back(track.identifier);
        descriptions.push_back(track.description);
    }
    file.write_strings("/target_ids", identifiers);
    file.write_strings("/target_labels", descriptions);
}

/// Copies the finished part into an HDF5 file, windows in their order, and publishes it.
void assemble(const std::string& path, const ChunkJournal& part, const TrackManifest& manifest,
              const WindowList& list, const TrackTable& table) {
    const std::string unfinished = path + kAssembling;
    fs::remove(unfinished);  // of a build that was killed here; the part's lock keeps others away
    Hdf5File file = Hdf5File::create(unfinished);
    write_rows_of_windows(file, list);
    write_tracks(file, table);
    const std::int64_t bins = list.geometry.num_bins();
    const std::int64_t width = tracks_per_chunk(table.num_tracks());
    const auto num_windows = static_cast<std::int64_t>(list.windows.size());
    file.create_chunked(kTargetsName,
                        manifest.dtype == "f16" ? ElementType::kFloat16 : ElementType::kFloat32,
                        {num_windows, bins, table.num_tracks()}, {1, bins, width});
    for (std::int64_t row = 0; row < num_windows; ++row) {
        for (std::int64_t chunk = 0; chunk < chunks_per_window(table.num_tracks()); ++chunk) {
            file.write_chunk(kTargetsName, {row, 0, chunk * width}, part.read_chunk(row, chunk));
        }
    }
    file.write_attribute("transform", manifest.transform);
    file.write_attribute("scale", std::string("squashed"));
    file.write_attribute("bin_size", list.geometry.bin_bp);
    file.write_attribute("seq_length", list.geometry.seq_length_bp);
    file.write_attribute("crop_bp", list.geometry.crop_bp);
    file.write_attribute("targets_sha256", manifest.targets_sha256);
    file.write_attribute("manifest_sha256", sha256_of(manifest.to_json_text()));
    file.write_attribute("schema_version", kTrackCacheSchema);
    file.write_attribute("rows_done", num_windows);
    file.write_attribute("complete", std::int64_t{1});
    file.flush_and_close();
    fsync_path(unfinished);
    rename_durably(unfinished, path);
}

/// Bins and stores the windows that are not done; false if it was stopped.
bool fill(ChunkJournal& part, const WindowEncoder& encoder, std::int64_t num_windows,
          const TrackCacheOptions& options) {
    std::int64_t next = 0;
    const auto draw = [&]() -> std::optional<std::int64_t> {
        // Rows that this build adds lie behind `next`, so that only the earlier build's show here.
        while (next < num_windows && part.is_done(next)) {
            ++next;
        }
        return next < num_windows ? std::optional<std::int64_t>(next++) : std::nullopt;
    };
    const auto num_threads = static_cast<std::size_t>(options.num_threads);
    OrderedPrefetcher<std::int64_t, EncodedWindow> encoded(
        draw, [&](const std::int64_t& row) { return encoder.encode(row); }, num_threads,
        num_threads + 1);
    std::int64_t unsynced = 0;
    while (auto window = encoded.next()) {
        part.append(window->row, window->chunks);
        unsynced += window->num_bytes();
        if (unsynced >= kBytesPerSync) {
            part.sync();
            unsynced = 0;
        }
        if (options.progress && !options.progress(part.num_done(), num_windows)) {
            part.sync();
            return part.num_done() == num_windows;
        }
    }
    return true;
}

}  // namespace

TrackCacheResult build_track_cache(const std::string& folder, const TrackManifest& manifest,
                                   const WindowList& windows, const TrackTable& table,
                                   const TrackSource& source, const TrackCacheOptions& options) {
    const auto num_windows = static_cast<std::int64_t>(windows.windows.size());
    FLAGEN_CHECK(num_windows > 0 && options.num_threads >= 1, num_windows, " windows, ",
                 options.num_threads, " threads");
    FLAGEN_CHECK_EQ(source.num_tracks(), table.num_tracks(), "tracks of the source");
    FLAGEN_CHECK_EQ(source.bin_bp(), windows.geometry.bin_bp, "bins of the source");
    FLAGEN_CHECK_EQ(manifest.num_windows, num_windows, "windows of the manifest");
    const std::string manifest_text = manifest.to_json_text();
    const std::string path = cache_file(folder);
    ChunkJournal part(path + kPart, manifest.inputs_digest(), num_windows,
                      chunks_per_window(table.num_tracks()),
                      options.discard_other ? OtherInputs::kDiscard : OtherInputs::kRefuse);
    TrackCacheResult result;
    result.num_resumed = part.num_done();
    // The manifest goes first: a finished tracks.h5 always has its own beside it.
    write_file_atomically(manifest_file(folder), manifest_text);
    const WindowEncoder encoder(
        windows, source, manifest.dtype == "f16" ? ElementType::kFloat16 : ElementType::kFloat32,
        options.deflate_level);
    if (!fill(part, encoder, num_windows, options)) {
        return result;
    }
    assemble(path, part, manifest, windows, table);
    part.remove();
    result.complete = true;
    result.num_bytes = static_cast<std::int64_t>(fs::file_size(path));
    return result;
}

bool has_track_cache(const std::string& folder) { return fs::exists(cache_file(folder)); }

bool has_unfinished_track_cache(const std::string& folder) {
    return ChunkJournal::holds_rows(cache_file(folder) + kPart);
}

void remove_unfinished_track_cache(const std::string& folder) {
    fs::remove(cache_file(folder) + kAssembling);
    fs::remove(cache_file(folder) + kPart);
}

void remove_track_cache(const std::string& folder) {
    fs::remove(cache_file(folder));
    remove_unfinished_track_cache(folder);
    fs::remove(manifest_file(folder));
}

}  // namespace flagen::data
