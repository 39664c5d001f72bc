#include "flagen/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace flagen {
namespace {

/// Closes at the end of the scope; for descriptors whose close() cannot lose data.
class Descriptor {
  public:
    explicit Descriptor(int value) : value_(value) {}
    ~Descriptor() {
        if (value_ >= 0) {
            ::close(value_);
        }
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const { return value_; }

  private:
    int value_;
};

std::string parent_of(const std::string& path) {
    const auto parent = std::filesystem::path(path).parent_path();
    return parent.empty() ? "." : parent.string();
}

}  // namespace

DurableFile::DurableFile(std::string path)
    : path_(std::move(path)),
      descriptor_(
          ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666)) {
    if (descriptor_ < 0) {
        throw_user_error(UserFault::kConfig, "cannot create: ", path_, ": ", std::strerror(errno));
    }
}

DurableFile::~DurableFile() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

void DurableFile::write(const void* data, std::size_t num_bytes) {
    FLAGEN_CHECK(descriptor_ >= 0, "already closed: ", path_);
    const char* next = static_cast<const char*>(data);
    while (num_bytes > 0) {
        const ssize_t written = ::write(descriptor_, next, num_bytes);
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            throw_error("cannot write: ", path_, ": ", std::strerror(errno));
        }
        next += written;
        num_bytes -= static_cast<std::size_t>(written);
    }
}

void DurableFile::close() {
    FLAGEN_CHECK(descriptor_ >= 0, "already closed: ", path_);
    if (::fsync(descriptor_) != 0) {
        throw_error("cannot flush to the disk: ", path_, ": ", std::strerror(errno));
    }
    if (::close(std::exchange(descriptor_, -1)) != 0) {
        throw_error("cannot close: ", path_, ": ", std::strerror(errno));
    }
}

// A part of the same name is from a dead process that had our number, as happens in containers.
AtomicFile::AtomicFile(std::string path)
    : path_(std::move(path)), part_(path_ + ".part-" + std::to_string(::getpid())) {}

AtomicFile::~AtomicFile() {
    if (!published_) {
        ::unlink(part_.path().c_str());
    }
}

void AtomicFile::publish() {
    part_.close();
    rename_durably(part_.path(), path_);
    published_ = true;
}

void write_file_atomically(const std::string& path, std::string_view contents) {
    AtomicFile file(path);
    file.write(contents);
    file.publish();
}

std::string read_whole_file(const std::string& path, UserFault fault, std::size_t max_bytes) {
    // Non-blocking, so that a named pipe is refused below and not waited for.
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0) {
        throw_user_error(fault, "cannot open: ", path, ": ", std::strerror(errno));
    }
    FLAGEN_USER_CHECK(fault, S_ISREG(status.st_mode), "not a regular file: ", path);
    const auto size = static_cast<std::size_t>(status.st_size);
    FLAGEN_USER_CHECK(fault, size <= max_bytes, "larger than ", max_bytes, " bytes: ", path);
    std::string contents(size, '\0');
    std::size_t filled = 0;
    while (filled < size) {
        const ssize_t got = ::read(file.get(), contents.data() + filled, size - filled);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            throw_user_error(fault, "cannot read: ", path, ": ",
                             got < 0 ? std::strerror(errno) : "it became shorter while being read");
        }
        filled += static_cast<std::size_t>(got);
    }
    return contents;
}

void fsync_path(const std::string& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) {
        throw_error("cannot open to flush: ", path, ": ", std::strerror(errno));
    }
    // Some network file systems cannot flush folders and say so with EINVAL.
    if (::fsync(file.get()) != 0 &&
        !((errno == EINVAL || errno == ENOTSUP) && std::filesystem::is_directory(path))) {
        throw_error("cannot flush to the disk: ", path, ": ", std::strerror(errno));
    }
}

void rename_durably(const std::string& from, const std::string& to) {
    if (std::rename(from.c_str(), to.c_str()) != 0) {
        throw_error("cannot publish: ", to, ": ", std::strerror(errno));
    }
    fsync_path(parent_of(to));
}

void publish_directory(const std::string& temp_dir, const std::string& final_dir) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(temp_dir)) {
        fsync_path(entry.path().string());
    }
    fsync_path(temp_dir);
    rename_durably(temp_dir, final_dir);
}

}  // namespace flagen
