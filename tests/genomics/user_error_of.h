#pragma once

#include <initializer_list>
#include <optional>
#include <string>

#include "flagen/error.h"

namespace flagen::testing {

/// What a call threw as a UserError.
struct CaughtUserError {
    std::string message;
    std::optional<UserFault> fault;  ///< Nothing if the call did not throw.
};

/// Runs `call` and returns the UserError that it threw; other exceptions pass on.
template <typename Call>
[[nodiscard]] CaughtUserError user_error_of(Call&& call) {
    try {
        call();
    } catch (const UserError& error) {
        return {error.what(), error.fault()};
    }
    return {"(no error)", std::nullopt};
}

}  // namespace flagen::testing

/// Expects a UserError of `kind` whose text holds every one of the substrings.
#define FLAGEN_EXPECT_USER_ERROR(call, kind, ...)                                               \
    do {                                                                                        \
        const auto caught = ::flagen::testing::user_error_of([&] { static_cast<void>(call); }); \
        EXPECT_EQ(caught.fault, ::flagen::UserFault::kind) << caught.message;                   \
        for (const std::string& part : std::initializer_list<std::string>{__VA_ARGS__}) {       \
            EXPECT_NE(caught.message.find(part), std::string::npos)                             \
                << "expected \"" << part << "\" in: " << caught.message;                        \
        }                                                                                       \
    } while (false)
