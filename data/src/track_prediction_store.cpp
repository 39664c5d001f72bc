#include "flagen/data/track_prediction_store.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "chunk_codec.h"
#include "flagen/atomic_file.h"
#include "flagen/error.h"
#include "flagen/sha256.h"
#include "hdf5_file.h"
#include "track_cache_layout.h"
#include "chunk_journal.h"

namespace flagen::data {
namespace {

constexpr std::int64_t kSchemaVersion = 1;
constexpr int kDeflateLevel = 1;
constexpr const char* kPredictions = "/preds";

std::string digest_of(const std::string& run_digest, const std::vector<PredictedRegion>& regions,
                      const PredictedTracks& tracks, std::int64_t num_bins, bool summed) {
    Sha256 hash;
    hash.update(run_digest);
    for (const PredictedRegion& region : regions) {
        hash.update(detail::concatenate('\n', region.contig, '\t', region.start_bp, '\t',
                                        region.end_bp, '\t', region.strand, '\t',
                                        int{static_cast<std::uint8_t>(region.status)}));
    }
    for (const std::string& id : tracks.ids) {
        hash.update("\n" + id);
    }
    hash.update(detail::concatenate('\n', num_bins, ' ', summed));
    return hash.hex();
}

void write_regions(Hdf5File& file, const std::vector<PredictedRegion>& regions) {
    std::vector<std::string> contigs;
    std::vector<std::string> strands;
    std::vector<std::int64_t> starts;
    std::vector<std::int64_t> ends;
    std::vector<std::uint8_t> statuses;
    std::vector<std::uint16_t> bits;
    for (const PredictedRegion& region : regions) {
        contigs.push_back(region.contig);
        strands.emplace_back(1, region.strand);
        starts.push_back(region.start_bp);
        ends.push_back(region.end_bp);
        statuses.push_back(static_cast<std::uint8_t>(region.status));
        bits.push_back(static_cast<std::uint16_t>(1U << statuses.back()));
    }
    file.write_strings("/chrom", contigs);
    file.write_int64("/start", starts);
    file.write_int64("/end", ends);
    file.write_strings("/strand", strands);
    file.write_uint8("/status", statuses);
    file.write_uint16("/status_bits", bits);
    file.write_strings("/status_text", row_status_names());
}

std::int64_t require_int(const Attributes& attributes, const std::string& name,
                         const std::string& path) {
    const auto found = attributes.find(name);
    const auto* value =
        found == attributes.end() ? nullptr : std::get_if<std::int64_t>(&found->second);
    if (value == nullptr) {
        throw_user_error(UserFault::kInputFile, "lacks the number ", name, ": ", path);
    }
    return *value;
}

}  // namespace

PredictedTracks PredictedTracks::of(const TrackTable& table) {
    PredictedTracks tracks;
    for (const Track& track : table.tracks) {
        tracks.ids.push_back(track.identifier);
        tracks.labels.push_back(track.description);
        tracks.assays.push_back(track.group);
    }
    return tracks;
}

struct TrackPredictionWriter::State {
    std::string path;
    std::vector<PredictedRegion> regions;
    PredictedTracks tracks;
    std::int64_t num_bins = 0;  // of what add() takes
    bool summed = false;
    std::optional<ChunkJournal> part;

    [[nodiscard]] std::int64_t num_tracks() const {
        return static_cast<std::int64_t>(tracks.ids.size());
    }
    [[nodiscard]] std::int64_t stored_bins() const { return summed ? 1 : num_bins; }

    void append(std::int64_t row, std::span<const float> values) {
        const auto bins = static_cast<std::size_t>(stored_bins());
        const auto width = static_cast<std::size_t>(num_tracks());
        const auto chunk_width = static_cast<std::size_t>(tracks_per_chunk(num_tracks()));
        std::vector<std::vector<std::uint8_t>> chunks;
        for (std::size_t first = 0; first < width; first += chunk_width) {
            std::vector<float> chunk(bins * chunk_width, 0.0F);
            const std::size_t count = std::min(chunk_width, width - first);
            for (std::size_t bin = 0; bin < bins; ++bin) {
                std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(bin * width + first),
                            count,
                            chunk.begin() + static_cast<std::ptrdiff_t>(bin * chunk_width));
            }
            chunks.push_back(encode_chunk(chunk, ElementType::kFloat32, kDeflateLevel));
        }
        part->append(row, chunks);
    }

