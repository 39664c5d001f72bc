#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/report/figures.h"

namespace flagen::apps::report {

/// run.json: how a run was made. Empty texts where the file says nothing.
struct RunRecord {
    std::string command_line;
    std::string started_utc;
    std::string host;
    std::string device;
    std::int64_t threads = 0;
    std::vector<std::pair<std::string, std::string>> versions;
    std::vector<std::pair<std::string, std::string>> inputs;  ///< Checksums by name.
};

/// metrics.jsonl as columns: the numbers of every key but "step", by step, for each head ("" where a line names none).
struct MetricsHistory {
    using ByHead = std::map<std::string, std::vector<Point>>;
    std::map<std::string, ByHead> columns;
    std::int64_t last_step = 0;
    std::int64_t num_unreadable_lines = 0;  ///< Skipped: cut off by a kill, or no JSON.

    /// The columns of the key; none if no line has it.
    [[nodiscard]] const ByHead& of(const std::string& key) const;
    /// Whether lines of more than one head were read: then a curve needs its head's name.
    [[nodiscard]] bool several_heads() const;
};

/// One entry of "results" of eval.json.
struct ResultRow {
    std::string predictor;
    std::string split;
    std::map<std::string, double> numbers;
};

/// One entry of "tracks.results" of eval.json: agreement over bins.
struct TrackResult {
    std::string head;
    std::string predictor;
    std::string split;
    std::string scale;  ///< squashed (as trained), raw or log1p
    std::int64_t num_bins = 0;
    double pearson = 0.0;  ///< Mean over tracks, NaN where undefined.
    double r2 = 0.0;
    std::vector<NamedValue> per_track;  ///< Pearson r of each.
};

/// eval.json.
struct EvaluationFile {
    std::string scale;
    std::string transform;
    std::string shifts;
    std::string strand_policy;
    std::string model_sha256;
    std::optional<bool> reverse_complement;  ///< Whether tracks were averaged with the reverse strand.
    std::vector<ResultRow> results;
    std::vector<TrackResult> tracks;  ///< Empty for a model of genes only.

    /// The row of one predictor on one split, or null.
    [[nodiscard]] const ResultRow* find(const std::string& predictor, const std::string& split) const;
};

/// What a run folder says about itself, without data or weights.
struct RunFolder {
    std::string path;
    std::string name;  ///< Last part of the absolute path.
    RunRecord record;
    std::string config_text;
    std::optional<MetricsHistory> metrics;     ///< Absent: no metrics.jsonl.
    std::optional<EvaluationFile> evaluation;  ///< Absent: no eval.json.
    std::string training_time;                 ///< The log's own sentence on the last session that ended; or empty.
    std::optional<std::int64_t> best_step;     ///< That checkpoints/best names.

    /// Reads `path`. Keys that this version does not know are passed over: other versions may have written them.
    /// @throws UserError (kConfig) if the folder is no run (it has no run.json or no config.json); (kInputFile) if one
    /// of
    ///         its JSON files is malformed.
    [[nodiscard]] static RunFolder read(const std::string& path);
};

}  // namespace flagen::apps::report
