#include "apps/runtime/run_record.h"

#include <ATen/Parallel.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <utility>

#include "apps/runtime/build_info.h"
#include "apps/runtime/run_data.h"
#include "flagen/atomic_file.h"
#include "flagen/error.h"
#include "flagen/json_object.h"
#include "flagen/sha256.h"

namespace flagen::apps {

namespace {

// Of what decides the targets. A cache's manifest holds digests of all its inputs; bigWigs themselves can be large,
// so that only their sizes count here.
std::string digest_of_tracks(const TrackTargetsConfig& config, const data::TrackTable& table) {
    std::string text = table.digest();
    if (!config.cache.empty()) {
        const auto manifest = std::filesystem::path(config.cache) / "manifest.json";
        return sha256_of(text.append("\n").append(sha256_of_file(manifest.string())));
    }
    for (const data::Track& track : table.tracks) {
        text += detail::concatenate('\n', std::filesystem::file_size(track.file));
    }
    if (!config.blacklist.empty()) {
        text.append("\n").append(sha256_of_file(config.blacklist));
    }
    return sha256_of(text);
}

}  // namespace

InputDigests InputDigests::of(const DataConfig& config, const RunData& data) {
    InputDigests digests;
    digests.section = config.head();
    digests.genome_md5 = data.reference->summary().md5;
    if (config.genes) {
        digests.matrix_sha256 = sha256_of_file(config.genes->matrix);
        digests.annotation_sha256 = sha256_of_file(config.genes->annotation);
    }
    if (data.tracks) {
        digests.tracks_sha256 = digest_of_tracks(*config.tracks, data.tracks->table);
    }
    return digests;
}

std::string digest_of_run(const RunConfig& config, const std::vector<InputDigests>& inputs) {
    std::string text = config.digest();
    for (const InputDigests& of : inputs) {
        text += "\n" + of.genome_md5 + "\n" + of.matrix_sha256 + "\n" + of.annotation_sha256 + "\n" + of.tracks_sha256;
    }
    return sha256_of(text);
}

std::string quoted_command(const std::string& command, const std::vector<std::string>& arguments) {
    std::string text = "flagen " + command;
    for (const std::string& argument : arguments) {
        const bool plain = !argument.empty() &&
                           argument.find_first_of(" \t\n\"'\\$`&|;<>()*?[]{}!#~") == std::string::npos;
        text += ' ';
        if (plain) {
            text += argument;
            continue;
        }
        text += '\'';
        for (const char c : argument) {
            text += c == '\'' ? std::string("'\\''") : std::string(1, c);
        }
        text += '\'';
    }
    return text;
}

std::string utc_now() {
    std::time_t now = std::time(nullptr);
    if (const char* fixed = std::getenv("SOURCE_DATE_EPOCH")) {
        now = static_cast<std::time_t>(std::strtoll(fixed, nullptr, 10));
    }
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[32];
    std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

void write_run_record(const std::string& path, const std::string& command_line, const RunDevice& device,
                      models::Precision precision, const std::vector<InputDigests>& inputs) {
    JsonObject root;
    root.set("command_line", command_line);
    root.set("started_utc", utc_now());
    root.set("host", host_description());
    root.set("threads", static_cast<std::int64_t>(at::get_num_threads()));
    root.set("device", device.text());
    root.set("precision", models::precision_name(precision));
    JsonObject versions = root.set_object("versions");
    for (const auto& [name, version] : library_versions()) {
        versions.set(name, version);
    }
    JsonObject digests = root.set_object("inputs");
    for (const InputDigests& of : inputs) {
        const std::string prefix = inputs.size() == 1 ? "" : of.section + "_";
        for (const auto& [name, digest] : {std::pair{"genome_md5", &of.genome_md5},
                                           {"matrix_sha256", &of.matrix_sha256},
                                           {"annotation_sha256", &of.annotation_sha256},
                                           {"tracks_sha256", &of.tracks_sha256}}) {
            if (!digest->empty()) {
                digests.set(prefix + name, *digest);
            }
        }
    }
    write_file_atomically(path, root.dump(2) + "\n");
}

}  // namespace flagen::apps
