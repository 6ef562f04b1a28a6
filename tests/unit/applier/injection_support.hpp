// SPDX-License-Identifier: Apache-2.0
// What the tests of the injection share. With real tasks and the machine's own Landlock, as root; no BPF.
#pragma once

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/fanotify.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "applier/injection/injection.hpp"
#include "applier/tracee.hpp"
#include "bpf/abi.h"
#include "landlock/ruleset.hpp"
#include "sys/fd.hpp"
#include "temporary.hpp"

namespace support {

using applier::injection::InjectedLayer;
using applier::injection::Injection;
using State = Injection::State;

inline constexpr uid_t nobody = 65534;
inline constexpr std::uint64_t readFile = 1U << 2;
inline constexpr std::uint64_t makeSocket = 1U << 9;

// Stops of an injection with one layer, from the exec event on: what the tests about single steps count on.
inline constexpr int firstCallEntry = 2;
inline constexpr int socketpairExit = 3;
inline constexpr int recvmsgExit = 5;

// Copies of the programs that are built beside this one, for every user.
class Programs : public Temporary {
public:
    Programs() : Temporary(placeOfPrograms())
    {
        std::filesystem::permissions(path(), std::filesystem::perms(0755));
        for (const auto& entry :
             std::filesystem::directory_iterator(std::filesystem::read_symlink("/proc/self/exe").parent_path())) {
            const std::string name = entry.path().filename();
            if (name.starts_with("injection-") && entry.is_regular_file()) {
                std::filesystem::copy(entry.path(), path(name));
                std::filesystem::permissions(path(name), std::filesystem::perms(0755));
            }
        }
    }
};

inline std::string program(const std::string& name)
{
    static const Programs programs;
    return programs.path(name);
}

// Restricts nothing that a test does.
inline landlock::Ruleset harmless()
{
    return landlock::Ruleset({.handledFs = makeSocket});
}

// Lets files be read that programs need, and those in `allowed`.
inline landlock::Ruleset reading(const std::vector<std::string>& allowed)
{
    landlock::Ruleset ruleset({.handledFs = readFile});
    std::vector<std::string> paths{"/usr", "/lib", "/lib64", "/etc", "/proc", "/dev"};
    paths.insert(paths.end(), allowed.begin(), allowed.end());
    for (const std::string& path : paths) {
        const sys::Fd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
        if (fd) {
            ruleset.allowPath(fd.get(), readFile, false);
        }
    }
    return ruleset;
}

inline void become(uid_t user)
{
    if (setgroups(0, nullptr) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0) {
        _exit(120);
    }
}

inline void limit(__rlimit_resource resource, rlim_t value)
{
    const rlimit both{value, value};
    if (setrlimit(resource, &both) != 0) {
        _exit(121);
    }
}

// Only the part that a process may raise again itself.
inline void softLimit(__rlimit_resource resource, rlim_t value)
{
    rlimit both{};
    getrlimit(resource, &both);
    both.rlim_cur = value;
    if (setrlimit(resource, &both) != 0) {
        _exit(121);
    }
}

// CAP_SYS_RESOURCE: without it nobody's hard limits can be raised, and other users' soft ones neither.
inline bool mayRaiseLimits()
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    syscall(SYS_capget, &header, data);
    return (data[0].effective & (1U << CAP_SYS_RESOURCE)) != 0;
}

// What the kernel asks for of the calling thread, but not what it may have again.
inline void dropEffective(int capability)
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    syscall(SYS_capget, &header, data);
    data[capability / 32].effective &= ~(1U << capability % 32);
    if (syscall(SYS_capset, &header, data) != 0) {
        _exit(123);
    }
}

inline void enforce(const landlock::Ruleset& ruleset)
{
    if (syscall(SYS_landlock_restrict_self, ruleset.fd(), 0) != 0) {
        _exit(122);
    }
}

inline std::string lines(const std::vector<std::string>& all)
{
    std::string text;
    for (const std::string& line : all) {
        text += line + "\n";
    }
    return text;
}

inline std::string describe(int status)
{
    if (WIFEXITED(status)) {
        return "exit " + std::to_string(WEXITSTATUS(status));
    }
    if (WIFSIGNALED(status)) {
        return "killed " + std::to_string(WTERMSIG(status));
    }
    if (WIFSTOPPED(status)) {
        return "stopped " + std::to_string(WSTOPSIG(status));
    }
    return WIFCONTINUED(status) ? "continued" : "?";
}

inline std::vector<std::string> describe(const std::vector<int>& statuses)
{
    std::vector<std::string> result;
    for (const int status : statuses) {
        result.push_back(describe(status));
    }
    return result;
}

using Seen = std::vector<std::string>;

inline std::string name(State state)
{
    return state == State::done     ? "done"
           : state == State::failed ? "failed"
           : state == State::gone   ? "gone"
                                    : "under way";
}

class InjectionTest : public testing::Test {
protected:
    void SetUp() override
    {
        alarm(600);  // what goes wrong here tends to wait for ever
        if (geteuid() != 0) {
            GTEST_SKIP() << "needs root";
        }
        if (landlock::kernelAbi() == 0) {
            GTEST_SKIP() << "no Landlock";
        }
        if (!sys::Fd(fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY))) {
            GTEST_SKIP() << "no fanotify permission events: " << std::strerror(errno);
        }
        program("");  // made here, not by a child
        open_ = openDescriptors();
    }

    void TearDown() override
    {
        alarm(0);
        if (open_ != 0) {
            EXPECT_EQ(openDescriptors(), open_) << "descriptors of the tracing process";
        }
    }

    static long openDescriptors() { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); }

    static void expectDone(const Outcome& outcome)
    {
        EXPECT_EQ(name(outcome.state), "done") << outcome.error;
        EXPECT_EQ(outcome.error, "");
        EXPECT_EQ(outcome.errorCode, 0);
        EXPECT_EQ(describe(outcome.statuses), Seen{"exit 0"});
    }

    static void expectFailed(const Outcome& outcome, const std::string& error, int code)
    {
        EXPECT_EQ(name(outcome.state), "failed");
        EXPECT_EQ(outcome.error, error + ": " + std::strerror(code));
        EXPECT_EQ(outcome.errorCode, code);
        EXPECT_EQ(describe(outcome.statuses), Seen{"killed 9"});
        EXPECT_EQ(outcome.output, "");
    }

private:
    long open_ = 0;
};

// How many stops there are with one layer.
inline int stopsOf(const Plan& plan)
{
    return run(plan).stops;
}

}  // namespace support
