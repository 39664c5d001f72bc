#include "flagen/models/checkpoint_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <sstream>
#include <utility>

#include "flagen/atomic_file.h"
#include "flagen/sha256.h"
#include "manifest.h"

namespace flagen::models {
namespace {

namespace fs = std::filesystem;

constexpr char kStepPrefix[] = "step-";
constexpr char kTempPrefix[] = ".tmp-";
constexpr char kTrashPrefix[] = ".trash-";
constexpr char kOwnerName[] = "owner";
constexpr char kLatestName[] = "latest";
constexpr char kBestName[] = "best";

std::string step_name(std::int64_t step) {
    std::string digits = std::to_string(step);
    digits.insert(0, digits.size() < 8 ? 8 - digits.size() : 0, '0');
    return kStepPrefix + digits;
}

std::optional<std::int64_t> step_of_name(const std::string& name) {
    const std::string prefix = kStepPrefix;
    if (name.rfind(prefix, 0) != 0) {
        return std::nullopt;
    }
    const std::string digits = name.substr(prefix.size());
    if (digits.size() < 8 || digits.size() > 18 ||
        digits.find_first_not_of("0123456789") != std::string::npos) {
        return std::nullopt;
    }
    const std::int64_t step = std::stoll(digits);
    return step_name(step) == name ? std::optional(step) : std::nullopt;
}

std::string environment_word(const char* name, const std::string& fallback) {
    const char* value = std::getenv(name);
    std::string word = value == nullptr ? "" : value;
    std::erase_if(word, [](unsigned char c) { return std::isalnum(c) == 0; });
    return word.empty() ? fallback : word;
}

/// Differs between any two runs, also when a restarted job has the same number and process id.
std::string new_token() {
    std::random_device random;
    std::ostringstream token;
    token << environment_word("SLURM_JOB_ID", "pid" + std::to_string(::getpid())) << '-'
          << environment_word("SLURM_RESTART_COUNT", "0") << '-' << std::hex << random()
          << random();
    return token.str();
}

bool starts_with(const std::string& text, const std::string& prefix) {
    return text.rfind(prefix, 0) == 0;
}

FileRecord write_file(const std::string& path, const FileWriter& writer) {
    DurableFile file(path);
    Sha256 digest;
    FileRecord record;
    writer([&](const void* data, std::size_t num_bytes) {
        file.write(data, num_bytes);
        digest.update(data, num_bytes);
        record.num_bytes += num_bytes;
    });
    file.close();
    record.sha256 = digest.hex();
    return record;
}

}  // namespace

CheckpointFolder::CheckpointFolder(std::string folder) : folder_(std::move(folder)) {}

void CheckpointFolder::open_for_writing(const RetentionPolicy& retention) {
    FLAGEN_USER_CHECK(UserFault::kConfig, retention.keep_last >= 2,
                      "fewer than two checkpoints kept: ", retention.keep_last,
                      "; one of them may turn out to be damaged");
    std::error_code error;
    fs::create_directories(folder_, error);
    if (error) {
        throw_user_error(UserFault::kConfig, "cannot create: ", folder_, ": ", error.message());
    }
    retention_ = retention;
    std::string token = new_token();
    write_file_atomically(folder_ + "/" + kOwnerName, token + "\n");
    token_ = std::move(token);
    remove_leftovers();
}

void CheckpointFolder::remove_leftovers() const {
    const std::string own_temp = kTempPrefix + token_;
    std::error_code error;
    std::vector<fs::path> leftovers;
    for (const auto& entry : fs::directory_iterator(folder_, error)) {
        const std::string name = entry.path().filename().string();
        // The parts of small files are from writers that were killed between two system calls.
        const bool is_part = name.find(".part-") != std::string::npos;
        const bool is_foreign_temp = starts_with(name, kTempPrefix) && !starts_with(name, own_temp);
        if (is_part || is_foreign_temp || starts_with(name, kTrashPrefix)) {
            leftovers.push_back(entry.path());
        }
    }
    for (const fs::path& path : leftovers) {
        fs::remove_all(path, error);  // in the way of nothing: what resists stays
    }
}

std::string CheckpointFolder::path_of(std::int64_t step) const {
    return folder_ + "/" + step_name(step);
}

std::vector<std::int64_t> CheckpointFolder::steps() const {
    std::vector<std::int64_t> found;
    std::error_code error;
    fs::directory_iterator entries(folder_, error);
    if (error == std::errc::no_such_file_or_directory) {
        return found;
    }
    for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
        const auto step = step_of_name(entries->path().filename().string());
        std::error_code ignored;
        if (step && fs::is_directory(entries->path(), ignored)) {
            found.push_back(*step);
        }
    }
    if (error) {
        throw_user_error(UserFault::kInputFile, "cannot list: ", folder_, ": ", error.message());
    }
    std::sort(found.begin(), found.end());
    return found;
}

