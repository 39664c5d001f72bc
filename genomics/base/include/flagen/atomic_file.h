#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "flagen/error.h"

namespace flagen {

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

    /// Appends. @throws Error naming the path and the system's reason, for example a full disk.
    void write(const void* data, std::size_t num_bytes);
    void write(std::string_view text) { write(text.data(), text.size()); }

    /// Flush to the disk, close, rename over `path`, flush the folder. Once only.
    /// @throws Error if a step fails; an older file at `path` is then untouched.
    void publish();

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const std::string& part_path() const { return part_path_; }

  private:
    std::string path_;
    std::string part_path_;
    int descriptor_ = -1;
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

/// Makes a finished folder visible: fsync of every file and folder in it, rename to `final_dir`,
/// fsync of the parent. Both must lie on one file system.
/// @throws Error if a step fails, also when `final_dir` exists and is not an empty folder.
void publish_directory(const std::string& temp_dir, const std::string& final_dir);

}  // namespace flagen
