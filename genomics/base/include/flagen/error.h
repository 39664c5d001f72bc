#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace flagen {

/// Who has to act on a UserError. The process exit code follows from it (apps/exit_code.h).
enum class UserFault {
    kConfig,     ///< Command line or configuration file.
    kInputFile,  ///< Content of an input file.
};

/// A fault of our own or of the machine: a broken invariant, a failed write, a device error.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A fault that the user can fix. One line: the fault first, then value and file, then the remedy
/// if it is not plain, for example `contig is not in the FASTA index: chr23 (ref.fa.fai)`.
class UserError : public std::runtime_error {
  public:
    UserError(UserFault fault, const std::string& message)
        : std::runtime_error(message), fault_(fault) {}

    [[nodiscard]] UserFault fault() const noexcept { return fault_; }

  private:
    UserFault fault_;
};

namespace detail {

template <typename... Parts>
[[nodiscard]] std::string concatenate(Parts&&... parts) {
    std::ostringstream out;
    (out << ... << std::forward<Parts>(parts));
    return out.str();
}

}  // namespace detail

/// Throws a UserError of `fault` whose message is the concatenation of `parts`.
template <typename... Parts>
[[noreturn]] void throw_user_error(UserFault fault, Parts&&... parts) {
    throw UserError(fault, detail::concatenate(std::forward<Parts>(parts)...));
}

/// Throws an Error whose message is the concatenation of `parts`.
template <typename... Parts>
[[noreturn]] void throw_error(Parts&&... parts) {
    throw Error(detail::concatenate(std::forward<Parts>(parts)...));
}

}  // namespace flagen

/// Throws flagen::Error when a condition of our own code does not hold. Active in release builds.
#define FLAGEN_CHECK(condition, ...)                                                        \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            ::flagen::throw_error(__FILE__, ":", __LINE__, ": " #condition ": ", __VA_ARGS__); \
        }                                                                                   \
    } while (false)

/// As FLAGEN_CHECK, for equality; the message holds both values.
#define FLAGEN_CHECK_EQ(left, right, ...)                                                      \
    do {                                                                                       \
        if (!((left) == (right))) {                                                            \
            ::flagen::throw_error(__FILE__, ":", __LINE__, ": " #left " == " #right ": found ", \
                                  (left), " and ", (right), ": ", __VA_ARGS__);                \
        }                                                                                      \
    } while (false)

/// Throws flagen::UserError of `fault` when the user's input does not satisfy `condition`.
#define FLAGEN_USER_CHECK(fault, condition, ...)              \
    do {                                                      \
        if (!(condition)) {                                   \
            ::flagen::throw_user_error((fault), __VA_ARGS__); \
        }                                                     \
    } while (false)
