#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "flagen/error.h"

namespace flagen {

/// Streaming SHA-256 (FIPS 180-4), computed by OpenSSL.
class Sha256 {
  public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;

    void update(const void* data, std::size_t num_bytes);
    void update(std::string_view text) { update(text.data(), text.size()); }

    /// The digest as 64 lower-case hexadecimal digits. Ends the object: no update() or hex() after
    /// it.
    [[nodiscard]] std::string hex();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

[[nodiscard]] std::string sha256_of(std::string_view bytes);

/// Digest of a file's content, read in blocks.
/// @throws UserError of `fault` if the file cannot be read.
[[nodiscard]] std::string sha256_of_file(const std::string& path,
                                         UserFault fault = UserFault::kInputFile);

}  // namespace flagen