    void write_predictions(Hdf5File& file) const {
        const std::int64_t width = tracks_per_chunk(num_tracks());
        const auto num_rows = static_cast<std::int64_t>(regions.size());
        std::vector<std::int64_t> sizes{num_rows, num_bins, num_tracks()};
        std::vector<std::int64_t> chunk{1, num_bins, width};
        if (summed) {
            sizes.erase(sizes.begin() + 1);
            chunk.erase(chunk.begin() + 1);
        }
        file.create_chunked(kPredictions, ElementType::kFloat32, sizes, chunk);
        for (std::int64_t row = 0; row < num_rows; ++row) {
            for (std::int64_t i = 0; i < chunks_per_window(num_tracks()); ++i) {
                std::vector<std::int64_t> offset{row, 0, i * width};
                if (summed) {
                    offset.erase(offset.begin() + 1);
                }
                file.write_chunk(kPredictions, offset, part->read_chunk(row, i));
            }
        }
    }
};

TrackPredictionWriter::TrackPredictionWriter(const std::string& path, const std::string& run_digest,
                                             std::vector<PredictedRegion> regions,
                                             PredictedTracks tracks, std::int64_t num_bins,
                                             bool summed)
    : state_(std::make_unique<State>()) {
    FLAGEN_CHECK(!regions.empty() && !tracks.ids.empty() && num_bins > 0, regions.size(),
                 " regions, ", tracks.ids.size(), " tracks, ", num_bins, " bins for ", path);
    state_->path = path;
    state_->regions = std::move(regions);
    state_->tracks = std::move(tracks);
    state_->num_bins = num_bins;
    state_->summed = summed;
    state_->part.emplace(path + ".part",
                         digest_of(run_digest, state_->regions, state_->tracks, num_bins, summed),
                         static_cast<std::int64_t>(state_->regions.size()),
                         chunks_per_window(state_->num_tracks()), OtherInputs::kDiscard);
    // Rows that nothing is predicted for are done at once.
    const std::vector<float> nothing(
        static_cast<std::size_t>(state_->stored_bins() * state_->num_tracks()),
        std::numeric_limits<float>::quiet_NaN());
    for (std::size_t row = 0; row < state_->regions.size(); ++row) {
        if (!state_->regions[row].scored() && !is_done(static_cast<std::int64_t>(row))) {
            state_->append(static_cast<std::int64_t>(row), nothing);
        }
    }
}

TrackPredictionWriter::~TrackPredictionWriter() = default;

bool TrackPredictionWriter::is_done(std::int64_t row) const { return state_->part->is_done(row); }

bool TrackPredictionWriter::discarded_another_run() const { return state_->part->discarded_other(); }

std::int64_t TrackPredictionWriter::num_done() const { return state_->part->num_done(); }

void TrackPredictionWriter::add(std::int64_t row, std::span<const float> values) {
    FLAGEN_CHECK(!is_done(row), "row ", row, " is done already: ", state_->path);
    FLAGEN_CHECK_EQ(static_cast<std::int64_t>(values.size()),
                    state_->num_bins * state_->num_tracks(), "values of row ", row);
    if (!state_->summed) {
        state_->append(row, values);
        return;
    }
    const auto width = static_cast<std::size_t>(state_->num_tracks());
    std::vector<double> sums(width, 0.0);
    for (std::size_t i = 0; i < values.size(); ++i) {
        sums[i % width] += static_cast<double>(values[i]);
    }
    const std::vector<float> rounded(sums.begin(), sums.end());
    state_->append(row, rounded);
}

void TrackPredictionWriter::finish(const Attributes& attributes) {
    const auto num_rows = static_cast<std::int64_t>(state_->regions.size());
    FLAGEN_CHECK_EQ(num_done(), num_rows, "rows missing in ", state_->path);
    const std::string unfinished = state_->path + ".assembling";
    std::filesystem::remove(unfinished);  // of a run that was killed here; the part's lock keeps others away
    Hdf5File file = Hdf5File::create(unfinished);
    state_->write_predictions(file);
    write_regions(file, state_->regions);
    file.write_strings("/target_ids", state_->tracks.ids);
    file.write_strings("/target_labels", state_->tracks.labels);
    file.write_strings("/target_assay", state_->tracks.assays);
    for (const auto& [name, value] : attributes) {
        file.write_attribute(name, value);
    }
    file.write_attribute("schema_version", kSchemaVersion);
    file.write_attribute("rows_done", num_rows);
    file.write_attribute("num_bins", state_->stored_bins());
    file.write_attribute("summed", std::int64_t{state_->summed});
    file.write_attribute("complete", std::int64_t{1});
    file.flush_and_close();
    fsync_path(unfinished);
    rename_durably(unfinished, state_->path);
    state_->part->remove();
}

struct TrackPredictionReader::State {
    explicit State(const std::string& path_)
        : path(path_), file(Hdf5File::open_for_reading(path_)) {}

    std::string path;
    Hdf5File file;
    Attributes attributes;
    std::vector<PredictedRegion> regions;
    PredictedTracks tracks;
    std::int64_t num_bins = 0;
    bool summed = false;
};

