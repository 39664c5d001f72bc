#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "flagen/error.h"

namespace flagen {

/// A new file whose every write is checked, and that is on the disk after close().
class DurableFile {
  public:
    /// Replaces a file of that name; a symbolic link is refused.
    /// @throws UserError (kConfig) if it cannot be created, for example in a read-only folder.
    explicit DurableFile(std::string path);
    ~DurableFile();
    DurableFile(const DurableFile&) = delete;
    DurableFile& operator=(const DurableFile&) = delete;

    /// Appends. @throws Error naming the path and the system's reason, for example a full disk.
    void write(const void* data, std::size_t num_bytes);
    void write(std::string_view text) { write(text.data(), text.size()); }

    /// Flushes to the disk and closes. Once only; the folder's entry is the caller's to flush.
    /// @throws Error if that fails: a full disk or quota may show only here.
    void close();

    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
    int descriptor_ = -1;
};

/// A file that appears under its name only when it is complete and on the disk.
///
/// Writes go to `<path>.part-<pid>` in the same folder. publish() makes them durable and renames;
/// an object that dies unpublished removes its part. A killed process leaves at most the part.
class AtomicFile {
  public:
    /// @throws UserError (kConfig) if the part cannot be created, for example in a read-only
    /// folder.
    explicit AtomicFile(std::string path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    /// As DurableFile::write().
    void write(const void* data, std::size_t num_bytes) { part_.write(data, num_bytes); }
    void write(std::string_view text) { part_.write(text); }

    /// Flush to the disk, close, rename over `path`, flush the folder. Once only.
    /// @throws Error if a step fails; an older file at `path` is then untouched.
    void publish();

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const std::string& part_path() const { return part_.path(); }

  private:
    std::string path_;
    DurableFile part_;
    bool published_ = false;
};

/// AtomicFile in one call.
void write_file_atomically(const std::string& path, std::string_view contents);

/// Whole content of a file. `fault` says whose file it is.
/// @throws UserError of `fault` if it cannot be read, is no regular file or exceeds `max_bytes`.
[[nodiscard]] std::string read_whole_file(const std::string& path, UserFault fault,
                                          std::size_t max_bytes = std::size_t{1} << 30);

/// Flushes a file or a folder to the disk. @throws Error naming the path if that fails.
void fsync_path(const std::string& path);

/// Renames a file or a folder that is on the disk already, and flushes the folder it goes to.
/// @throws Error if that fails, also when `to` is a folder that is not empty.
void rename_durably(const std::string& from, const std::string& to);

/// Makes a finished folder visible: fsync of every file and folder in it, rename to `final_dir`,
/// fsync of the parent. Both must lie on one file system.
/// @throws Error if a step fails, also when `final_dir` exists and is not an empty folder.
void publish_directory(const std::string& temp_dir, const std::string& final_dir);

}  // namespace flagen
