#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "chunk_codec.h"
#include "flagen/atomic_file.h"
#include "flagen/data/track_cache.h"
#include "flagen/error.h"
#include "flagen/sha256.h"
#include "hdf5_file.h"
#include "track_cache_layout.h"

namespace flagen::data {
namespace {

void check_attributes(const Attributes& attributes, const std::string& manifest_text,
                      const std::string& path) {
    const auto holds = [&](const char* name, const AttributeValue& value) {
        const auto found = attributes.find(name);
        return found != attributes.end() && found->second == value;
    };
    FLAGEN_USER_CHECK(UserFault::kInputFile, holds("complete", std::int64_t{1}),
                      "track cache is not complete (attribute complete is not 1): ", path);
    FLAGEN_USER_CHECK(UserFault::kInputFile, holds("schema_version", kTrackCacheSchema),
                      "track cache has another schema version than ", kTrackCacheSchema, ": ",
                      path);
    FLAGEN_USER_CHECK(UserFault::kInputFile, holds("manifest_sha256", sha256_of(manifest_text)),
                      "track cache and the manifest.json beside it do not belong together: ", path,
                      "; build it again");
}

void refuse_if_stale(const TrackManifest& manifest, const TrackCacheInputs& inputs,
                     const std::string& path) {
    const std::vector<std::string> reasons = stale_reasons(manifest, inputs, nullptr);
    if (reasons.empty()) {
        return;
    }
    std::string text = "track cache is stale: " + path;
    for (const std::string& reason : reasons) {
        text += "\n  " + reason;
    }
    throw UserError(UserFault::kInputFile, text + "\n  build it again with flagen data");
}

WindowList read_windows(const Hdf5File& file, const WindowGeometry& geometry,
                        const std::string& path) {
    const auto contigs = file.read_strings("/chrom");
    const auto starts = file.read_int64("/start");
    const auto ends = file.read_int64("/end");
    const auto labels = file.read_strings("/label");
    FLAGEN_USER_CHECK(UserFault::kInputFile,
                      starts.size() == contigs.size() && ends.size() == contigs.size() &&
                          labels.size() == contigs.size(),
                      "columns of the windows differ in length: ", path);
    WindowList list;
    list.geometry = geometry;
    for (std::size_t i = 0; i < contigs.size(); ++i) {
        FLAGEN_USER_CHECK(UserFault::kInputFile, ends[i] - starts[i] == geometry.output_bp(),
                          "window ", i, " is not as long as the manifest says: ", path);
        list.windows.push_back({contigs[i], starts[i], ends[i], labels[i]});
    }
    return list;
}

}  // namespace

struct TrackCacheSource::State {
    State(const std::string& folder, const TrackCacheInputs& inputs)
        : path(cache_file(folder)), num_tracks(inputs.table.num_tracks()) {
        FLAGEN_USER_CHECK(UserFault::kInputFile, has_track_cache(folder),
                          "folder holds no finished track cache: ", folder,
                          "; make one with flagen data");
        const std::string manifest_path = manifest_file(folder);
        const std::string text = read_whole_file(manifest_path, UserFault::kInputFile);
        const TrackManifest manifest = TrackManifest::read(manifest_path);
        refuse_if_stale(manifest, inputs, path);
        file.emplace(Hdf5File::open_for_reading(path));
        check_attributes(file->read_attributes(), text, path);
        windows = read_windows(*file, manifest.geometry, path);
        const auto layout = file->chunked_layout(kTargetsName, 3);
        type = layout.type;
        const std::int64_t bins = manifest.geometry.num_bins();
        const std::vector<std::int64_t> sizes = {static_cast<std::int64_t>(windows.windows.size()),
                                                 bins, num_tracks};
        const std::vector<std::int64_t> chunk = {1, bins, tracks_per_chunk(num_tracks)};
        FLAGEN_USER_CHECK(UserFault::kInputFile, layout.sizes == sizes && layout.chunk == chunk,
                          path, ": ", kTargetsName, " has other sizes than its manifest says");
        for (std::size_t row = 0; row < windows.windows.size(); ++row) {
            // Equal windows hold equal values, so either row will do.
            row_of.emplace(std::pair(windows.windows[row].contig, windows.windows[row].start_bp),
                           static_cast<std::int64_t>(row));
        }
    }

    [[nodiscard]] std::optional<std::int64_t> row(const std::string& contig, std::int64_t start_bp,
                                                  std::int64_t num_bins) const {
        const auto found = row_of.find({contig, start_bp});
        if (found == row_of.end() || num_bins != windows.geometry.num_bins()) {
            return std::nullopt;
        }
        return found->second;
    }

    std::string path;
    std::int64_t num_tracks;
    std::optional<Hdf5File> file;
    ElementType type = ElementType::kFloat32;
    WindowList windows;
    std::map<std::pair<std::string, std::int64_t>, std::int64_t> row_of;
};

TrackCacheSource::TrackCacheSource(const std::string& folder, const TrackCacheInputs& inputs)
    : state_(std::make_unique<State>(folder, inputs)) {}

TrackCacheSource::~TrackCacheSource() = default;

std::int64_t TrackCacheSource::num_tracks() const { return state_->num_tracks; }
std::int64_t TrackCacheSource::bin_bp() const { return state_->windows.geometry.bin_bp; }
const WindowList& TrackCacheSource::windows() const { return state_->windows; }

bool TrackCacheSource::holds(const std::string& contig, std::int64_t start_bp,
                             std::int64_t num_bins) const {
    return state_->row(contig, start_bp, num_bins).has_value();
}

void TrackCacheSource::read(const std::string& contig, std::int64_t start_bp, std::int64_t num_bins,
                            std::span<float> out) const {
    const std::optional<std::int64_t> row = state_->row(contig, start_bp, num_bins);
    FLAGEN_CHECK(row.has_value(), "track cache does not hold ", num_bins, " bins at ", contig, ":",
                 start_bp, " (", state_->path, ")");
    const auto bins = static_cast<std::size_t>(num_bins);
    const auto tracks = static_cast<std::size_t>(num_tracks());
    FLAGEN_CHECK_EQ(out.size(), bins * tracks, "values");
    const std::string source = state_->path + ", window " + contig + ":" + std::to_string(start_bp);
    const auto width = static_cast<std::size_t>(tracks_per_chunk(num_tracks()));
    if (width == tracks) {
        decode_chunk(state_->file->read_chunk(kTargetsName, {*row, 0, 0}), state_->type, out,
                     source);
        return;
    }
    std::vector<float> chunk(bins * width);
    for (std::size_t first = 0; first < tracks; first += width) {
        decode_chunk(
            state_->file->read_chunk(kTargetsName, {*row, 0, static_cast<std::int64_t>(first)}),
            state_->type, chunk, source);
        const std::size_t count = std::min(width, tracks - first);
        for (std::size_t bin = 0; bin < bins; ++bin) {
            std::copy_n(chunk.begin() + static_cast<std::ptrdiff_t>(bin * width), count,
                        out.begin() + static_cast<std::ptrdiff_t>(bin * tracks + first));
        }
    }
}

}  // namespace flagen::data
