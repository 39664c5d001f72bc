#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace flagen::testing {

/// Path of a file below the folder of real genomes (environment FLAGEN_SHARED_DATA), or an empty
/// string when the folder or the file is absent: the caller then says GTEST_SKIP() with the reason.
inline std::string shared_data(const std::string& relative) {
    const char* root = std::getenv("FLAGEN_SHARED_DATA");
    if (root == nullptr) {
        return {};
    }
    const std::filesystem::path path = std::filesystem::path(root) / relative;
    return std::filesystem::exists(path) ? path.string() : std::string{};
}

}  // namespace flagen::testing

/// Declares `variable` as the path of a shared file, or skips the test with the reason.
#define FLAGEN_SHARED_DATA_OR_SKIP(variable, relative)                                 \
    const std::string variable = ::flagen::testing::shared_data(relative);             \
    if (variable.empty()) {                                                            \
        GTEST_SKIP() << "shared data set is absent: " << (relative)                    \
                     << " (set FLAGEN_SHARED_DATA to the folder of real genomes)";     \
    }                                                                                  \
    static_assert(true)
