#include "flagen/sha256.h"

#include <gtest/gtest.h>

#include "support/temp_dir.h"

namespace flagen {
namespace {

// Expected digests: NIST, "SHA-256 examples" and the long-message test of FIPS 180-2, appendix B.
constexpr char kEmpty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kMillionA[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256, PublishedDigests) {
    EXPECT_EQ(sha256_of(""), kEmpty);
    EXPECT_EQ(sha256_of("abc"), kAbc);
    EXPECT_EQ(sha256_of(std::string(1'000'000, 'a')), kMillionA);
}

TEST(Sha256, PiecesEqualTheWhole) {
    Sha256 digest;
    std::size_t fed = 0;
    for (std::size_t piece = 1; fed < 1'000'000; piece = piece * 2 + 1) {
        const std::size_t now = std::min<std::size_t>(piece, 1'000'000 - fed);
        digest.update(std::string(now, 'a'));
        digest.update("");
        fed += now;
    }
    EXPECT_EQ(digest.hex(), kMillionA);
    EXPECT_THROW((void)digest.hex(), Error);
    EXPECT_THROW(digest.update("x"), Error);
}

TEST(Sha256, Files) {
    const flagen::testing::TempDir dir;
    // Longer than one block of the reader.
    EXPECT_EQ(sha256_of_file(dir.write("a", std::string(3'000'000, 'a'))),
              sha256_of(std::string(3'000'000, 'a')));
    EXPECT_EQ(sha256_of_file(dir.write("m", std::string(1'000'000, 'a'))), kMillionA);
    EXPECT_EQ(sha256_of_file(dir.write("e", "")), kEmpty);
    EXPECT_THROW((void)sha256_of_file((dir.path() / "none").string()), UserError);
    EXPECT_THROW((void)sha256_of_file(dir.path().string()), UserError);
}

}  // namespace
}  // namespace flagen
