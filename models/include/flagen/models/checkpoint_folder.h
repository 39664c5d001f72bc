#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "flagen/models/safetensors.h"  // ByteSink

namespace flagen::models {

/// Another run has taken over the checkpoint folder: this one must stop and not save any more.
class FencedError : public Error {
  public:
    using Error::Error;
};

/// How many checkpoints stay.
struct RetentionPolicy {
    std::int64_t keep_last = 2;   ///< Newest valid ones; at least 2.
    std::int64_t keep_every = 0;  ///< Also every step that is a multiple of it; 0 for none.
};

/// What a manifest says of one file.
struct FileRecord {
    std::uint64_t num_bytes = 0;
    std::string sha256;
};

/// One published checkpoint, its files compared with the manifest.
struct VerifiedCheckpoint {
    std::string path;
    std::int64_t step = 0;
    std::map<std::string, FileRecord> files;
};

/// Writes the content of one file to `sink`.
using FileWriter = std::function<void(const ByteSink& sink)>;

/// A folder of checkpoints that is valid at any instant, also when the process is killed.
///
///     step-00001234/   files, and manifest.json with size and SHA-256 of each, written last
///     latest  best     one line with a folder's name, replaced by rename; hints for people and
///     tools owner            token of the run that may publish here .tmp-*  .trash-* unfinished
///     and discarded folders; removed by the next run
///
/// Torch-free. Publishing: write into .tmp-*, every write checked, every file flushed; manifest;
/// flush the folder; compare `owner`; rename; flush the parent; then the hints; then remove old
/// ones by way of a rename. A second run that opens the folder for writing takes it over, and the
/// first one's next publish() throws FencedError: so a job restarted while its old processes still
/// live is safe.
class CheckpointFolder {
  public:
    /// For reading only; the folder need not exist.
    explicit CheckpointFolder(std::string folder);

    /// Makes the folder if needed, takes it over and removes what dead runs left.
    /// @throws UserError (kConfig) if it cannot be written.
    void open_for_writing(const RetentionPolicy& retention = {});

    /// Publishes `step` with the given files (name -> content), replaces `latest`, points `best` to
    /// `best_step` if that is published, and removes what the retention policy lets go. A valid
    /// checkpoint of the same step is replaced only if this object published it; an equal one
    /// stays.
    /// @return the folder published.
    /// @throws FencedError; Error if a write fails (full disk): nothing is visible then, older
    ///         checkpoints are untouched and the temporary folder is gone.
    std::string publish(std::int64_t step, const std::map<std::string, FileWriter>& files,
                        std::optional<std::int64_t> best_step = std::nullopt);

    /// Does what a killed publish() of `step` may have left undone: hints, and removing old ones. For
    /// a run that goes on from `step`, once it is known to be valid.
    void settle(std::int64_t step, std::optional<std::int64_t> best_step);

    [[nodiscard]] bool is_open_for_writing() const { return !token_.empty(); }

    /// Steps with a published folder, valid or not, ascending.
    [[nodiscard]] std::vector<std::int64_t> steps() const;
    [[nodiscard]] std::string path_of(std::int64_t step) const;

    /// The newest checkpoint that verifies; one line in `skipped` for every newer one that does
    /// not. Nothing if no checkpoint was ever published here.
    /// @throws UserError (kInputFile) if there are some and none is valid.
    [[nodiscard]] std::optional<VerifiedCheckpoint> newest_valid(std::vector<std::string>* skipped);

    /// The folder that the hint "latest" or "best" names, if it can be read and the folder exists.
    [[nodiscard]] std::optional<std::string> hinted(const std::string& hint) const;
    /// Points `best` to a published step.
    void set_best(std::int64_t step);
    /// Removes what was published after `step`, for a run that goes on from an older checkpoint.
    void discard_after(std::int64_t step);

  private:
    void remove_leftovers() const;
    void check_owner() const;
    void replace_existing(const std::string& temp, const std::string& target);
    void discard(const std::string& path) const;
    void apply_retention(std::int64_t newest_step, std::optional<std::int64_t> best_step);
    void update_hints(std::int64_t step, std::optional<std::int64_t> best_step) const;
    void write_hint(const std::string& hint, std::int64_t step) const;

    std::string folder_;
    std::string token_;  // empty unless open for writing
    RetentionPolicy retention_;
    std::set<std::int64_t> valid_steps_;  // verified or published by this object
    std::set<std::int64_t> own_steps_;    // published by this object
};

/// Compares a checkpoint folder with its manifest: the manifest's own digest, its schema, the step
/// in the folder's name (if it has the form step-N), then size and SHA-256 of every file.
/// @throws UserError (kInputFile) naming the first fault; a newer schema says so.
[[nodiscard]] VerifiedCheckpoint verify_checkpoint(const std::string& path);

}  // namespace flagen::models
