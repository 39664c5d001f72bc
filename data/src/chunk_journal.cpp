#include "chunk_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "flagen/error.h"

namespace flagen::data {
namespace {

constexpr const char* kMagic = "flagen chunk journal 1\n";
constexpr std::uint64_t kMaxChunkBytes = std::uint64_t{1} << 32;
constexpr std::size_t kDigestLength = 64;  // SHA-256 in hexadecimal
constexpr std::size_t kScanBytes = std::size_t{1} << 20;

std::uint32_t crc_of(std::uint32_t crc, const void* data, std::size_t num_bytes) {
    return static_cast<std::uint32_t>(
        crc32_z(crc, static_cast<const unsigned char*>(data), num_bytes));
}

/// Row and sizes of the chunks, as they begin a record.
std::vector<std::uint64_t> record_head(std::int64_t row,
                                       const std::vector<std::vector<std::uint8_t>>& chunks) {
    std::vector<std::uint64_t> head = {static_cast<std::uint64_t>(row)};
    for (const auto& chunk : chunks) {
        head.push_back(chunk.size());
    }
    return head;
}

}  // namespace

ChunkJournal::ChunkJournal(std::string path, const std::string& inputs_digest,
                           std::int64_t num_rows, std::int64_t chunks_per_row,
                           OtherInputs policy)
    : path_(std::move(path)),
      descriptor_(::open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666)),
      chunks_per_row_(static_cast<std::size_t>(chunks_per_row)),
      places_(static_cast<std::size_t>(num_rows)) {
    FLAGEN_USER_CHECK(UserFault::kConfig, descriptor_ >= 0, "cannot create: ", path_, ": ",
                      std::strerror(errno));
    try {
        // File systems without locks say so with another error; there the user must take care.
        FLAGEN_USER_CHECK(UserFault::kConfig,
                          ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK,
                          "another process is writing there: ", path_);
        FLAGEN_CHECK_EQ(inputs_digest.size(), kDigestLength, path_);
        scan(kMagic + inputs_digest + "\n", policy);
    } catch (...) {
        ::close(descriptor_);
        throw;
    }
}

ChunkJournal::~ChunkJournal() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

void ChunkJournal::start(const std::string& head) {
    if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) != 0) {
        throw_error("cannot empty: ", path_, ": ", std::strerror(errno));
    }
    write(head.data(), head.size());
    end_bytes_ = static_cast<std::int64_t>(head.size());
}

bool ChunkJournal::holds_rows(const std::string& path) {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    return !error && size > std::strlen(kMagic) + kDigestLength + 1;
}

void ChunkJournal::scan(const std::string& head, OtherInputs policy) {
    std::string found(head.size(), '\0');
    const std::int64_t file_bytes = ::lseek(descriptor_, 0, SEEK_END);
    if (!read(found.data(), found.size(), 0) || found != head) {
        discarded_other_ = file_bytes > static_cast<std::int64_t>(head.size());
        FLAGEN_USER_CHECK(UserFault::kConfig, policy == OtherInputs::kDiscard || !discarded_other_,
                          "file holds finished rows of other inputs: ", path_,
                          " (remove it to start anew)");
        start(head);
        return;
    }
    end_bytes_ = static_cast<std::int64_t>(head.size());
    while (scan_record(file_bytes)) {
    }
    if (::ftruncate(descriptor_, end_bytes_) != 0 ||
        ::lseek(descriptor_, end_bytes_, SEEK_SET) != end_bytes_) {
        throw_error("cannot cut: ", path_, ": ", std::strerror(errno));
    }
}

