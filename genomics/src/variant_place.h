#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "flagen/error.h"

namespace flagen::genomics {

/// Where in a file of variants the reader stands, for errors.
struct VariantPlace {
    const std::string& path;
    std::int64_t line_number = 0;     ///< 1-based; 0 where lines are not counted.
    std::uint64_t record_number = 0;  ///< 1-based, in BCF and region queries.

    /// Throws the UserError "<parts> (<path>:<line>)" or "<parts> (<path>, record <number>)".
    template <typename... Parts>
    [[noreturn]] void fail(Parts&&... parts) const {
        if (line_number > 0) {
            throw_user_error(UserFault::kInputFile, std::forward<Parts>(parts)..., " (", path, ":",
                             line_number, ")");
        }
        throw_user_error(UserFault::kInputFile, std::forward<Parts>(parts)..., " (", path,
                         ", record ", record_number, ")");
    }
};

}  // namespace flagen::genomics
