// SPDX-License-Identifier: Apache-2.0
#include "container/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <csignal>

#include "sys/error.hpp"
#include "sys/user.hpp"
#include "temporary.hpp"

namespace {

// A child that waits to be killed.
class Child {
public:
    Child() : pid_(fork())
    {
        if (pid_ == 0) {
            for (;;) {
                pause();
            }
        }
    }
    ~Child() { end(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    pid_t pid() const { return pid_; }

    // Leaves a zombie until end().
    void kill() const
    {
        siginfo_t info{};
        ::kill(pid_, SIGKILL);
        waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
    }

    void end()
    {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
            pid_ = -1;
        }
    }

private:
    pid_t pid_;
};

TEST(Process, MustExist)
{
    for (const pid_t pid : {0, -1, INT_MIN, INT_MAX}) {
        support::expectError([&] { container::Process process(pid); }, "of the container's init");
    }
    Child child;
    const pid_t pid = child.pid();
    child.end();
    EXPECT_THROW(container::Process process(pid), sys::Error);
}

TEST(Process, AZombieHasExited)
{
    const Child child;
    child.kill();
    support::expectError([&] { container::Process process(child.pid()); }, "has exited");
}

TEST(Process, IsNotItsPid)
{
    Child child;
    const container::Process process(child.pid());
    EXPECT_TRUE(process.open("root", O_PATH | O_DIRECTORY));
    EXPECT_TRUE(process.open("cgroup", O_RDONLY));
    support::expectError([&] { process.open("nothing", O_RDONLY); }, "/nothing: No such file or directory");
    child.kill();
    EXPECT_THROW(process.open("cgroup", O_RDONLY), sys::Error);
    child.end();
    EXPECT_THROW(process.open("cgroup", O_RDONLY), sys::Error);
}

TEST(Cgroup, Contains)
{
    const auto at = [](const char* path, std::uint64_t id) {
        container::Cgroup cgroup;
        cgroup.path = path;
        cgroup.id = id;
        return cgroup;
    };
    const container::Cgroup pod = at("/pod", 5);
    EXPECT_TRUE(pod.contains(at("/pod", 5)));
    EXPECT_TRUE(pod.contains(at("/pod/a", 6)));
    EXPECT_TRUE(pod.contains(at("/pod/a/b", 7)));
    EXPECT_FALSE(pod.contains(at("/pod2", 8)));
    EXPECT_FALSE(pod.contains(at("/", 1)));
    EXPECT_TRUE(at("/", 1).contains(pod));
    // The same directory by another name, seen from two cgroup namespaces.
    EXPECT_TRUE(pod.contains(at("/../pod", 5)));
}

TEST(Cgroup, HoldsOnly)
{
    const auto holds = [](const char* processes, const char* beneath = "populated 0\n") {
        const support::Temporary base;
        base.file("cgroup.procs", processes);
        base.file("child/cgroup.events", beneath);
        container::Cgroup cgroup;
        cgroup.directory = sys::Fd(open(base.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        return cgroup.holdsOnly(11);
    };
    EXPECT_TRUE(holds("11\n"));
    EXPECT_FALSE(holds("11\n", "populated 1\n"));
    for (const char* other : {"", "0\n", "1\n", "11\n12\n", "12\n11\n", "111\n", "11\n110\n"}) {
        EXPECT_FALSE(holds(other)) << other;
    }
    // Reaped meanwhile, or of another pid namespace.
    EXPECT_EQ(holds("0\n11\n0\n"), sys::inInitialPidNamespace());
}

}  // namespace
