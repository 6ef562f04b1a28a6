// SPDX-License-Identifier: Apache-2.0
// What code that runs where untrusted input is parsed can do: nothing.
#include "confine/confine.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>

namespace {

// The wait status of a child that was confined by `confine`, runs `act` and then ends with status 7.
template <typename Confine, typename Act>
int inChild(Confine confine, Act act)
{
    const pid_t child = fork();
    if (child == 0) {
        try {
            confine();
        } catch (...) {
            _exit(99);
        }
        act();
        _exit(7);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
}

template <typename Act>
int inConfinedChild(Act act)
{
    int pipe[2];
    EXPECT_EQ(::pipe(pipe), 0);
    const int status = inChild([&] { confine::confineSelf(pipe[1]); }, [&] { act(pipe[1]); });
    close(pipe[0]);
    close(pipe[1]);
    return status;
}

void expectSystemCallKilled(int status)
{
    EXPECT_TRUE(WIFSIGNALED(status)) << "it went on, with status " << WEXITSTATUS(status);
    EXPECT_EQ(WTERMSIG(status), SIGSYS);
}

template <typename Act>
void expectKilled(Act act)
{
    expectSystemCallKilled(inConfinedChild(act));
}

// Or until our parent, which it is, has ended.
void waitUntilItIs(pid_t pid, char state)
{
    const std::string path = "/proc/" + std::to_string(pid) + "/stat";
    while (getppid() == pid) {
        std::ifstream file(path);
        const std::string stat((std::istreambuf_iterator<char>(file)), {});
        const std::size_t name = stat.rfind(')');
        if (name != std::string::npos && stat.at(name + 2) == state) {
            return;
        }
        sched_yield();
    }
    _exit(1);
}

TEST(Confine, LetsItComputeAndAnswer)
{
    const int status = inConfinedChild([](int channel) {
        const std::string text(1 << 20, 'x');  // large enough for mmap
        if (write(channel, text.data(), 10) != 10) {
            _exit(1);
        }
    });
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(Confine, NoFileCanBeOpened)
{
    expectKilled([](int) { open("/etc/shadow", O_RDONLY); });
}

TEST(Confine, NothingCanBeConnectedTo)
{
    expectKilled([](int) { socket(AF_INET, SOCK_STREAM, 0); });
    expectKilled([](int) { socket(AF_UNIX, SOCK_STREAM, 0); });
}

TEST(Confine, NothingCanBeExecuted)
{
    expectKilled([](int) { execl("/bin/true", "true", nullptr); });
    expectKilled([](int) { mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); });
}

TEST(Confine, NoOtherProcessCanBeReached)
{
    expectKilled([](int) { fork(); });
    expectKilled([](int) { kill(getppid(), 0); });
    expectKilled([](int) { ptrace(PTRACE_ATTACH, 1, nullptr, nullptr); });
}

TEST(Confine, OtherDescriptorsAreGone)
{
    expectKilled([](int) {
        char byte;
        [[maybe_unused]] const ssize_t n = read(0, &byte, 1);
    });
}

TEST(Confine, MemoryIsBounded)
{
    const int status = inConfinedChild([](int) {
        void* much = mmap(nullptr, 1UL << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        _exit(much == MAP_FAILED ? 3 : 4);
    });
    EXPECT_EQ(WEXITSTATUS(status), 3);
}

TEST(Confine, AServerAcceptsAndNothingElse)
{
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ASSERT_EQ(listen(listener, 1), 0);
    int channel[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel), 0);
    const auto serving = [&](auto act) { return inChild([&] { confine::confineServer(listener, channel[1]); }, act); };
    const int status = serving([&] {
        _exit(accept4(listener, nullptr, nullptr, 0) < 0 && errno == EAGAIN &&
                      send(channel[1], "", 1, MSG_NOSIGNAL) == 1 && read(0, nullptr, 0) < 0
                  ? 3
                  : 4);
    });
    expectSystemCallKilled(status);  // by read(2), the last of them
    expectSystemCallKilled(serving([&] { accept4(channel[1], nullptr, nullptr, 0); }));
    expectSystemCallKilled(serving([&] { recvmsg(listener, nullptr, 0); }));
    expectSystemCallKilled(serving([] { open("/etc/shadow", O_RDONLY); }));
    expectSystemCallKilled(serving([] { socket(AF_INET, SOCK_STREAM, 0); }));
    expectSystemCallKilled(serving([&] { connect(listener, nullptr, 0); }));
    expectSystemCallKilled(serving([] { execl("/bin/true", "true", nullptr); }));
    expectSystemCallKilled(serving([] { kill(getppid(), 0); }));
    expectSystemCallKilled(serving([] { fork(); }));
    EXPECT_EQ(WEXITSTATUS(serving([] { _exit(close(0) < 0 && errno == EBADF ? 3 : 4); })), 3);
    const auto asksForTheTime = [] {
        timespec now{};
        _exit(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) == 0 ? 3 : 4);
    };
    EXPECT_EQ(WEXITSTATUS(serving(asksForTheTime)), 3);
    // One that waits is stopped, and goes on to wait until it is told something.
    const auto isStopped = [&] {
        const pid_t server = getpid();
        if (fork() == 0) {
            waitUntilItIs(server, 'S');
            kill(server, SIGSTOP);
            waitUntilItIs(server, 'T');
            kill(server, SIGCONT);
            waitUntilItIs(server, 'S');
            _exit(send(channel[0], "", 1, MSG_NOSIGNAL) == 1 ? 0 : 1);
        }
        confine::confineServer(listener, channel[1]);
    };
    const int stopped = inChild(isStopped, [&] {
        pollfd told{channel[1], POLLIN, 0};
        _exit(poll(&told, 1, 60'000) == 1 && told.revents == POLLIN ? 3 : 4);
    });
    EXPECT_EQ(WEXITSTATUS(stopped), 3) << stopped;
    close(listener);
    close(channel[0]);
    close(channel[1]);
}

}  // namespace
