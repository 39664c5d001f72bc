#include "flagen/models/checkpoint_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <thread>

#include "flagen/atomic_file.h"
#include "models/checkpoint_files.h"
#include "support/temp_dir.h"

namespace flagen::models {
namespace {

namespace fs = std::filesystem;
using flagen::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

CheckpointFolder open_folder(const std::string& path, const RetentionPolicy& retention = {}) {
    CheckpointFolder folder(path);
    folder.open_for_writing(retention);
    return folder;
}

/// Names in the folder, without those of published steps and of the hints.
std::vector<std::string> leftovers(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (name.rfind("step-", 0) != 0 && name != "owner" && name != "latest" && name != "best") {
            names.push_back(name);
        }
    }
    return names;
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

/// Runs `body` in a forked child; its exit status, or 100 + the signal that ended it.
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

TEST(CheckpointFolder, PublishesWhatItWasGiven) {
    const TempDir dir;
    const std::string path = (dir.path() / "run" / "checkpoints").string();
    CheckpointFolder folder = open_folder(path);
    EXPECT_TRUE(folder.steps().empty());
    EXPECT_EQ(folder.newest_valid(nullptr), std::nullopt);
    const std::string published = folder.publish(1234, files_of(1234));
    EXPECT_EQ(published, path + "/step-00001234");
    EXPECT_EQ(contents(published + "/a.txt"), "step 1234\n");
    EXPECT_EQ(contents(path + "/latest"), "step-00001234\n");
    EXPECT_EQ(folder.hinted("latest"), published);
    EXPECT_EQ(folder.hinted("best"), std::nullopt);
    const auto newest = folder.newest_valid(nullptr);
    ASSERT_TRUE(newest);
    EXPECT_EQ(newest->step, 1234);
    EXPECT_THAT(newest->files, SizeIs(2));
    EXPECT_EQ(newest->files.at("b.bin").num_bytes, 100U);
    EXPECT_TRUE(leftovers(path).empty());
}

TEST(CheckpointFolder, AnAbsentFolderIsAFreshStart) {
    CheckpointFolder folder("/nonexistent/flagen");
    EXPECT_TRUE(folder.steps().empty());
    EXPECT_EQ(folder.newest_valid(nullptr), std::nullopt);
    EXPECT_THROW(folder.publish(1, files_of(1)), Error) << "not open for writing";
}

TEST(CheckpointFolder, KeepsTheLastTheBestAndThePeriodic) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path().string(), {.keep_last = 2, .keep_every = 40});
    for (std::int64_t step = 10; step <= 100; step += 10) {
        folder.publish(step, files_of(step), step < 30 ? step : 30);
    }
    EXPECT_THAT(folder.steps(), ElementsAre(30, 40, 80, 90, 100));
    EXPECT_EQ(folder.hinted("best"), folder.path_of(30));
    EXPECT_THROW(open_folder(dir.path().string(), {.keep_last = 1}), UserError);
}

TEST(CheckpointFolder, NeverCountsADamagedOneAsKept) {
    const TempDir dir;
    {
        CheckpointFolder folder = open_folder(dir.path().string());
        folder.publish(10, files_of(10));
        folder.publish(20, files_of(20));
    }
    fs::resize_file(dir.path() / "step-00000020" / "a.txt", 3);
    CheckpointFolder folder = open_folder(dir.path().string());
    std::vector<std::string> skipped;
    EXPECT_EQ(folder.newest_valid(&skipped)->step, 10);
    EXPECT_THAT(skipped, ElementsAre(HasSubstr("size is 3 bytes, the manifest says 8")));
    folder.publish(15, files_of(15));
    EXPECT_THAT(folder.steps(), ElementsAre(10, 15, 20)) << "10 and 15 are the last two valid ones";
    folder.publish(20, files_of(20));  // replaces the damaged one
    EXPECT_EQ(folder.newest_valid(nullptr)->step, 20);
    EXPECT_THAT(folder.steps(), ElementsAre(15, 20));
    EXPECT_TRUE(leftovers(dir.path().string()).empty());
}

