// SPDX-License-Identifier: Apache-2.0
#include "sys/file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <thread>

#include "sys/fd.hpp"
#include "temporary.hpp"

namespace {

std::string readFile(const std::string& path, std::size_t limit)
{
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return sys::readAll(file.get(), limit, "it");
}

TEST(ReplaceFile, PutsAWholeFileInTheOthersPlaceOrNone)
{
    const support::Temporary directory;
    const std::string path = directory.file("f", "before");
    const sys::Fd before(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    sys::replaceFile(path, "after", {.mode = 0640});
    EXPECT_EQ(readFile(path, 100), "after");
    EXPECT_EQ(sys::readAll(before.get(), 100, "it"), "before");
    struct stat st {};
    ASSERT_EQ(stat(path.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777U, 0640U);
    sys::replaceFile(directory.path() + "/new", "new", {});
    EXPECT_EQ(readFile(directory.path() + "/new", 100), "new");

    ASSERT_EQ(mkdir((directory.path() + "/taken").c_str(), 0755), 0);
    support::expectError([&] { sys::replaceFile(directory.path() + "/taken", "x", {}); }, "cannot write");
    support::expectError([&] { sys::replaceFile(directory.path() + "/no/such", "x", {}); }, "cannot write");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 3);
}

TEST(RequireRoom, LeavesNothing)
{
    const support::Temporary directory;
    const std::string path = directory.path() + "/file";
    sys::requireRoom(path, 100000);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 0);
    support::expectError([&] { sys::requireRoom(directory.path() + "/no/such", 1); }, "cannot write");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 0);
}

TEST(ReadAll, ReadsUpToItsLimit)
{
    const support::Temporary directory;
    for (const std::size_t size : {0UL, 1UL, 4095UL, 16383UL, 16384UL, 16385UL, 100000UL}) {
        const std::string content(size, 'x');
        const std::string path = directory.file("f", content);
        EXPECT_EQ(readFile(path, size), content);
        EXPECT_EQ(readFile(path, size + 1), content);
        EXPECT_EQ(readFile(path, 10000000), content);
        if (size > 0) {
            support::expectError([&] { readFile(path, size - 1); },
                                 "it: larger than " + std::to_string(size - 1) + " bytes");
            support::expectError([&] { readFile(path, 0); }, "it: larger than 0 bytes");
        }
    }
}

TEST(ReadAll, StopsAtAnEndlessFile)
{
    support::expectError([] { readFile("/dev/zero", 1024 * 1024); }, "it: larger than 1048576 bytes");
}

TEST(ReadAll, PutsPiecesTogether)
{
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const sys::Fd input(ends[0]);
    std::thread writer([output = sys::Fd(ends[1])] {
        for (int i = 0; i < 100; ++i) {
            EXPECT_TRUE(sys::writeAll(output.get(), "0123456789"));
        }
    });
    const std::string data = sys::readAll(input.get(), 1000, "it");
    writer.join();
    EXPECT_EQ(data.size(), 1000U);
    EXPECT_EQ(data.substr(990), "0123456789");
}

TEST(ReadAll, ReportsErrors)
{
    support::expectError([] { sys::readAll(-1, 10, "it"); }, "read it: Bad file descriptor");
    support::expectError([] { readFile("/", 10); }, "read it: Is a directory");
}

TEST(WriteAll, SaysWhenItCannot)
{
    std::signal(SIGPIPE, SIG_IGN);
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const sys::Fd output(ends[1]);
    sys::Fd(ends[0]).reset();
    EXPECT_FALSE(sys::writeAll(output.get(), "x"));
    EXPECT_TRUE(sys::writeAll(output.get(), ""));
    EXPECT_FALSE(sys::writeAll(-1, "x"));
}

class Trusted : public testing::Test {
protected:
    void SetUp() override
    {
        if (geteuid() != 0) {
            GTEST_SKIP() << "needs root";
        }
    }

    static void require(const std::string& path)
    {
        const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        ASSERT_TRUE(file);
        sys::requireTrustedFile(file.get(), "it");
    }

    support::Temporary directory_;
};

TEST_F(Trusted, OnlyWhatRootAloneMayWrite)
{
    const std::string path = directory_.file("f");
    for (const mode_t mode : {0600U, 0644U, 0444U, 0400U, 0755U, 0000U}) {
        ASSERT_EQ(chmod(path.c_str(), mode), 0);
        EXPECT_NO_THROW(require(path)) << std::oct << mode;
    }
    for (const mode_t mode : {0620U, 0602U, 0666U, 0777U, 0020U, 0002U}) {
        ASSERT_EQ(chmod(path.c_str(), mode), 0);
        support::expectError([&] { require(path); }, "it: must belong to root and be writable by root alone");
    }
    ASSERT_EQ(chmod(path.c_str(), 0644), 0);
    ASSERT_EQ(chown(path.c_str(), 1, 0), 0);
    support::expectError([&] { require(path); }, "must belong to root");
    ASSERT_EQ(chown(path.c_str(), 0, 1), 0);
    EXPECT_NO_THROW(require(path));
}

// There the host's root is one of those that the namespace does not know.
TEST_F(Trusted, InAUserNamespaceAlsoWhatUnknownUsersHave)
{
    const std::string path = directory_.file("f");
    ASSERT_EQ(chown(path.c_str(), 1, 1), 0);
    for (const bool inside : {false, true}) {
        const pid_t child = fork();
        if (child == 0) {
            const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
            if (inside) {
                if (unshare(CLONE_NEWUSER) != 0) {
                    _exit(2);
                }
                const sys::Fd map(open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC));
                if (!sys::writeAll(map.get(), "0 0 1")) {
                    _exit(3);
                }
            }
            try {
                sys::requireTrustedFile(file.get(), "it");
            } catch (const sys::Error&) {
                _exit(1);
            }
            _exit(0);
        }
        int status = -1;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, inside ? 0 : 1);
    }
}

TEST_F(Trusted, OnlyRegularFiles)
{
    support::expectError([&] { require(directory_.path()); }, "it: not a regular file");
    support::expectError([&] { require("/dev/null"); }, "it: not a regular file");
    ASSERT_EQ(mkfifo(directory_.path("fifo").c_str(), 0600), 0);
    support::expectError([&] { require(directory_.path("fifo")); }, "it: not a regular file");
    support::expectError([] { sys::requireTrustedFile(-1, "it"); }, "stat it: Bad file descriptor");
}

TEST_F(Trusted, OnlyDirectoriesThatRootAloneMayWrite)
{
    const auto check = [](const std::string& path) {
        const sys::Fd directory(open(path.c_str(), O_PATH | O_CLOEXEC));
        sys::requireTrustedDirectory(directory.get(), "it");
    };
    const std::string path = directory_.directory("d");
    ASSERT_EQ(chmod(path.c_str(), 0755), 0);
    EXPECT_NO_THROW(check(path));
    for (const mode_t mode : {0775U, 0757U, 01777U, 02770U}) {
        ASSERT_EQ(chmod(path.c_str(), mode), 0);
        support::expectError([&] { check(path); }, "it: must belong to root and be writable by root alone");
    }
    ASSERT_EQ(chmod(path.c_str(), 0755), 0);
    ASSERT_EQ(chown(path.c_str(), 1, 1), 0);
    support::expectError([&] { check(path); }, "must belong to root");
    support::expectError([&] { check(directory_.file("f")); }, "it: not a directory");
}

}  // namespace