// Takes the record at end_bytes_ in, if it is whole.
bool ChunkJournal::scan_record(std::int64_t file_bytes) {
    std::vector<std::uint64_t> head(1 + chunks_per_row_);
    const std::size_t head_bytes = head.size() * sizeof(head[0]);
    if (!read(head.data(), head_bytes, end_bytes_) || head[0] >= places_.size()) {
        return false;
    }
    std::int64_t offset = end_bytes_ + static_cast<std::int64_t>(head_bytes);
    const std::int64_t first_chunk = offset;
    std::uint32_t crc = crc_of(0, head.data(), head_bytes);
    std::vector<std::uint8_t> block;
    for (std::size_t i = 1; i < head.size(); ++i) {
        if (head[i] == 0 || head[i] > kMaxChunkBytes ||
            offset + static_cast<std::int64_t>(head[i]) > file_bytes) {
            return false;
        }
        for (std::uint64_t left = head[i]; left > 0; left -= block.size()) {
            block.resize(std::min<std::uint64_t>(left, kScanBytes));
            if (!read(block.data(), block.size(), offset)) {
                return false;
            }
            crc = crc_of(crc, block.data(), block.size());
            offset += static_cast<std::int64_t>(block.size());
        }
    }
    std::uint32_t stored = 0;
    if (!read(&stored, sizeof(stored), offset) || stored != crc) {
        return false;
    }
    Place& place = places_[head[0]];
    num_done_ += place.sizes.empty() ? 1 : 0;
    place = {first_chunk, {head.begin() + 1, head.end()}};
    end_bytes_ = offset + static_cast<std::int64_t>(sizeof(stored));
    return true;
}

void ChunkJournal::append(std::int64_t row,
                            const std::vector<std::vector<std::uint8_t>>& chunks) {
    FLAGEN_CHECK_EQ(chunks.size(), chunks_per_row_, path_);
    FLAGEN_CHECK(!is_done(row), "row ", row, " twice: ", path_);
    const std::vector<std::uint64_t> head = record_head(row, chunks);
    const std::size_t head_bytes = head.size() * sizeof(head[0]);
    std::uint32_t crc = crc_of(0, head.data(), head_bytes);
    write(head.data(), head_bytes);
    Place place{end_bytes_ + static_cast<std::int64_t>(head_bytes), {head.begin() + 1, head.end()}};
    std::int64_t end = place.offset_bytes;
    for (const auto& chunk : chunks) {
        crc = crc_of(crc, chunk.data(), chunk.size());
        write(chunk.data(), chunk.size());
        end += static_cast<std::int64_t>(chunk.size());
    }
    write(&crc, sizeof(crc));
    end_bytes_ = end + static_cast<std::int64_t>(sizeof(crc));
    places_[static_cast<std::size_t>(row)] = std::move(place);
    ++num_done_;
}

void ChunkJournal::sync() const {
    if (::fsync(descriptor_) != 0) {
        throw_error("cannot flush to the disk: ", path_, ": ", std::strerror(errno));
    }
}

std::vector<std::uint8_t> ChunkJournal::read_chunk(std::int64_t row, std::int64_t index) const {
    const Place& found = place(row);
    std::int64_t offset = found.offset_bytes;
    for (std::int64_t i = 0; i < index; ++i) {
        offset += static_cast<std::int64_t>(found.sizes[static_cast<std::size_t>(i)]);
    }
    std::vector<std::uint8_t> chunk(found.sizes.at(static_cast<std::size_t>(index)));
    if (!read(chunk.data(), chunk.size(), offset)) {
        throw_error("cannot read back: ", path_);
    }
    return chunk;
}

void ChunkJournal::remove() {
    ::unlink(path_.c_str());
    ::close(std::exchange(descriptor_, -1));
}

void ChunkJournal::write(const void* data, std::size_t num_bytes) {
    const char* next = static_cast<const char*>(data);
    while (num_bytes > 0) {
        const ssize_t written = ::write(descriptor_, next, num_bytes);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            throw_error("cannot write: ", path_, ": ", std::strerror(errno));
        }
        next += written;
        num_bytes -= static_cast<std::size_t>(written);
    }
}

// False at the end of the file.
bool ChunkJournal::read(void* data, std::size_t num_bytes, std::int64_t offset) const {
    char* next = static_cast<char*>(data);
    while (num_bytes > 0) {
        const ssize_t got = ::pread(descriptor_, next, num_bytes, offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            throw_error("cannot read: ", path_, ": ", std::strerror(errno));
        }
        if (got == 0) {
            return false;
        }
        next += got;
        offset += got;
        num_bytes -= static_cast<std::size_t>(got);
    }
    return true;
}

}  // namespace flagen::data
