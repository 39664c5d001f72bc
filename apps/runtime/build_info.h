#pragma once

#include <string>
#include <utility>
#include <vector>

namespace flagen::apps {

/// "flagen 0.1.0 (1a2b3c4d5e6f)"; the hash ends in "-dirty" for a build of changed files.
[[nodiscard]] std::string short_version();

/// Names and versions of flagen and of the libraries as they are loaded now.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> library_versions();

/// What `flagen --version` prints.
[[nodiscard]] std::string version_text();

/// "Linux host, AMD EPYC, 2 threads": the machine of a run record.
[[nodiscard]] std::string host_description();

}  // namespace flagen::apps
