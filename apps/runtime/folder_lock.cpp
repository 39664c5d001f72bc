#include "apps/runtime/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "flagen/error.h"

namespace flagen::apps {

FolderLock::FolderLock(const std::string& folder)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    FLAGEN_USER_CHECK(UserFault::kConfig, descriptor_ >= 0, "cannot open the folder: ", folder, ": ",
                      std::strerror(errno));
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        ::close(descriptor_);
        throw_user_error(UserFault::kConfig, "another process is writing there: ", folder);
    }
}

FolderLock::~FolderLock() { ::close(descriptor_); }

}  // namespace flagen::apps
