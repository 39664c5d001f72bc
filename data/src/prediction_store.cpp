#include "flagen/data/prediction_store.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "flagen/atomic_file.h"
#include "flagen/error.h"
#include "hdf5_file.h"

namespace flagen::data {
namespace {

constexpr std::int64_t kSchemaVersion = 1;

template <typename T, typename Member>
std::vector<T> column(const std::vector<PredictedGene>& genes, Member member) {
    std::vector<T> values;
    values.reserve(genes.size());
    for (const PredictedGene& gene : genes) {
        values.push_back(static_cast<T>(gene.*member));
    }
    return values;
}

std::int64_t int_attribute(const Attributes& attributes, const std::string& name) {
    const auto found = attributes.find(name);
    const auto* value =
        found == attributes.end() ? nullptr : std::get_if<std::int64_t>(&found->second);
    return value == nullptr ? -1 : *value;
}

}  // namespace

const std::vector<std::string>& row_status_names() {
    static const std::vector<std::string> names = {"ok",
                                                   "ref_mismatch",
                                                   "alt_unparsable",
                                                   "out_of_bounds_padded",
                                                   "beyond_window",
                                                   "no_gene_overlap",
                                                   "n_fraction_high",
                                                   "empty_record",
                                                   "ref_is_alt",
                                                   "unknown_contig",
                                                   "indel_skipped"};
    return names;
}

struct GenePredictionWriter::State {
    std::string path;
    std::string part_path;
    std::int64_t num_genes = 0;
    std::int64_t num_samples = 0;
    std::int64_t rows_written = 0;
    std::vector<float> pending;  // rows of an unfinished chunk
    std::optional<Hdf5File> file;
    bool finished = false;

    void write_pending() {
        const auto rows = static_cast<std::int64_t>(pending.size()) / num_samples;
        if (rows > 0) {
            file->write_rows("/genes/pred", rows_written, rows, num_samples, pending);
            rows_written += rows;
            pending.clear();
        }
    }