TrackPredictionReader::TrackPredictionReader(const std::string& path)
    : state_(std::make_unique<State>(path)) {
    State& state = *state_;
    state.attributes = state.file.read_attributes();
    FLAGEN_USER_CHECK(UserFault::kInputFile, require_int(state.attributes, "complete", path) == 1,
                      "predictions are not complete (attribute complete is not 1): ", path);
    const std::int64_t schema = require_int(state.attributes, "schema_version", path);
    FLAGEN_USER_CHECK(UserFault::kInputFile, schema == kSchemaVersion,
                      "prediction file has schema version ", schema, ", this program reads ",
                      kSchemaVersion, ": ", path);
    state.num_bins = require_int(state.attributes, "num_bins", path);
    state.summed = require_int(state.attributes, "summed", path) == 1;
    state.tracks = {state.file.read_strings("/target_ids"),
                    state.file.read_strings("/target_labels"),
                    state.file.read_strings("/target_assay")};
    const auto contigs = state.file.read_strings("/chrom");
    const auto starts = state.file.read_int64("/start");
    const auto ends = state.file.read_int64("/end");
    const auto strands = state.file.read_strings("/strand");
    const auto statuses = state.file.read_uint8("/status");
    const std::size_t num_rows = contigs.size();
    const std::size_t num_tracks = state.tracks.ids.size();
    FLAGEN_USER_CHECK(UserFault::kInputFile,
                      starts.size() == num_rows && ends.size() == num_rows &&
                          strands.size() == num_rows && statuses.size() == num_rows &&
                          state.tracks.labels.size() == num_tracks &&
                          state.tracks.assays.size() == num_tracks,
                      "datasets differ in length: ", path);
    for (std::size_t row = 0; row < num_rows; ++row) {
        FLAGEN_USER_CHECK(UserFault::kInputFile, statuses[row] < row_status_names().size(),
                          "unknown status ", int{statuses[row]}, " of row ", row, ": ", path);
        state.regions.push_back({contigs[row], starts[row], ends[row],
                                 strands[row].empty() ? '+' : strands[row][0],
                                 static_cast<RowStatus>(statuses[row])});
    }
    const auto layout = state.file.chunked_layout(kPredictions, state.summed ? 2 : 3);
    std::vector<std::int64_t> wanted{static_cast<std::int64_t>(num_rows), state.num_bins,
                                     static_cast<std::int64_t>(num_tracks)};
    std::vector<std::int64_t> chunk{1, state.num_bins, tracks_per_chunk(wanted[2])};
    if (state.summed) {
        wanted.erase(wanted.begin() + 1);
        chunk.erase(chunk.begin() + 1);
    }
    FLAGEN_USER_CHECK(UserFault::kInputFile, layout.sizes == wanted && layout.chunk == chunk,
                      "preds has other sizes than the regions, bins and tracks say: ", path);
}

TrackPredictionReader::~TrackPredictionReader() = default;
TrackPredictionReader::TrackPredictionReader(TrackPredictionReader&&) noexcept = default;

const std::vector<PredictedRegion>& TrackPredictionReader::regions() const {
    return state_->regions;
}
const PredictedTracks& TrackPredictionReader::tracks() const { return state_->tracks; }
const Attributes& TrackPredictionReader::attributes() const { return state_->attributes; }
std::int64_t TrackPredictionReader::num_bins() const { return state_->num_bins; }
bool TrackPredictionReader::summed() const { return state_->summed; }

std::vector<float> TrackPredictionReader::read(std::int64_t row) const {
    const auto bins = static_cast<std::size_t>(state_->num_bins);
    const std::size_t width = state_->tracks.ids.size();
    const auto chunk_width =
        static_cast<std::size_t>(tracks_per_chunk(static_cast<std::int64_t>(width)));
    std::vector<float> values(bins * width);
    std::vector<float> chunk(bins * chunk_width);
    for (std::size_t first = 0; first < width; first += chunk_width) {
        std::vector<std::int64_t> offset{row, 0, static_cast<std::int64_t>(first)};
        if (state_->summed) {
            offset.erase(offset.begin() + 1);
        }
        decode_chunk(state_->file.read_chunk(kPredictions, offset), ElementType::kFloat32, chunk,
                     state_->path);
        const std::size_t count = std::min(chunk_width, width - first);
        for (std::size_t bin = 0; bin < bins; ++bin) {
            std::copy_n(chunk.begin() + static_cast<std::ptrdiff_t>(bin * chunk_width), count,
                        values.begin() + static_cast<std::ptrdiff_t>(bin * width + first));
        }
    }
    return values;
}

bool holds_track_predictions(const std::string& path) {
    return Hdf5File::open_for_reading(path).has("preds");
}

}  // namespace flagen::data
