#pragma once

#include <cstdint>

namespace flagen::apps {

/// Sets the number of CPU threads of the whole process (all cores unless `given`), and the
/// allocator for tensors of tens of megabytes that come and go every step.
/// @throws UserError (kConfig) unless 1 <= threads <= 1024.
void set_threads(std::int64_t threads, bool given);

}  // namespace flagen::apps
