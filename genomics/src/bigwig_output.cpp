#include "bigwig_output.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>

#include "flagen/error.h"

namespace flagen::genomics {
namespace {

void write_at(int descriptor, const std::string& path, std::uint64_t offset,
              std::span<const unsigned char> bytes) {
    while (!bytes.empty()) {
        const ssize_t written =
            ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) {
            continue;
        }
        FLAGEN_CHECK(written > 0, "cannot write: ", path, ": ", std::strerror(errno));
        bytes = bytes.subspan(static_cast<std::size_t>(written));
        offset += static_cast<std::uint64_t>(written);
    }
}

}  // namespace

BigWigOutput::BigWigOutput(std::string path)
    : path_(std::move(path)), part_(path_ + ".part-" + std::to_string(::getpid())) {}

BigWigOutput::~BigWigOutput() {
    if (!published_) {
        ::unlink(part_.path().c_str());
    }
}

void BigWigOutput::append(std::span<const unsigned char> bytes) {
    part_.write(bytes.data(), bytes.size());
    offset_ += bytes.size();
}

BigWigIndexEntry BigWigOutput::append_block(std::span<const unsigned char> bytes,
                                            std::uint32_t contig, std::uint32_t start,
                                            std::uint32_t end) {
    uLongf size = compressBound(bytes.size());
    compressed_.resize(size);
    const int status =
        compress2(compressed_.data(), &size, bytes.data(), bytes.size(), Z_DEFAULT_COMPRESSION);
    FLAGEN_CHECK_EQ(status, Z_OK, "compression failed: ", path_);
    const BigWigIndexEntry entry{contig, start, end, static_cast<std::uint32_t>(size), offset_};
    append({compressed_.data(), size});
    return entry;
}

void BigWigOutput::patch(std::uint64_t offset, std::vector<unsigned char> bytes) {
    patches_.emplace_back(offset, std::move(bytes));
}

void BigWigOutput::publish() {
    part_.close();
    const int descriptor = ::open(part_.path().c_str(), O_WRONLY | O_CLOEXEC);
    FLAGEN_CHECK(descriptor >= 0, "cannot open: ", part_.path(), ": ", std::strerror(errno));
    try {
        for (const auto& [offset, bytes] : patches_) {
            write_at(descriptor, part_.path(), offset, bytes);
        }
    } catch (...) {
        ::close(descriptor);
        throw;
    }
    FLAGEN_CHECK(::fsync(descriptor) == 0, "cannot flush to the disk: ", part_.path(), ": ",
                 std::strerror(errno));
    FLAGEN_CHECK(::close(descriptor) == 0, "cannot close: ", part_.path(), ": ",
                 std::strerror(errno));
    rename_durably(part_.path(), path_);
    published_ = true;
}

}  // namespace flagen::genomics
