#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "flagen/data/row_status.h"

namespace flagen::data {

/// Value of one attribute of the file.
using AttributeValue = std::variant<std::string, std::int64_t, double>;
using Attributes = std::map<std::string, AttributeValue>;

/// One gene of the file, all but its predicted values. Half-open, 0-based, in bp.
struct PredictedGene {
    std::string id;
    std::string split;  ///< train, valid, test or none.
    std::string contig;
    char strand = '.';  ///< '+', '-' or '.'.
    std::int64_t start_bp = 0;
    std::int64_t end_bp = 0;
    std::int64_t window_start_bp = 0;  ///< Of the window that it was predicted from; may be < 0.
    RowStatus status = RowStatus::kOk;

    friend bool operator==(const PredictedGene&, const PredictedGene&) = default;
};

/// Writes gene predictions to HDF5. The file appears under its name only when it is complete.
///
/// Layout, G genes and S samples:
///
///     /genes/id S[G]  pred f32 [G, S]  split S[G]  chrom S[G]  strand S1[G]
///            start i64[G]  end i64[G]  window i64[G]  status u8[G]  samples S[S]
///     /status_text S[11]
///
/// S are fixed-length, null-padded UTF-8 strings. `pred` is chunked by rows and every dataset has
/// shuffle, gzip and fletcher32, so damage is an error on reading and a plain h5py opens the file.
/// A row without a prediction is NaN and says why in `status`.
///
/// Rows are written in blocks, in order. finish() writes the attributes (the caller's, then
/// `schema_version`, `rows_done` and last of all `complete` = 1), flushes to the disk and renames.
/// An object that dies before removes its part file; a killed process leaves `<path>.part-<pid>`
/// only.
///
/// Needs the whole gene list at the start for the widths of the strings. One thread at a time in
/// the whole process: the distributions' HDF5 is not thread-safe.
class GenePredictionWriter {
  public:
    /// @throws UserError (kConfig) if the part file cannot be created; Error if a write fails or a
    ///         string holds a NUL byte.
    GenePredictionWriter(const std::string& path, std::vector<PredictedGene> genes,
                         const std::vector<std::string>& samples);
    ~GenePredictionWriter();
    GenePredictionWriter(const GenePredictionWriter&) = delete;
    GenePredictionWriter& operator=(const GenePredictionWriter&) = delete;

    /// Appends rows, row-major [n, S]: the next n genes of the list.
    /// @throws Error naming file, dataset and reason if the write fails, or if the block is no
    ///         multiple of S or goes past the last gene.
    void append(std::span<const float> predictions);

    /// Writes the attributes and publishes the file. Once only.
    /// @throws Error if rows are missing or a step fails; an older file at `path` is then
    /// untouched.
    void finish(const Attributes& attributes);

    [[nodiscard]] std::int64_t rows_done() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// A whole file in memory.
struct GenePredictions {
    std::vector<PredictedGene> genes;
    std::vector<std::string> samples;
    std::vector<float> values;  ///< [G, S] row-major; NaN where nothing was predicted.
    Attributes attributes;
};

/// Reads a file that GenePredictionWriter made.
///
/// Meant for our own files: ranks, types, sizes and `complete` are checked before anything is
/// allocated, filter plug-ins are not loaded, external and virtual storage and links are refused.
///
/// @throws UserError (kInputFile) naming file, dataset and reason.
[[nodiscard]] GenePredictions read_gene_predictions(const std::string& path);

}  // namespace flagen::data
