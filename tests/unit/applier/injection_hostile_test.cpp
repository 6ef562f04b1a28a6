// SPDX-License-Identifier: Apache-2.0
// Others interfere with an injection, or it is used wrongly.
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <csignal>

#include "applier/injection_support.hpp"

namespace {

using namespace support;

TEST_F(InjectionTest, FailsWhenTheCallIsAnotherOne)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "user"};
    plan.layers = {{ruleset.fd(), 0}};
    const int stops = stopsOf(plan);
    for (int at = firstCallEntry; at < stops; at += 2) {
        plan.before = [=](pid_t task, int stop) {
            namespace machine = applier::injection::machine;
            machine::Registers registers;
            if (stop == at) {
                EXPECT_TRUE(machine::readRegisters(task, registers));
                EXPECT_TRUE(machine::writeRegisters(task, machine::forCall(registers, {SYS_getppid, {}})));
            }
        };
        const Outcome outcome = support::run(plan);
        EXPECT_EQ(name(outcome.state), "failed");
        EXPECT_EQ(outcome.error.find("the program makes another call than "), 0U) << outcome.error;
        EXPECT_EQ(describe(outcome.statuses), Seen{"killed 9"});
        EXPECT_EQ(outcome.output, "");
    }
}

TEST_F(InjectionTest, FailsWhenAnotherDescriptorIsReceived)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "user"};
    plan.layers = {{ruleset.fd(), 0}};
    bool found = false;
    plan.before = [&](pid_t task, int stop) {
        if (stop != recvmsgExit) {
            return;
        }
        __ptrace_syscall_info info{};
        ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), task, sizeof info, &info);
        char memory[512];
        iovec here{memory, sizeof memory};
        iovec there{reinterpret_cast<void*>(info.stack_pointer), sizeof memory};
        ASSERT_EQ(process_vm_readv(task, &here, 1, &there, 1, 0), static_cast<ssize_t>(sizeof memory));
        const struct {
            std::size_t length = CMSG_LEN(sizeof(int));
            int level = SOL_SOCKET;
            int type = SCM_RIGHTS;
        } header;
        auto* const at = static_cast<char*>(memmem(memory, sizeof memory, &header, sizeof header));
        ASSERT_NE(at, nullptr);
        const int other = 1;
        std::memcpy(at + sizeof header, &other, sizeof other);
        EXPECT_EQ(process_vm_writev(task, &here, 1, &there, 1, 0), static_cast<ssize_t>(sizeof memory));
        found = true;
    };
    expectFailed(support::run(plan), "comparing the rulesets that the program received", EPROTO);
    EXPECT_TRUE(found);
}

TEST_F(InjectionTest, FailsWhenTheSocketIsAnotherOne)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "user"};
    plan.layers = {{ruleset.fd(), 0}};
    for (const std::size_t which : {0U, 1U}) {
        for (const int other : {1, 1000, -1}) {
            plan.before = [&](pid_t task, int stop) {
                if (stop != socketpairExit) {
                    return;
                }
                __ptrace_syscall_info info{};
                ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), task, sizeof info, &info);
                int pair[2] = {};
                iovec here{pair, sizeof pair};
                iovec there{reinterpret_cast<void*>(info.stack_pointer), sizeof pair};
                ASSERT_EQ(process_vm_readv(task, &here, 1, &there, 1, 0), static_cast<ssize_t>(sizeof pair));
                EXPECT_EQ(pair[0], 3);
                EXPECT_EQ(pair[1], 4);
                pair[which] = other;
                EXPECT_EQ(process_vm_writev(task, &here, 1, &there, 1, 0), static_cast<ssize_t>(sizeof pair));
            };
            expectFailed(support::run(plan), "the sockets are not those that the program has made", EPROTO);
        }
    }
}

// A child that is traced, and what it was stopped with.
class Traced {
public:
    explicit Traced(unsigned long options)
    {
        int ends[2];
        EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
        const sys::Fd go(ends[0]);
        sys::Fd write(ends[1]);
        pid_ = fork();
        if (pid_ == 0) {
            write.reset();
            char byte;
            if (read(go.get(), &byte, 1) == 0) {
                execl(program("injection-target-static").c_str(), "target", nullptr);
            }
            _exit(126);
        }
        EXPECT_EQ(ptrace(PTRACE_SEIZE, pid_, nullptr, options), 0);
        if ((options & PTRACE_O_TRACEEXEC) == 0) {
            EXPECT_EQ(ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr), 0);
        }
        write.reset();
        EXPECT_EQ(waitpid(pid_, &status_, __WALL), pid_);
    }

    pid_t pid() const { return pid_; }
    int status() const { return status_; }

    std::string end() const
    {
        int status = 0;
        waitpid(pid_, &status, __WALL);
        return describe(status);
    }

private:
    pid_t pid_ = -1;
    int status_ = 0;
};

TEST_F(InjectionTest, StartsAtAnExecEventOnly)
{
    const landlock::Ruleset ruleset = harmless();
    const Traced traced(PTRACE_O_EXITKILL);
    Injection injection(traced.pid(), {{ruleset.fd(), 0}});
    EXPECT_EQ(injection.step(traced.status()), State::failed);
    EXPECT_EQ(injection.error(), "not at an exec event: Invalid argument");
    EXPECT_EQ(injection.errorCode(), EINVAL);
    EXPECT_EQ(traced.end(), "killed 9");
    EXPECT_EQ(injection.step(traced.status()), State::failed);
}

TEST_F(InjectionTest, KillsWhatItDoesNotFinish)
{
    const landlock::Ruleset ruleset = harmless();
    const Traced traced(PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC);
    {
        Injection injection(traced.pid(), {{ruleset.fd(), 0}});
        EXPECT_EQ(injection.step(traced.status()), State::underWay);
    }
    EXPECT_EQ(traced.end(), "killed 9");
}

TEST_F(InjectionTest, HearsOfTheEnd)
{
    const landlock::Ruleset ruleset = harmless();
    const Traced traced(PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC);
    Injection injection(traced.pid(), {{ruleset.fd(), 0}});
    kill(traced.pid(), SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(traced.pid(), &status, __WALL), traced.pid());
    EXPECT_EQ(injection.step(status), State::gone);
    EXPECT_EQ(injection.error(), "the program ended");
}

}  // namespace
