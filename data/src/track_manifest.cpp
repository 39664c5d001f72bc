#include "flagen/data/track_manifest.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include "flagen/error.h"
#include "flagen/json_object.h"
#include "flagen/sha256.h"

namespace flagen::data {
namespace {

constexpr std::int64_t kSchemaVersion = 1;

std::string contigs_digest(const genomics::ContigTable& contigs) {
    Sha256 sha;
    for (std::size_t i = 0; i < contigs.size(); ++i) {
        sha.update(contigs.at(i).name + "\t" + std::to_string(contigs.at(i).length_bp) + "\n");
    }
    return sha.hex();
}

/// Size and time of a file; nothing if there is none.
std::optional<FileIdentity> stat_of(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        return std::nullopt;
    }
    FileIdentity identity;
    identity.path = std::filesystem::absolute(path).lexically_normal().string();
    identity.size_bytes = status.st_size;
    identity.mtime_ns =
        static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
    return identity;
}

FileIdentity identity_of(const std::string& path) {
    std::optional<FileIdentity> identity = stat_of(path);
    FLAGEN_USER_CHECK(UserFault::kInputFile, identity.has_value(), "cannot open: ", path, ": ",
                      std::strerror(errno));
    identity->sha256 = sha256_of_file(path);
    return *identity;
}

std::vector<FileIdentity> identities_of(const TrackTable& table, int num_threads) {
    std::vector<FileIdentity> identities(table.tracks.size());
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t i = next++; i < identities.size(); i = next++) {
            identities[i] = identity_of(table.tracks[i].file);
        }
    };
    std::vector<std::exception_ptr> failures(static_cast<std::size_t>(std::max(num_threads, 1)));
    std::vector<std::thread> threads;
    for (std::exception_ptr& failure : failures) {
        threads.emplace_back([&work, &failure] {
            try {
                work();
            } catch (...) {
                failure = std::current_exception();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (const std::exception_ptr& failure : failures) {
        if (failure) {
            std::rethrow_exception(failure);
        }
    }
    return identities;
}

std::string short_digest(const std::string& digest) {
    return digest.empty() ? "none" : digest.substr(0, 12);
}

template <typename Value>
void compare(const char* what, const Value& then, const Value& now,
             std::vector<std::string>& reasons) {
    if (!(then == now)) {
        reasons.push_back(detail::concatenate(what, " was ", then, ", is ", now));
    }
}

void compare_file(const FileIdentity& then, const std::string& path,
                  std::vector<std::string>& reasons) {
    const std::optional<FileIdentity> now = stat_of(path);
    if (!now) {
        return;
    }
    if (now->size_bytes != then.size_bytes) {
        reasons.push_back(detail::concatenate("bigWig has ", now->size_bytes, " bytes, had ",
                                              then.size_bytes, ": ", path));
    } else if (now->mtime_ns != then.mtime_ns && sha256_of_file(path) != then.sha256) {
        reasons.push_back("bigWig has other content: " + path);
    }
}

}  // namespace

std::string TrackManifest::to_json_text() const {
    JsonObject json;
    json.set("schema_version", kSchemaVersion);
    json.set("kind", "track_cache");
    json.set("contigs_sha256", contigs_sha256);
    json.set("targets_sha256", targets_sha256);
    json.set("windows_sha256", windows_sha256);
    json.set("blacklist_sha256", blacklist_sha256);
    json.set("transform", transform);
    json.set("dtype", dtype);
    json.set("seq_length", geometry.seq_length_bp);
    json.set("crop_bp", geometry.crop_bp);
    json.set("bin_bp", geometry.bin_bp);
    json.set("num_windows", num_windows);
    for (const FileIdentity& file : files) {
        JsonObject entry = json.append_object("files");
        entry.set("path", file.path);
        entry.set("size", file.size_bytes);
        // Nanoseconds are above 2^53, where JSON numbers are no longer whole.
        entry.set("mtime_ns", std::to_string(file.mtime_ns));
        entry.set("sha256", file.sha256);
    }
    return json.dump(1) + "\n";
}

std::string TrackManifest::inputs_digest() const {
    std::string text = detail::concatenate(
        kSchemaVersion, '\n', contigs_sha256, '\n', targets_sha256, '\n', windows_sha256, '\n',
        blacklist_sha256, '\n', transform, ' ', dtype, ' ', geometry.output_bp(), ' ',
        geometry.bin_bp, ' ', num_windows);
    for (const FileIdentity& file : files) {
        text.append("\n").append(file.sha256);
    }
    return sha256_of(text);
}

TrackManifest TrackManifest::read(const std::string& path) {
    JsonObject json = JsonObject::read_file(path, UserFault::kInputFile);
    const std::int64_t version = json.require_int("schema_version");
    FLAGEN_USER_CHECK(UserFault::kInputFile, version == kSchemaVersion,
                      "track cache has schema version ", version, ", this program reads ",
                      kSchemaVersion, ": ", path);
    json.require_choice("kind", {"track_cache"});
    constexpr std::int64_t kMax = std::int64_t{1} << 50;
    TrackManifest manifest;
    manifest.contigs_sha256 = json.require_string("contigs_sha256");
    manifest.targets_sha256 = json.require_string("targets_sha256");
    manifest.windows_sha256 = json.require_string("windows_sha256");
    manifest.blacklist_sha256 = json.require_string("blacklist_sha256");
    manifest.transform = json.require_choice("transform", {"old", "new", "none"});
    manifest.dtype = json.require_choice("dtype", {"f32", "f16"});
    manifest.geometry.seq_length_bp = json.require_int("seq_length", 1, kMax);
    manifest.geometry.crop_bp = json.require_int("crop_bp", 0, kMax);
    manifest.geometry.bin_bp = json.require_int("bin_bp", 1, kMax);
    manifest.num_windows = json.require_int("num_windows", 1, kMax);
    for (JsonObject& entry : json.get_objects("files")) {
        FileIdentity file;
        file.path = entry.require_string("path");
        file.size_bytes = entry.require_int("size", 0, kMax);
        const std::string mtime = entry.require_string("mtime_ns");
        char* end = nullptr;
        file.mtime_ns = std::strtoll(mtime.c_str(), &end, 10);
        if (mtime.empty() || *end != '\0') {
            entry.add_problem("mtime_ns", "is not a whole number: " + mtime);
        }
        file.sha256 = entry.require_string("sha256");
        manifest.files.push_back(std::move(file));
    }
    json.finish();
    json.problems().throw_if_any(path, UserFault::kInputFile);
    return manifest;
}

TrackManifest make_track_manifest(const TrackCacheInputs& inputs, const WindowList& windows,
                                  int num_threads) {
    TrackManifest manifest;
    manifest.contigs_sha256 = contigs_digest(inputs.contigs);
    manifest.targets_sha256 = inputs.table.digest();
    manifest.windows_sha256 = sha256_of(bed_text(windows.windows));
    manifest.blacklist_sha256 = inputs.blacklist.digest();
    manifest.transform = inputs.transform;
    manifest.dtype = inputs.half ? "f16" : "f32";
    manifest.geometry = inputs.geometry;
    manifest.num_windows = static_cast<std::int64_t>(windows.windows.size());
    manifest.files = identities_of(inputs.table, num_threads);
    return manifest;
}

std::vector<std::string> stale_reasons(const TrackManifest& manifest,
                                       const TrackCacheInputs& inputs, const WindowList* windows) {
    std::vector<std::string> reasons;
    compare("transform", manifest.transform, inputs.transform, reasons);
    compare("bin in bp", manifest.geometry.bin_bp, inputs.geometry.bin_bp, reasons);
    compare("output of a window in bp", manifest.geometry.output_bp(), inputs.geometry.output_bp(),
            reasons);
    compare("digest of the contig lengths", short_digest(manifest.contigs_sha256),
            short_digest(contigs_digest(inputs.contigs)), reasons);
    compare("digest of the track table", short_digest(manifest.targets_sha256),
            short_digest(inputs.table.digest()), reasons);
    compare("digest of the blacklist", short_digest(manifest.blacklist_sha256),
            short_digest(inputs.blacklist.digest()), reasons);
    if (windows != nullptr) {
        compare("digest of the windows", short_digest(manifest.windows_sha256),
                short_digest(sha256_of(bed_text(windows->windows))), reasons);
    }
    if (manifest.files.size() != inputs.table.tracks.size()) {
        compare("number of tracks", manifest.files.size(), inputs.table.tracks.size(), reasons);
        return reasons;
    }
    for (std::size_t i = 0; i < manifest.files.size(); ++i) {
        compare_file(manifest.files[i], inputs.table.tracks[i].file, reasons);
    }
    return reasons;
}

}  // namespace flagen::data