TEST(CheckpointFolder, NoValidCheckpointIsAnErrorNotAFreshStart) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path().string());
    folder.publish(10, files_of(10));
    fs::remove(dir.path() / "step-00000010" / "manifest.json");
    fs::create_directory(dir.path() / "step-00000020");
    std::vector<std::string> skipped;
    try {
        (void)folder.newest_valid(&skipped);
        FAIL() << "accepted";
    } catch (const UserError& error) {
        EXPECT_THAT(error.what(), HasSubstr("no checkpoint is valid"));
        EXPECT_THAT(error.what(), HasSubstr("step-00000020/manifest.json: No such file"));
    }
    EXPECT_THAT(skipped, SizeIs(2));
}

TEST(CheckpointFolder, TheSameStepTwice) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path().string());
    folder.publish(10, files_of(10));
    folder.publish(10, files_of(10));  // equal: nothing to do
    folder.publish(10, {{"a.txt", text("other")}});
    EXPECT_EQ(contents(folder.path_of(10) + "/a.txt"), "other");
    EXPECT_EQ(verify_error(folder.path_of(10)), "accepted");
    EXPECT_TRUE(leftovers(dir.path().string()).empty());

    // A run that did not publish it must not overwrite it with other content.
    CheckpointFolder second = open_folder(dir.path().string());
    EXPECT_NO_THROW(second.publish(10, {{"a.txt", text("other")}}));
    CheckpointFolder third = open_folder(dir.path().string());
    EXPECT_THROW(third.publish(10, files_of(10)), FencedError);
    EXPECT_EQ(contents(folder.path_of(10) + "/a.txt"), "other");
}

TEST(CheckpointFolder, ASecondRunFencesTheFirst) {
    const TempDir dir;
    CheckpointFolder first = open_folder(dir.path().string());
    first.publish(10, files_of(10));
    CheckpointFolder second = open_folder(dir.path().string());
    EXPECT_THROW(first.publish(20, files_of(20)), FencedError);
    EXPECT_THROW(first.set_best(10), FencedError);
    EXPECT_THAT(second.steps(), ElementsAre(10));
    second.publish(20, files_of(20));
    fs::remove(dir.path() / "owner");
    EXPECT_THROW(second.publish(30, files_of(30)), FencedError);
    EXPECT_TRUE(leftovers(dir.path().string()).empty());
}

TEST(CheckpointFolder, RemovesWhatDeadRunsLeft) {
    const TempDir dir;
    for (const char* name : {".tmp-1-0-ab-step-00000010", ".trash-1-0-ab-step-00000001"}) {
        fs::create_directory(dir.path() / name);
        std::ofstream(dir.path() / name / "x") << "half";
    }
    dir.write("latest.part-77", "step");
    dir.write("notes.txt", "a user's own file");
    CheckpointFolder folder = open_folder(dir.path().string());
    EXPECT_THAT(leftovers(dir.path().string()), ElementsAre("notes.txt"));
}

