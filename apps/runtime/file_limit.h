#pragma once

#include <cstddef>

namespace flagen::apps {

/// Lets the process open as many files as the system allows it: a table of tracks may have
/// thousands, against the usual 1,024 descriptors. Returns that number.
std::size_t raise_file_limit();

}  // namespace flagen::apps