std::string CheckpointFolder::publish(std::int64_t step,
                                      const std::map<std::string, FileWriter>& files,
                                      std::optional<std::int64_t> best_step) {
    FLAGEN_CHECK(!token_.empty(), "not open for writing: ", folder_);
    FLAGEN_CHECK(step >= 0, "negative step: ", step);
    const std::string target = path_of(step);
    const std::string temp = folder_ + "/" + kTempPrefix + token_ + "-" + step_name(step);
    std::error_code ignored;
    try {
        fs::remove_all(temp, ignored);
        if (::mkdir(temp.c_str(), 0777) != 0) {
            throw_error("cannot create: ", temp, ": ", std::strerror(errno));
        }
        std::map<std::string, FileRecord> records;
        for (const auto& [name, writer] : files) {
            FLAGEN_CHECK(!name.empty() && name != kManifestName && name[0] != '.' &&
                             name.find('/') == std::string::npos,
                         "not a name for a file of a checkpoint: ", name);
            records[name] = write_file(temp + "/" + name, writer);
        }
        const std::string manifest = manifest_text(step, records);
        write_file(temp + "/" + kManifestName,
                   [&](const ByteSink& sink) { sink(manifest.data(), manifest.size()); });
        fsync_path(temp);
        check_owner();
        if (fs::exists(target)) {
            replace_existing(temp, target);
        } else {
            rename_durably(temp, target);
        }
    } catch (...) {
        fs::remove_all(temp, ignored);
        throw;
    }
    valid_steps_.insert(step);
    own_steps_.insert(step);
    update_hints(step, best_step);
    apply_retention(step, best_step);
    return target;
}

void CheckpointFolder::settle(std::int64_t step, std::optional<std::int64_t> best_step) {
    FLAGEN_CHECK(!token_.empty(), "not open for writing: ", folder_);
    const std::vector<std::int64_t> all = steps();
    std::int64_t num_valid = 0;
    for (auto it = all.rbegin(); it != all.rend() && num_valid < retention_.keep_last; ++it) {
        try {
            if (*it <= step) {
                static_cast<void>(verify_checkpoint(path_of(*it)));
                valid_steps_.insert(*it);
                ++num_valid;
            }
        } catch (const UserError&) {
            continue;  // damaged: it does not count among those that stay
        }
    }
    update_hints(step, best_step);
    apply_retention(step, best_step);
}

void CheckpointFolder::update_hints(std::int64_t step, std::optional<std::int64_t> best_step) const {
    if (hinted(kLatestName) != path_of(step)) {
        write_hint(kLatestName, step);
    }
    if (best_step && fs::exists(path_of(*best_step)) && hinted(kBestName) != path_of(*best_step)) {
        write_hint(kBestName, *best_step);
    }
}

void CheckpointFolder::check_owner() const {
    std::string owner;
    try {
        owner = read_whole_file(folder_ + "/" + kOwnerName, UserFault::kInputFile, 4096);
    } catch (const UserError& error) {
        throw FencedError(std::string("cannot tell whose checkpoint folder it is: ") +
                          error.what());
    }
    if (owner != token_ + "\n") {
        throw FencedError("another run has taken over the checkpoint folder: " + folder_);
    }
}

