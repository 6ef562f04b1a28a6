// SPDX-License-Identifier: Apache-2.0
#include "sys/log.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>

#include "sys/fd.hpp"
#include "sys/file.hpp"

namespace {

// What a process with a pipe as its standard error writes there.
std::string written(const std::function<void()>& action)
{
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        action();
        _exit(0);
    }
    close(ends[1]);
    const sys::Fd end(ends[0]);
    waitpid(child, nullptr, 0);
    return sys::readAll(end.get(), 4096, "pipe");
}

std::string journalAt(int fd, unsigned long inodeOffset)
{
    struct stat st {};
    fstat(fd, &st);
    return std::to_string(st.st_dev) + ":" + std::to_string(st.st_ino + inodeOffset);
}

TEST(Log, NamesTheContainer)
{
    EXPECT_EQ(written([] { sys::tell(LOG_DEBUG, "hello"); }), "oci-landlock: hello\n");
    EXPECT_EQ(written([] { sys::tell(LOG_DEBUG, "a\nb\x1b[m", "hello"); }),
              "oci-landlock: container a\\x0ab\\x1b[m: hello\n");
}

TEST(Log, TellsTheJournalThePriority)
{
    EXPECT_EQ(written([] {
                  setenv("JOURNAL_STREAM", journalAt(STDERR_FILENO, 0).c_str(), 1);
                  sys::tell(LOG_NOTICE, "hello");
              }),
              "<5>oci-landlock: hello\n");
    for (const char* wrong : {"", "1", ":", "x:y"}) {
        EXPECT_EQ(written([&] {
                      setenv("JOURNAL_STREAM", wrong, 1);
                      sys::tell(LOG_DEBUG, "hello");
                  }),
                  "oci-landlock: hello\n");
    }
    EXPECT_EQ(written([] {
                  setenv("JOURNAL_STREAM", journalAt(STDERR_FILENO, 1).c_str(), 1);
                  sys::tell(LOG_DEBUG, "hello");
              }),
              "oci-landlock: hello\n");
}

}  // namespace
