#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hts_handles.h"

namespace flagen::genomics {

/// The bytes of a plain or bgzip file, by their place in the uncompressed text.
///
/// Every fault is a UserError (kInputFile) that names the file.
class FastaFile {
  public:
    using Consumer = std::function<void(const char* data, std::size_t size)>;

    /// Opens a regular file; refuses gzip that is not bgzip.
    explicit FastaFile(std::string path);

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] bool is_bgzip() const { return is_bgzip_; }

    /// True for plain text, and for bgzip with its end-of-file block.
    [[nodiscard]] bool ends_with_eof_block() const { return ends_with_eof_block_; }

    /// Hands over the whole text in order, checks each block's CRC and notes where blocks begin.
    /// Call once, before read().
    void read_all(const Consumer& consumer);

    /// The `size` bytes at `offset`. Thread-safe: each call borrows a handle of its own.
    [[nodiscard]] std::string read(std::int64_t offset, std::int64_t size) const;

  private:
    // What tells one state of a file from another.
    struct Identity {
        dev_t device = 0;
        ino_t inode = 0;
        off_t size = 0;
        std::int64_t modified_ns = 0;
        bool operator==(const Identity&) const = default;
    };
    struct Block {
        std::int64_t text_offset = 0;
        std::int64_t file_offset = 0;
    };
    struct IdleHandles {
        std::mutex mutex;
        std::vector<BgzfHandle> handles;
    };

    [[nodiscard]] Identity identify() const;
    [[nodiscard]] BgzfHandle open_handle() const;
    [[nodiscard]] BgzfHandle borrow() const;
    void check_unchanged() const;
    void seek(BGZF* handle, std::int64_t offset) const;

    std::string path_;
    Identity identity_;
    bool is_bgzip_ = false;
    bool ends_with_eof_block_ = true;
    std::vector<Block> blocks_;
    std::unique_ptr<IdleHandles> idle_;
};

}  // namespace flagen::genomics