TEST(CheckpointFolder, DamagedHintsAreOnlyHints) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path().string());
    folder.publish(10, files_of(10), 10);
    for (const std::string& content :
         std::vector<std::string>{"", "\n", "step-1\n", "step-00000099\n", "../../etc\n",
                                  std::string(10'000, 'x'), "\xff\xfe"}) {
        write_file_atomically(dir.path().string() + "/latest", content);
        write_file_atomically(dir.path().string() + "/best", content);
        EXPECT_EQ(folder.hinted("latest"), std::nullopt) << content;
        EXPECT_EQ(folder.newest_valid(nullptr)->step, 10);
    }
    fs::remove(dir.path() / "latest");
    fs::create_directory(dir.path() / "latest");  // cannot be read as a file
    EXPECT_EQ(folder.hinted("latest"), std::nullopt);
    EXPECT_EQ(folder.newest_valid(nullptr)->step, 10);
}

TEST(CheckpointFolder, SettleDoesWhatAKilledPublishLeftUndone) {
    const TempDir dir;
    const std::string path = (dir.path() / "c").string();
    CheckpointFolder folder = open_folder(path, {.keep_last = 10});
    for (const std::int64_t step : {1, 2, 3, 4}) {
        folder.publish(step, files_of(step), 2);
    }
    // As after a kill right behind the rename of step 4: hints of step 3, nothing removed yet.
    write_file_atomically(path + "/latest", "step-00000003\n");
    write_file_atomically(path + "/best", "step-00000001\n");
    CheckpointFolder resumed = open_folder(path, {.keep_last = 2});
    resumed.settle(4, 2);
    EXPECT_EQ(contents(path + "/latest"), "step-00000004\n");
    EXPECT_EQ(contents(path + "/best"), "step-00000002\n");
    EXPECT_THAT(resumed.steps(), ElementsAre(2, 3, 4));
}

TEST(CheckpointFolder, DiscardAfterStepsBack) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path().string());
    for (const std::int64_t step : {10, 20, 30}) {
        folder.publish(step, files_of(step), 10);
    }
    folder.discard_after(10);
    EXPECT_THAT(folder.steps(), ElementsAre(10));
    EXPECT_NO_THROW(folder.publish(20, {{"a.txt", text("new history")}}));
}

TEST(CheckpointFolder, AFailingWriterLeavesNothing) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path().string());
    folder.publish(10, files_of(10));
    auto files = files_of(20);
    files["z"] = [](const ByteSink&) { throw Error("no data"); };
    EXPECT_THROW(folder.publish(20, files), Error);
    for (const char* name : {"", "manifest.json", "../x", ".hidden"}) {
        EXPECT_THROW(folder.publish(20, {{name, text("x")}}), Error) << name;
    }
    EXPECT_THROW(folder.publish(-1, files_of(1)), Error);
    EXPECT_THAT(folder.steps(), ElementsAre(10));
    EXPECT_TRUE(leftovers(dir.path().string()).empty());
}

