#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace fla {

/// Base of everything that this library throws on purpose.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A tensor or option breaks the documented contract. The message names it, the value found and
/// the value expected.
class InvalidArgument : public Error {
  public:
    using Error::Error;
};

/// The request is legal, but this build or device cannot serve it.
class Unsupported : public Error {
  public:
    using Error::Error;
};

/// A call of the CUDA runtime failed.
class CudaError : public Error {
  public:
    CudaError(const std::string& message, int code) : Error(message), code_(code) {}

    /// The cudaError_t as a number.
    [[nodiscard]] int code() const { return code_; }

  private:
    int code_;
};

/// Joins values into one string, as operator<< prints them.
template <typename... Parts>
[[nodiscard]] std::string join_text(const Parts&... parts) {
    std::ostringstream out;
    (out << ... << parts);
    return out.str();
}

/// Throws CudaError "<expression> failed: <name>: <description> (<file>:<line>)". Without CUDA in
/// the build, the description is the bare number.
[[noreturn]] void throw_cuda_error(int code, const char* expression, const char* file, int line);

}  // namespace fla

/// Throws fla::InvalidArgument made of the remaining arguments unless `condition` holds.
#define FLA_CHECK(condition, ...)                                        \
    do {                                                                 \
        if (!(condition)) [[unlikely]] {                                 \
            throw ::fla::InvalidArgument(::fla::join_text(__VA_ARGS__)); \
        }                                                                \
    } while (false)

/// Evaluates a CUDA runtime call once and throws fla::CudaError unless it returned cudaSuccess (0).
#define FLA_CUDA_CHECK(call)                                                                     \
    do {                                                                                         \
        const auto fla_cuda_code = (call);                                                       \
        if (static_cast<int>(fla_cuda_code) != 0) [[unlikely]] {                                 \
            ::fla::throw_cuda_error(static_cast<int>(fla_cuda_code), #call, __FILE__, __LINE__); \
        }                                                                                        \
    } while (false)
