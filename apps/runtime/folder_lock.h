#pragma once

#include <string>

namespace flagen::apps {

/// Keeps other processes that ask the same from a folder, for one scope.
class FolderLock {
  public:
    /// @throws UserError (kConfig) if the folder cannot be opened or another process has it. File systems without locks
    ///         let everybody in: there the user must take care.
    explicit FolderLock(const std::string& folder);
    ~FolderLock();
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;

  private:
    int descriptor_;
};

}  // namespace flagen::apps