    void discard() noexcept {
        file.reset();
        std::remove(part_path.c_str());
    }
};

GenePredictionWriter::GenePredictionWriter(const std::string& path,
                                           std::vector<PredictedGene> genes,
                                           const std::vector<std::string>& samples)
    : state_(std::make_unique<State>()) {
    FLAGEN_CHECK(!genes.empty() && !samples.empty(), genes.size(), " genes and ", samples.size(),
                 " samples for ", path);
    state_->path = path;
    state_->part_path = path + ".part-" + std::to_string(getpid());
    state_->num_genes = static_cast<std::int64_t>(genes.size());
    state_->num_samples = static_cast<std::int64_t>(samples.size());
    std::remove(state_->part_path.c_str());  // of a dead process that had the same number
    state_->file = Hdf5File::create(state_->part_path);
    try {
        Hdf5File& file = *state_->file;
        file.create_group("/genes");
        file.write_strings("/genes/id", column<std::string>(genes, &PredictedGene::id));
        file.write_strings("/genes/split", column<std::string>(genes, &PredictedGene::split));
        file.write_strings("/genes/chrom", column<std::string>(genes, &PredictedGene::contig));
        std::vector<std::string> strands;
        std::vector<std::uint8_t> statuses;
        for (const PredictedGene& gene : genes) {
            strands.emplace_back(1, gene.strand);
            statuses.push_back(static_cast<std::uint8_t>(gene.status));
        }
        file.write_strings("/genes/strand", strands);
        file.write_int64("/genes/start", column<std::int64_t>(genes, &PredictedGene::start_bp));
        file.write_int64("/genes/end", column<std::int64_t>(genes, &PredictedGene::end_bp));
        file.write_int64("/genes/window",
                         column<std::int64_t>(genes, &PredictedGene::window_start_bp));
        file.write_uint8("/genes/status", statuses);
        file.write_strings("/genes/samples", samples);
        file.write_strings("/status_text", row_status_names());
        file.create_matrix("/genes/pred", state_->num_genes, state_->num_samples);
    } catch (...) {
        state_->discard();
        throw;
    }
}

GenePredictionWriter::~GenePredictionWriter() {
    if (!state_->finished) {
        state_->discard();
    }
}

std::int64_t GenePredictionWriter::rows_done() const {
    return state_->rows_written +
           static_cast<std::int64_t>(state_->pending.size()) / state_->num_samples;
}

void GenePredictionWriter::append(std::span<const float> predictions) {
    FLAGEN_CHECK(!state_->finished, "append() after finish(): ", state_->path);
    const auto num_samples = static_cast<std::size_t>(state_->num_samples);
    FLAGEN_CHECK_EQ(predictions.size() % num_samples, std::size_t{0},
                    "values past the last row of ", state_->path);
    const auto num_rows = static_cast<std::int64_t>(predictions.size() / num_samples);
    FLAGEN_CHECK(rows_done() + num_rows <= state_->num_genes, rows_done() + num_rows, " rows of ",
                 state_->num_genes, " genes: ", state_->path);
    const auto chunk =
        static_cast<std::size_t>(Hdf5File::rows_per_chunk(state_->num_samples)) * num_samples;
    while (!predictions.empty()) {
        const std::size_t taken = std::min(chunk - state_->pending.size(), predictions.size());
        state_->pending.insert(state_->pending.end(), predictions.begin(),
                               predictions.begin() + static_cast<std::ptrdiff_t>(taken));
        predictions = predictions.subspan(taken);
        if (state_->pending.size() == chunk) {
            state_->write_pending();
        }
    }
}

void GenePredictionWriter::finish(const Attributes& attributes) {
    FLAGEN_CHECK(!state_->finished, "finish() twice: ", state_->path);
    FLAGEN_CHECK_EQ(rows_done(), state_->num_genes, "rows missing in ", state_->path);
    state_->write_pending();
    Hdf5File& file = *state_->file;
    for (const auto& [name, value] : attributes) {
        file.write_attribute(name, value);
    }
    file.write_attribute("schema_version", kSchemaVersion);
    file.write_attribute("rows_done", state_->rows_written);
    file.write_attribute("complete", std::int64_t{1});
    file.flush_and_close();
    fsync_path(state_->part_path);
    std::error_code error;
    std::filesystem::rename(state_->part_path, state_->path, error);
    FLAGEN_CHECK(!error, "cannot rename ", state_->part_path, " to ", state_->path, ": ",
                 error.message());
    state_->finished = true;
    const auto parent = std::filesystem::path(state_->path).parent_path();
    fsync_path(parent.empty() ? "." : parent.string());
}

GenePredictions read_gene_predictions(const std::string& path) {
    const Hdf5File file = Hdf5File::open_for_reading(path);
    GenePredictions result;
    result.attributes = file.read_attributes();
    FLAGEN_USER_CHECK(UserFault::kInputFile, int_attribute(result.attributes, "complete") == 1,
                      "predictions are not complete (attribute complete is not 1): ", path);
    const std::int64_t schema = int_attribute(result.attributes, "schema_version");
    FLAGEN_USER_CHECK(UserFault::kInputFile, schema == kSchemaVersion,
                      "prediction file has schema version ", schema, ", this program reads ",
                      kSchemaVersion, ": ", path);

    const auto ids = file.read_strings("/genes/id");
    const auto splits = file.read_strings("/genes/split");
    const auto contigs = file.read_strings("/genes/chrom");
    const auto strands = file.read_strings("/genes/strand");
    const auto starts = file.read_int64("/genes/start");
    const auto ends = file.read_int64("/genes/end");
    const auto windows = file.read_int64("/genes/window");
    const auto statuses = file.read_uint8("/genes/status");
    for (const std::size_t size : {splits.size(), contigs.size(), strands.size(), starts.size(),
                                   ends.size(), windows.size(), statuses.size()}) {
        FLAGEN_USER_CHECK(UserFault::kInputFile, size == ids.size(),
                          "datasets of /genes differ in length (", size, " and ", ids.size(),
                          "): ", path);
    }
    FLAGEN_USER_CHECK(
        UserFault::kInputFile,
        int_attribute(result.attributes, "rows_done") == static_cast<std::int64_t>(ids.size()),
        "attribute rows_done is not the number of genes: ", path);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        FLAGEN_USER_CHECK(UserFault::kInputFile, statuses[i] < row_status_names().size(),
                          "unknown status ", int{statuses[i]}, " of gene ", ids[i], ": ", path);
        result.genes.push_back({ids[i], splits[i], contigs[i],
                                strands[i].empty() ? '.' : strands[i][0], starts[i], ends[i],
                                windows[i], static_cast<RowStatus>(statuses[i])});
    }
    result.samples = file.read_strings("/genes/samples");
    result.values = file.read_matrix("/genes/pred", static_cast<std::int64_t>(ids.size()),
                                     static_cast<std::int64_t>(result.samples.size()));
    return result;
}

}  // namespace flagen::data
