#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "flagen/atomic_file.h"
#include "flagen/models/checkpoint_folder.h"
#include "manifest.h"
#include "models/checkpoint_files.h"
#include "support/temp_dir.h"

namespace flagen::models {
namespace {

namespace fs = std::filesystem;
using flagen::testing::TempDir;
using ::testing::HasSubstr;

CheckpointFolder open_folder(const std::string& path, const RetentionPolicy& retention = {}) {
    CheckpointFolder folder(path);
    folder.open_for_writing(retention);
    return folder;
}

std::string verify_error(const std::string& path) {
    try {
        (void)verify_checkpoint(path);
        return "accepted";
    } catch (const UserError& error) {
        EXPECT_EQ(error.fault(), UserFault::kInputFile);
        return error.what();
    }
}

TEST(VerifyCheckpoint, ATruncatedFileIsRejectedAtEveryLength) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path().string());
    const std::string step = folder.publish(10, files_of(10));
    for (const char* name : {"a.txt", "b.bin", "manifest.json"}) {
        const std::string file = step + "/" + name;
        const std::string whole = contents(file);
        for (std::size_t length = 0; length < whole.size(); ++length) {
            std::ofstream(file, std::ios::binary) << whole.substr(0, length);
            EXPECT_NE(verify_error(step), "accepted") << name << " cut to " << length;
        }
        std::ofstream(file, std::ios::binary) << whole << ' ';
        EXPECT_NE(verify_error(step), "accepted") << name << " with a byte more";
        std::ofstream(file, std::ios::binary) << whole;
        ASSERT_EQ(verify_error(step), "accepted");
        fs::remove(file);
        EXPECT_NE(verify_error(step), "accepted") << name << " is gone";
        std::ofstream(file, std::ios::binary) << whole;
    }
}

TEST(VerifyCheckpoint, EveryFlippedBitIsRejected) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path().string());
    const std::string step = folder.publish(10, files_of(10));
    int flipped = 0;
    for (const char* name : {"a.txt", "b.bin", "manifest.json"}) {
        const std::string whole = contents(step + "/" + name);
        std::fstream file(step + "/" + name, std::ios::in | std::ios::out | std::ios::binary);
        for (std::size_t at = 0; at < whole.size(); ++at) {
            for (int bit = 0; bit < 8; ++bit, ++flipped) {
                file.seekp(static_cast<std::streamoff>(at))
                    .put(static_cast<char>(whole[at] ^ (1 << bit)));
                file.flush();
                EXPECT_NE(verify_error(step), "accepted")
                    << name << ", byte " << at << ", bit " << bit;
            }
            file.seekp(static_cast<std::streamoff>(at)).put(whole[at]);
            file.flush();
        }
    }
    EXPECT_GT(flipped, 3'000);
    EXPECT_EQ(verify_error(step), "accepted");
}

TEST(VerifyCheckpoint, RefusesAManifestThatIsNotItsOwn) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path().string());
    const std::string ten = folder.publish(10, files_of(10));
    const std::string twenty = folder.publish(20, files_of(20));
    EXPECT_EQ(verify_error(ten), "accepted");
    fs::copy_file(twenty + "/manifest.json", ten + "/manifest.json",
                  fs::copy_options::overwrite_existing);
    EXPECT_THAT(verify_error(ten), HasSubstr("manifest is of step 20"));
    // A copy under a free name is fine; under another step's name it is not.
    fs::copy(twenty, dir.path() / "my-model");
    EXPECT_EQ(verify_error((dir.path() / "my-model").string()), "accepted");
    fs::copy(twenty, dir.path() / "step-00000021");
    EXPECT_THAT(verify_error((dir.path() / "step-00000021").string()),
                HasSubstr("manifest is of step 20"));
    // A well-formed manifest that points out of the folder.
    write_file_atomically(ten + "/manifest.json",
                          manifest_text(10, {{"../step-00000020/a.txt", {8, "00"}}}));
    EXPECT_THAT(verify_error(ten), HasSubstr("not a file name"));
}

TEST(VerifyCheckpoint, ANewerSchemaIsAnErrorAndNoReasonToStepBack) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path().string());
    folder.publish(10, files_of(10));
    const std::string twenty = folder.publish(20, files_of(20));
    write_file_atomically(twenty + "/manifest.json",
                          manifest_text(20, verify_checkpoint(twenty).files, kSchemaVersion + 1));
    try {
        (void)folder.newest_valid(nullptr);
        FAIL() << "accepted";
    } catch (const UserError& error) {
        EXPECT_THAT(error.what(), HasSubstr("schema 2, newer than 1"));
    }
    EXPECT_THROW(folder.publish(20, files_of(20)), FencedError) << "and it is not overwritten";
}

}  // namespace
}  // namespace flagen::models
