#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "flagen/error.h"

namespace flagen::genomics {

/// The bytes of a bigWig file by offset. Every read is checked against the size of the file.
class BigWigFile {
  public:
    /// Opens a regular local file that begins with a bigWig's magic number.
    explicit BigWigFile(std::string path);
    ~BigWigFile();
    BigWigFile(BigWigFile&& other) noexcept;
    BigWigFile& operator=(BigWigFile&&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }

    /// Says whether [offset, offset + size) lies in the file.
    [[nodiscard]] bool holds(std::uint64_t offset, std::uint64_t size) const {
        return offset <= size_bytes_ && size <= size_bytes_ - offset;
    }

    /// Replaces `bytes` by `size` bytes at `offset`. `what` names them in errors.
    void read(std::uint64_t offset, std::size_t size, const char* what,
              std::vector<unsigned char>& bytes) const;

    /// Throws the UserError that the file is damaged, with `parts` as the reason.
    template <typename... Parts>
    [[noreturn]] void fail(Parts&&... parts) const {
        throw_user_error(UserFault::kInputFile, "bigWig file is damaged: ", path_, ": ",
                         std::forward<Parts>(parts)..., "; copy or make it again");
    }

  private:
    void check_kind() const;

    std::string path_;
    int descriptor_ = -1;
    std::uint64_t size_bytes_ = 0;
};

}  // namespace flagen::genomics