void CheckpointFolder::replace_existing(const std::string& temp, const std::string& target) {
    std::optional<VerifiedCheckpoint> existing;
    try {
        existing = verify_checkpoint(target);
    } catch (const NewerSchemaError& error) {
        throw FencedError(error.what());
    } catch (const UserError&) {
        // Damaged: make way for the new one.
    }
    if (!existing) {
        discard(target);
        rename_durably(temp, target);
        return;
    }
    const std::string manifest = std::string("/") + kManifestName;
    if (read_whole_file(temp + manifest, UserFault::kInputFile) ==
        read_whole_file(target + manifest, UserFault::kInputFile)) {
        fs::remove_all(temp);
        return;
    }
    if (!own_steps_.contains(existing->step)) {
        throw FencedError("another run has published other content for this step: " + target +
                          "; move it away, or resume from it");
    }
    if (::renameat2(AT_FDCWD, temp.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
        fsync_path(folder_);
        discard(temp);
        return;
    }
    // Without the exchange this step is missing for an instant; an older checkpoint is always
    // there.
    discard(target);
    rename_durably(temp, target);
}

void CheckpointFolder::discard(const std::string& path) const {
    const std::string name = fs::path(path).filename().string();
    const std::string trash = folder_ + "/" + kTrashPrefix + token_ + "-" + name;
    std::error_code ignored;
    fs::remove_all(trash, ignored);
    // Renamed first: a half-removed folder must never stand under the name of a checkpoint.
    if (::rename(path.c_str(), trash.c_str()) != 0) {
        throw_error("cannot discard: ", path, ": ", std::strerror(errno));
    }
    fs::remove_all(trash, ignored);
}

void CheckpointFolder::apply_retention(std::int64_t newest_step,
                                       std::optional<std::int64_t> best_step) {
    std::vector<std::int64_t> valid;  // descending
    for (auto it = valid_steps_.rbegin(); it != valid_steps_.rend(); ++it) {
        if (*it <= newest_step) {
            valid.push_back(*it);
        }
    }
    const auto keep = static_cast<std::size_t>(retention_.keep_last);
    if (valid.size() < keep) {
        return;
    }
    const std::int64_t oldest_kept = valid[keep - 1];
    const auto best_path = hinted(kBestName);
    for (const std::int64_t step : steps()) {
        const bool is_periodic = retention_.keep_every > 0 && step % retention_.keep_every == 0;
        if (step >= oldest_kept || is_periodic || step == best_step ||
            (best_path && *best_path == path_of(step))) {
            continue;
        }
        discard(path_of(step));
        valid_steps_.erase(step);
    }
}

std::optional<VerifiedCheckpoint> CheckpointFolder::newest_valid(
    std::vector<std::string>* skipped) {
    const std::vector<std::int64_t> all = steps();
    std::string reasons;
    for (auto it = all.rbegin(); it != all.rend(); ++it) {
        try {
            VerifiedCheckpoint checkpoint = verify_checkpoint(path_of(*it));
            valid_steps_.insert(*it);
            return checkpoint;
        } catch (const NewerSchemaError&) {
            throw;
        } catch (const UserError& error) {
            reasons += std::string("\n  ") + error.what();
            if (skipped != nullptr) {
                skipped->push_back("checkpoint skipped: " + path_of(*it) + ": " + error.what());
            }
        }
    }
    if (!all.empty()) {
        throw_user_error(UserFault::kInputFile, "no checkpoint is valid: ", folder_,
                         "; remove the folder to start afresh", reasons);
    }
    return std::nullopt;
}

std::optional<std::string> CheckpointFolder::hinted(const std::string& hint) const {
    std::string name;
    try {
        name = read_whole_file(folder_ + "/" + hint, UserFault::kInputFile, 4096);
    } catch (const UserError&) {
        return std::nullopt;
    }
    while (!name.empty() && name.back() == '\n') {
        name.pop_back();
    }
    std::error_code ignored;
    const std::string path = folder_ + "/" + name;
    return step_of_name(name) && fs::is_directory(path, ignored) ? std::optional(path)
                                                                 : std::nullopt;
}

void CheckpointFolder::write_hint(const std::string& hint, std::int64_t step) const {
    write_file_atomically(folder_ + "/" + hint, step_name(step) + "\n");
}

void CheckpointFolder::set_best(std::int64_t step) {
    FLAGEN_CHECK(!token_.empty(), "not open for writing: ", folder_);
    FLAGEN_CHECK(fs::is_directory(path_of(step)), "no such checkpoint: ", path_of(step));
    check_owner();
    write_hint(kBestName, step);
}

void CheckpointFolder::discard_after(std::int64_t step) {
    FLAGEN_CHECK(!token_.empty(), "not open for writing: ", folder_);
    check_owner();
    for (const std::int64_t published : steps()) {
        if (published > step) {
            discard(path_of(published));
            valid_steps_.erase(published);
        }
    }
}

VerifiedCheckpoint verify_checkpoint(const std::string& path) {
    VerifiedCheckpoint checkpoint;
    checkpoint.path = path;
    const std::string manifest_path = path + "/" + kManifestName;
    constexpr std::size_t kLargestManifest = std::size_t{16} << 20;
    parse_manifest(read_whole_file(manifest_path, UserFault::kInputFile, kLargestManifest),
                   manifest_path, checkpoint);
    const auto named = step_of_name(fs::path(path).filename().string());
    FLAGEN_USER_CHECK(UserFault::kInputFile, !named || *named == checkpoint.step,
                      "manifest is of step ", checkpoint.step, ": ", manifest_path);
    for (const auto& [name, record] : checkpoint.files) {
        const std::string file = path + "/" + name;
        std::error_code error;
        const auto num_bytes = fs::file_size(file, error);
        FLAGEN_USER_CHECK(UserFault::kInputFile, !error, "cannot read: ", file, ": ",
                          error.message());
        FLAGEN_USER_CHECK(UserFault::kInputFile, num_bytes == record.num_bytes, "size is ",
                          num_bytes, " bytes, the manifest says ", record.num_bytes, ": ", file);
        FLAGEN_USER_CHECK(UserFault::kInputFile, sha256_of_file(file) == record.sha256,
                          "content differs from the manifest's SHA-256: ", file);
    }
    return checkpoint;
}

}  // namespace flagen::models
