#include "bigwig_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "bigwig_format.h"

namespace flagen::genomics {
namespace {

constexpr std::uint32_t swapped(std::uint32_t value) {
    return value << 24 | (value & 0xFF00U) << 8 | (value >> 8 & 0xFF00U) | value >> 24;
}

// Says what a file is that begins with `head` instead of a bigWig's magic number, and what to do.
std::string describe_other_kind(std::string_view head) {
    const auto magic =
        bigwig::load<std::uint32_t>(reinterpret_cast<const unsigned char*>(head.data()));
    if (magic == swapped(bigwig::kMagic)) {
        return "it has big-endian byte order, which is not read; make it again on a little-endian "
               "machine (bigWigToBedGraph, bedGraphToBigWig)";
    }
    if (magic == bigwig::kBigBedMagic || magic == swapped(bigwig::kBigBedMagic)) {
        return "it is a bigBed file, which holds no signal; convert it with bedtools genomecov and "
               "bedGraphToBigWig";
    }
    if (head.starts_with("\x1F\x8B")) {
        return "it is compressed with gzip; decompress it with gunzip";
    }
    for (const char* word : {"track", "fixedStep", "variableStep", "browser", "#"}) {
        if (head.starts_with(word)) {
            return "it is text; convert it with wigToBigWig or bedGraphToBigWig";
        }
    }
    return "it does not begin with a bigWig's magic number";
}

}  // namespace

BigWigFile::BigWigFile(std::string path) : path_(std::move(path)) {
    FLAGEN_USER_CHECK(UserFault::kInputFile, path_.find("://") == std::string::npos,
                      "bigWig files are not read over the network: ", path_,
                      "; download the file and give its path");
    // Non-blocking, so that a named pipe is refused below and not waited for.
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FLAGEN_USER_CHECK(UserFault::kInputFile, descriptor_ >= 0,
                      "cannot open the bigWig file: ", path_, " (", std::strerror(errno), ")");
    try {
        struct stat status = {};
        FLAGEN_USER_CHECK(UserFault::kInputFile, ::fstat(descriptor_, &status) == 0,
                          "cannot read the bigWig file: ", path_, " (", std::strerror(errno), ")");
        FLAGEN_USER_CHECK(UserFault::kInputFile, S_ISREG(status.st_mode),
                          "bigWig file is not a regular file, which random access needs: ", path_);
        size_bytes_ = static_cast<std::uint64_t>(status.st_size);
        FLAGEN_USER_CHECK(UserFault::kInputFile, size_bytes_ > 0, "bigWig file is empty: ", path_,
                          "; copy or make it again");
        check_kind();
    } catch (...) {
        ::close(descriptor_);
        throw;
    }
}

BigWigFile::BigWigFile(BigWigFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_bytes_(other.size_bytes_) {}

BigWigFile::~BigWigFile() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

void BigWigFile::check_kind() const {
    std::array<char, 16> head = {};
    const ssize_t got = ::pread(descriptor_, head.data(), head.size(), 0);
    FLAGEN_USER_CHECK(UserFault::kInputFile, got >= 0, "cannot read the bigWig file: ", path_, " (",
                      std::strerror(errno), ")");
    const auto magic =
        bigwig::load<std::uint32_t>(reinterpret_cast<const unsigned char*>(head.data()));
    FLAGEN_USER_CHECK(UserFault::kInputFile, magic == bigwig::kMagic, "not a bigWig file: ", path_,
                      ": ", describe_other_kind({head.data(), head.size()}));
}

void BigWigFile::read(std::uint64_t offset, std::size_t size, const char* what,
                      std::vector<unsigned char>& bytes) const {
    if (!holds(offset, size)) {
        fail(what, " at byte ", offset, " (", size, " bytes) reaches past the end, byte ",
             size_bytes_);
    }
    bytes.resize(size);
    std::size_t filled = 0;
    while (filled < size) {
        const ssize_t got = ::pread(descriptor_, bytes.data() + filled, size - filled,
                                    static_cast<off_t>(offset + filled));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        FLAGEN_USER_CHECK(UserFault::kInputFile, got >= 0, "cannot read the bigWig file: ", path_,
                          " (", std::strerror(errno), ")");
        FLAGEN_USER_CHECK(UserFault::kInputFile, got > 0,
                          "bigWig file became shorter while it was in use: ", path_,
                          "; start again");
        filled += static_cast<std::size_t>(got);
    }
}

}  // namespace flagen::genomics
