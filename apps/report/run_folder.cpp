#include "apps/report/run_folder.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>

#include "flagen/atomic_file.h"
#include "flagen/error.h"
#include "flagen/json_object.h"
#include "flagen/models/checkpoint_folder.h"

namespace flagen::apps::report {
namespace {

namespace fs = std::filesystem;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();  // JSON cannot write it

std::vector<std::pair<std::string, std::string>> texts_of(JsonObject object) {
    std::vector<std::pair<std::string, std::string>> texts;
    for (const std::string& key : object.keys()) {
        texts.emplace_back(key, object.get_string(key, ""));
    }
    return texts;
}

// Every key whose value is a number.
std::map<std::string, double> numbers_of(JsonObject& object) {
    std::map<std::string, double> numbers;
    for (const std::string& key : object.keys()) {
        const double value = object.get_number(key, kNone);
        if (std::isfinite(value)) {
            numbers.emplace(key, value);
        }
    }
    return numbers;
}

RunRecord read_record(const std::string& path) {
    JsonObject root = JsonObject::read_file(path, UserFault::kInputFile);
    RunRecord record;
    record.command_line = root.get_string("command_line", "");
    record.started_utc = root.get_string("started_utc", "");
    record.host = root.get_string("host", "");
    record.device = root.get_string("device", "");
    record.threads = root.get_int("threads", 0);
    record.versions = texts_of(root.get_object("versions"));
    record.inputs = texts_of(root.get_object("inputs"));
    return record;
}

MetricsHistory read_metrics(const std::string& path) {
    MetricsHistory history;
    std::istringstream lines(read_whole_file(path, UserFault::kInputFile));
    for (std::string line; std::getline(lines, line);) {
        if (line.empty()) {
            continue;
        }
        try {
            JsonObject object = JsonObject::parse(line, path, UserFault::kInputFile);
            const double step = object.get_number("step", kNone);
            if (!std::isfinite(step)) {
                ++history.num_unreadable_lines;
                continue;
            }
            const std::string head = object.get_string("head", "");
            history.last_step = std::max(history.last_step, static_cast<std::int64_t>(step));
            for (const auto& [key, value] : numbers_of(object)) {
                if (key != "step") {
                    history.columns[key][head].push_back({step, value});
                }
            }
        } catch (const UserError&) {
            ++history.num_unreadable_lines;
        }
    }
    return history;
}

std::vector<TrackResult> read_tracks(JsonObject section) {
    std::vector<TrackResult> results;
    for (JsonObject& entry : section.get_objects("results")) {
        TrackResult result;
        result.head = entry.get_string("head", "");
        result.predictor = entry.get_string("predictor", "");
        result.split = entry.get_string("split", "");
        result.scale = entry.get_string("scale", "");
        result.num_bins = entry.get_int("num_bins", 0);
        result.pearson = entry.get_number("pearson", kNone);
        result.r2 = entry.get_number("r2", kNone);
        for (JsonObject& track : entry.get_objects("per_track")) {
            result.per_track.push_back({track.get_string("identifier", ""), track.get_number("pearson", kNone)});
        }
        results.push_back(std::move(result));
    }
    return results;
}

EvaluationFile read_evaluation(const std::string& path) {
    JsonObject root = JsonObject::read_file(path, UserFault::kInputFile);
    EvaluationFile file;
    file.scale = root.get_string("scale", "");
    file.transform = root.get_string("transform", "");
    file.shifts = root.get_string("shifts", "");
    file.strand_policy = root.get_string("strand_policy", "");
    file.model_sha256 = root.get_string("model_sha256", "");
    if (root.has("rc")) {
        file.reverse_complement = root.get_bool("rc", false);
    }
    for (JsonObject& entry : root.get_objects("results")) {
        const std::string predictor = entry.get_string("predictor", "");
        const std::string split = entry.get_string("split", "");
        file.results.push_back({predictor, split, numbers_of(entry)});
    }
    file.tracks = read_tracks(root.get_object("tracks"));
    return file;
}

// "done: 300 steps in 4:38, ...": what follows the time stamp of the last such line.
std::string last_done_line(const std::string& path) {
    std::string found;
    std::istringstream lines(read_whole_file(path, UserFault::kInputFile));
    for (std::string line; std::getline(lines, line);) {
        const std::size_t place = line.find(" done: ");
        if (place != std::string::npos) {
            found = line.substr(place + 7);
        }
    }
    return found;
}

std::optional<std::int64_t> step_of_hint(const fs::path& run) {
    const auto best = models::CheckpointFolder((run / "checkpoints").string()).hinted("best");
    if (!best) {
        return std::nullopt;
    }
    const std::string name = fs::path(*best).filename().string();
    const std::size_t digits = name.find_first_of("0123456789");
    if (digits == std::string::npos) {
        return std::nullopt;
    }
    return std::strtoll(name.c_str() + digits, nullptr, 10);
}

}  // namespace

const MetricsHistory::ByHead& MetricsHistory::of(const std::string& key) const {
    static const ByHead kNothing;
    const auto found = columns.find(key);
    return found == columns.end() ? kNothing : found->second;
}

bool MetricsHistory::several_heads() const {
    return std::any_of(columns.begin(), columns.end(), [](const auto& column) { return column.second.size() > 1; });
}

const ResultRow* EvaluationFile::find(const std::string& predictor, const std::string& split) const {
    const auto found = std::find_if(results.begin(), results.end(), [&](const ResultRow& row) {
        return row.predictor == predictor && row.split == split;
    });
    return found == results.end() ? nullptr : &*found;
}

RunFolder RunFolder::read(const std::string& path) {
    const fs::path root(path);
    for (const char* name : {"run.json", "config.json"}) {
        FLAGEN_USER_CHECK(UserFault::kConfig, fs::is_regular_file(root / name),
                          "not a run folder of `flagen train` (it has no ", name, "): ", path);
    }
    RunFolder run;
    run.path = path;
    run.name = fs::weakly_canonical(root).filename().string();
    run.record = read_record((root / "run.json").string());
    run.config_text = read_whole_file((root / "config.json").string(), UserFault::kInputFile);
    if (fs::exists(root / "metrics.jsonl")) {
        run.metrics = read_metrics((root / "metrics.jsonl").string());
    }
    if (fs::exists(root / "eval.json")) {
        run.evaluation = read_evaluation((root / "eval.json").string());
    }
    if (fs::exists(root / "log.txt")) {
        run.training_time = last_done_line((root / "log.txt").string());
    }
    run.best_step = step_of_hint(root);
    return run;
}

}  // namespace flagen::apps::report
