#include "flagen/sha256.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace flagen {

struct Sha256::State {
    State() : context(EVP_MD_CTX_new()) {}
    ~State() { EVP_MD_CTX_free(context); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    EVP_MD_CTX* context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
    FLAGEN_CHECK(state_->context != nullptr &&
                     EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
                 "SHA-256 is not available in this OpenSSL");
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(const void* data, std::size_t num_bytes) {
    FLAGEN_CHECK(state_ != nullptr, "the digest was taken already");
    FLAGEN_CHECK(num_bytes == 0 || EVP_DigestUpdate(state_->context, data, num_bytes) == 1,
                 "SHA-256 failed");
}

std::string Sha256::hex() {
    FLAGEN_CHECK(state_ != nullptr, "the digest was taken already");
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    FLAGEN_CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), &length) == 1,
                 "SHA-256 failed");
    state_.reset();
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (unsigned int i = 0; i < length; ++i) {
        text += kDigits[digest[i] >> 4];
        text += kDigits[digest[i] & 15];
    }
    return text;
}

std::string sha256_of(std::string_view bytes) {
    Sha256 digest;
    digest.update(bytes);
    return digest.hex();
}

std::string sha256_of_file(const std::string& path, UserFault fault) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        throw_user_error(fault, "cannot open: ", path, ": ", std::strerror(errno));
    }
    constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
    std::vector<char> block(kBlockBytes);
    Sha256 digest;
    for (;;) {
        const ssize_t got = ::read(descriptor, block.data(), block.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            const int reason = errno;
            ::close(descriptor);
            if (got < 0) {
                throw_user_error(fault, "cannot read: ", path, ": ", std::strerror(reason));
            }
            return digest.hex();
        }
        digest.update(block.data(), static_cast<std::size_t>(got));
    }
}

}  // namespace flagen
