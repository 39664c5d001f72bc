#include "fasta_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "flagen/error.h"

namespace flagen::genomics {
namespace {

constexpr int kCompressionGzip = 1;  // As bgzf_compression() documents its result.
constexpr int kCompressionBgzf = 2;
constexpr int kVirtualOffsetBits = 16;
constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

// Says what a failed read of `handle` met.
std::string describe_failure(const BGZF* handle) {
    const unsigned code = handle->errcode;
    if ((code & BGZF_ERR_CRC) != 0) {
        return "the CRC of a block is wrong";
    }
    if ((code & BGZF_ERR_ZLIB) != 0) {
        return "a block does not decompress";
    }
    if ((code & BGZF_ERR_HEADER) != 0) {
        return "a block has no valid header";
    }
    return errno != 0 ? std::strerror(errno) : "the file ends inside a block";
}

}  // namespace

FastaFile::FastaFile(std::string path)
    : path_(std::move(path)), identity_(identify()), idle_(std::make_unique<IdleHandles>()) {
    FLAGEN_USER_CHECK(UserFault::kInputFile, identity_.size > 0, "FASTA file is empty: ", path_);
    BgzfHandle handle = open_handle();
    const int compression = bgzf_compression(handle.get());
    FLAGEN_USER_CHECK(UserFault::kInputFile, compression != kCompressionGzip,
                      "FASTA file is plain gzip, which allows no random access: ", path_,
                      "; recompress it with bgzip: gunzip -c ", path_, " | bgzip > NEW.fa.gz");
    is_bgzip_ = compression == kCompressionBgzf;
    if (is_bgzip_) {
        const int end = bgzf_check_EOF(handle.get());
        FLAGEN_USER_CHECK(UserFault::kInputFile, end >= 0, "cannot read the FASTA file: ", path_,
                          " (", std::strerror(errno), ")");
        ends_with_eof_block_ = end != 0;
    }
    idle_->handles.push_back(std::move(handle));
}

FastaFile::Identity FastaFile::identify() const {
    struct stat status = {};
    FLAGEN_USER_CHECK(UserFault::kInputFile, stat(path_.c_str(), &status) == 0,
                      "cannot open the FASTA file: ", path_, " (", std::strerror(errno), ")");
    FLAGEN_USER_CHECK(UserFault::kInputFile, S_ISREG(status.st_mode),
                      "FASTA file is not a regular file, which random access needs: ", path_);
    return {status.st_dev, status.st_ino, status.st_size,
            status.st_mtim.tv_sec * kNanosecondsPerSecond + status.st_mtim.tv_nsec};
}

void FastaFile::check_unchanged() const {
    FLAGEN_USER_CHECK(UserFault::kInputFile, identify() == identity_,
                      "FASTA file was changed while it was in use: ", path_, "; start again");
}

BgzfHandle FastaFile::open_handle() const {
    BgzfHandle handle(bgzf_open(path_.c_str(), "r"));
    FLAGEN_USER_CHECK(UserFault::kInputFile, handle != nullptr,
                      "cannot open the FASTA file: ", path_, " (", std::strerror(errno), ")");
    return handle;
}

BgzfHandle FastaFile::borrow() const {
    {
        const std::lock_guard lock(idle_->mutex);
        if (!idle_->handles.empty()) {
            BgzfHandle handle = std::move(idle_->handles.back());
            idle_->handles.pop_back();
            return handle;
        }
    }
    return open_handle();
}

void FastaFile::read_all(const Consumer& consumer) {
    BgzfHandle handle = borrow();
    seek(handle.get(), 0);
    std::int64_t offset = 0;
    while (true) {
        errno = 0;
        const int status = bgzf_read_block(handle.get());
        FLAGEN_USER_CHECK(UserFault::kInputFile, status == 0, "FASTA file is damaged: ", path_,
                          ", ", describe_failure(handle.get()), " after byte ",
                          handle->block_address, "; copy or download it again");
        if (handle->block_length == 0) {
            break;
        }
        if (is_bgzip_) {
            blocks_.push_back({offset, handle->block_address});
        }
        const auto size = static_cast<std::size_t>(handle->block_length);
        consumer(static_cast<const char*>(handle->uncompressed_block), size);
        offset += handle->block_length;
    }
    check_unchanged();
    const std::lock_guard lock(idle_->mutex);
    idle_->handles.push_back(std::move(handle));
}

void FastaFile::seek(BGZF* handle, std::int64_t offset) const {
    std::int64_t target = offset << kVirtualOffsetBits;
    if (is_bgzip_ && offset > 0) {
        const auto after = std::upper_bound(
            blocks_.begin(), blocks_.end(), offset,
            [](std::int64_t value, const Block& block) { return value < block.text_offset; });
        const Block& block = *std::prev(after);
        target = (block.file_offset << kVirtualOffsetBits) | (offset - block.text_offset);
    }
    errno = 0;
    FLAGEN_USER_CHECK(UserFault::kInputFile, bgzf_seek(handle, target, SEEK_SET) == 0,
                      "cannot read the FASTA file: ", path_, " (", std::strerror(errno), ")");
}

std::string FastaFile::read(std::int64_t offset, std::int64_t size) const {
    std::string bytes(static_cast<std::size_t>(size), '\0');
    BgzfHandle handle = borrow();
    check_unchanged();
    seek(handle.get(), offset);
    errno = 0;
    const ssize_t found = bgzf_read(handle.get(), bytes.data(), bytes.size());
    if (found != static_cast<ssize_t>(size)) {
        throw_user_error(UserFault::kInputFile, "cannot read the FASTA file: ", path_, ", ",
                         describe_failure(handle.get()), " near byte ", handle->block_address);
    }
    const std::lock_guard lock(idle_->mutex);
    idle_->handles.push_back(std::move(handle));
    return bytes;
}

}  // namespace flagen::genomics