TEST(CheckpointFolder, AFullDiskKeepsTheOldOne) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path().string());
    folder.publish(10, files_of(10));
    const int status = in_child([&] {
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{65'536, 65'536};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        auto files = files_of(20);
        files["large"] = text(std::string(200'000, 'x'));
        try {
            folder.publish(20, files);
        } catch (const FencedError&) {
            return 1;
        } catch (const Error& error) {
            const std::string message = error.what();
            return message.find("cannot write") != std::string::npos &&
                           message.find("large") != std::string::npos
                       ? 0
                       : 2;
        }
        return 3;
    });
    EXPECT_EQ(status, 0);
    EXPECT_THAT(folder.steps(), ElementsAre(10));
    EXPECT_EQ(folder.newest_valid(nullptr)->step, 10);
    EXPECT_TRUE(leftovers(dir.path().string()).empty());
}

TEST(CheckpointFolder, AFullFileSystemKeepsTheOldOne) {
    const TempDir dir;
    const std::string disk = (dir.path() / "disk").string();
    fs::create_directory(disk);
    if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=256k") != 0) {
        GTEST_SKIP() << "needs the right to mount a small tmpfs";
    }
    {
        CheckpointFolder folder = open_folder(disk + "/checkpoints");
        folder.publish(10, files_of(10));
        auto files = files_of(20);
        files["large"] = text(std::string(400'000, 'x'));
        try {
            folder.publish(20, files);
            ADD_FAILURE() << "accepted";
        } catch (const Error& error) {
            EXPECT_THAT(error.what(), HasSubstr("No space left on device"));
        }
        EXPECT_EQ(folder.newest_valid(nullptr)->step, 10);
        EXPECT_TRUE(leftovers(disk + "/checkpoints").empty());
        EXPECT_NO_THROW(folder.publish(20, files_of(20))) << "the run goes on once there is room";
    }
    ::umount(disk.c_str());
}

TEST(CheckpointFolder, AReadOnlyFolderIsRefusedForWritingAndFineForReading) {
    const TempDir dir;
    open_folder(dir.path().string()).publish(10, files_of(10));
    fs::permissions(dir.path(), fs::perms::owner_read | fs::perms::owner_exec |
                                    fs::perms::others_read | fs::perms::others_exec);
    const int status = in_child([&] {
        // Root ignores permissions, so the child becomes nobody first.
        if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) {
            return 5;
        }
        if (CheckpointFolder(dir.path().string()).newest_valid(nullptr)->step != 10) {
            return 1;
        }
        try {
            (void)open_folder(dir.path().string());
        } catch (const UserError& error) {
            return std::string(error.what()).find("Permission denied") != std::string::npos ? 0 : 2;
        }
        return 3;
    });
    fs::permissions(dir.path(), fs::perms::owner_all);
    EXPECT_EQ(status, 0);
}

/// Writes checkpoints as fast as it can until it is killed, going on from the newest valid one.
int write_until_killed(const std::string& path) {
    CheckpointFolder folder = open_folder(path);
    const auto newest = folder.newest_valid(nullptr);
    for (std::int64_t step = newest ? newest->step + 1 : 1;; ++step) {
        folder.publish(step,
                       {{"a", text(std::string(30'000, static_cast<char>('a' + step % 26)))},
                        {"b", text(std::to_string(step))}},
                       step - step % 3);
    }
    return 0;
}

TEST(CheckpointFolder, WhatIsVisibleAfterSigkillAlwaysLoads) {
    const TempDir dir;
    const std::string path = dir.path().string();
    open_folder(path).publish(0, {{"b", text("0")}});
    std::mt19937 random(std::random_device{}());
    std::int64_t reached = 0;
    int killed_in_writing = 0;
    for (int round = 0; round < 25; ++round) {
        const pid_t child = ::fork();
        if (child == 0) {
            int status = 9;
            try {
                status = write_until_killed(path);
            } catch (...) {
            }
            ::_exit(status);
        }
        // Every other round waits for a new checkpoint first, so that slow machines get on as well.
        const auto newest_step = [&] { return CheckpointFolder(path).steps().back(); };
        while (round % 2 == 1 && newest_step() == reached &&
               ::waitpid(child, nullptr, WNOHANG) == 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 40'000));
        ::kill(child, SIGKILL);
        int status = 0;
        ::waitpid(child, &status, 0);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the writer failed by itself";
        killed_in_writing += leftovers(path).empty() ? 0 : 1;

        CheckpointFolder reader(path);
        for (const std::int64_t step : reader.steps()) {
            const auto checkpoint = verify_checkpoint(reader.path_of(step));
            EXPECT_EQ(contents(checkpoint.path + "/b"), std::to_string(step));
        }
        const auto newest = reader.newest_valid(nullptr);
        ASSERT_TRUE(newest);
        EXPECT_GE(newest->step, reached) << "a published checkpoint was lost";
        reached = newest->step;
    }
    EXPECT_GT(reached, 0);
    EXPECT_GT(killed_in_writing, 0) << "no kill hit a write: the test proved nothing";

    // What the kills left behind goes with the next run.
    CheckpointFolder last = open_folder(path);
    EXPECT_EQ(last.newest_valid(nullptr)->step, reached);
    last.publish(reached + 1, {{"b", text("x")}}, reached + 1);
    EXPECT_THAT(last.steps(), ElementsAre(reached, reached + 1));
    EXPECT_TRUE(leftovers(path).empty());
}

}  // namespace
}  // namespace flagen::models
