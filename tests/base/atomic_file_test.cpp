#include "flagen/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "support/temp_dir.h"

namespace flagen {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string contents(const std::string& path) {
    return read_whole_file(path, UserFault::kInputFile);
}

std::size_t count_entries(const fs::path& dir) {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(dir), fs::directory_iterator()));
}

/// Runs `body` in a forked child and returns its exit status; what it throws becomes status 9.
int in_child(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        int status = 9;
        try {
            status = body();
        } catch (...) {
        }
        ::_exit(status);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

TEST(AtomicFile, IsInvisibleUntilPublished) {
    const flagen::testing::TempDir dir;
    const std::string path = dir.write("out.txt", "old");
    {
        AtomicFile file(path);
        file.write("new ");
        file.write("text");
        EXPECT_EQ(contents(path), "old");
        EXPECT_TRUE(fs::exists(path + ".part-" + std::to_string(::getpid())));
        file.publish();
        EXPECT_EQ(contents(path), "new text");
        EXPECT_THROW(file.publish(), Error);
        EXPECT_THROW(file.write("more"), Error);
    }
    EXPECT_EQ(contents(path), "new text");
    EXPECT_EQ(count_entries(dir.path()), 1U);
}

TEST(AtomicFile, AnUnpublishedPartIsRemoved) {
    const flagen::testing::TempDir dir;
    { AtomicFile((dir.path() / "x").string()).write("half"); }
    EXPECT_EQ(count_entries(dir.path()), 0U);
}

TEST(AtomicFile, RespectsTheUmask) {
    const flagen::testing::TempDir dir;
    const std::string path = (dir.path() / "x").string();
    const mode_t before = ::umask(027);
    write_file_atomically(path, "a");
    ::umask(before);
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0640U);
}

TEST(AtomicFile, NamesTheFolderThatIsMissing) {
    const flagen::testing::TempDir dir;
    try {
        write_file_atomically((dir.path() / "no" / "x").string(), "a");
        FAIL() << "accepted";
    } catch (const UserError& error) {
        EXPECT_THAT(error.what(), HasSubstr("No such file or directory"));
        EXPECT_THAT(error.what(), HasSubstr((dir.path() / "no" / "x").string()));
    }
}

TEST(AtomicFile, AFullDiskKeepsTheOldFile) {
    const flagen::testing::TempDir dir;
    const std::string path = dir.write("out.txt", "old");
    const int status = in_child([&] {
        // A file size limit fails write() as a full disk does, with EFBIG in place of ENOSPC.
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{4096, 4096};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        try {
            write_file_atomically(path, std::string(10'000, 'x'));
        } catch (const Error& error) {
            return std::string(error.what())
                               .find("cannot write: " + path + ".part-" +
                                     std::to_string(::getpid()) + ": File too large") == 0
                       ? 0
                       : 1;
        }
        return 2;
    });
    EXPECT_EQ(status, 0);
    EXPECT_EQ(contents(path), "old");
    EXPECT_EQ(count_entries(dir.path()), 1U);
}

TEST(AtomicFile, APartThatIsALinkIsRefused) {
    const flagen::testing::TempDir dir;
    // Nobody may redirect what is written.
    const std::string path = (dir.path() / "x").string();
    fs::create_symlink("/dev/full", path + ".part-" + std::to_string(::getpid()));
    EXPECT_THROW(AtomicFile file(path), UserError);
}

TEST(AtomicFile, AReadOnlyFolderIsRefused) {
    const flagen::testing::TempDir dir;
    fs::permissions(dir.path(), fs::perms::owner_read | fs::perms::owner_exec);
    const int status = in_child([&] {
        // Root ignores permissions, so the child becomes nobody first.
        if (::geteuid() == 0) {
            const bool given_away = ::chown(dir.path().c_str(), 65534, 65534) == 0;
            if (!given_away || ::setgid(65534) != 0 || ::setuid(65534) != 0) {
                return 3;
            }
        }
        try {
            write_file_atomically((dir.path() / "x").string(), "a");
        } catch (const UserError& error) {
            return std::string(error.what()).find("Permission denied") != std::string::npos ? 0 : 1;
        }
        return 2;
    });
    fs::permissions(dir.path(), fs::perms::owner_all);
    EXPECT_EQ(status, 0);
}

TEST(AtomicFile, AKilledWriterLeavesTheOldFile) {
    const flagen::testing::TempDir dir;
    const std::string path = dir.write("out.txt", "old");
    const int status = in_child([&]() -> int {
        AtomicFile file(path);
        file.write(std::string(100'000, 'x'));
        ::kill(::getpid(), SIGKILL);
        return 0;
    });
    EXPECT_EQ(status, 100 + SIGKILL);
    EXPECT_EQ(contents(path), "old");
    EXPECT_EQ(count_entries(dir.path()), 2U) << "the part stays, under its own name";
}

TEST(PublishDirectory, RenamesAFinishedFolder) {
    const flagen::testing::TempDir dir;
    const fs::path temp = dir.path() / ".tmp-1";
    fs::create_directories(temp / "sub");
    write_file_atomically((temp / "a").string(), "1");
    write_file_atomically((temp / "sub" / "b").string(), "2");
    const std::string final_dir = (dir.path() / "step-1").string();
    publish_directory(temp.string(), final_dir);
    EXPECT_FALSE(fs::exists(temp));
    EXPECT_EQ(contents(final_dir + "/sub/b"), "2");
    // A folder with content is never replaced.
    fs::create_directories(temp);
    EXPECT_THROW(publish_directory(temp.string(), final_dir), Error);
    EXPECT_EQ(contents(final_dir + "/a"), "1");
}

TEST(ReadWholeFile, RefusesWhatIsNoFileOrTooLarge) {
    const flagen::testing::TempDir dir;
    EXPECT_EQ(contents(dir.write("nul", std::string("a\0b", 3))), std::string("a\0b", 3));
    EXPECT_THROW((void)read_whole_file(dir.write("b", "12345"), UserFault::kConfig, 4), UserError);
    EXPECT_THROW((void)contents(dir.path().string()), UserError);
    const std::string pipe = (dir.path() / "pipe").string();
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_THROW((void)contents(pipe), UserError);  // and does not wait for a writer
}

}  // namespace
}  // namespace flagen
