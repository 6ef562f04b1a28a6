// SPDX-License-Identifier: Apache-2.0
// Signals and stops while an injection is under way.
#include <sched.h>

#include <csignal>

#include "applier/injection_support.hpp"

namespace {

using namespace support;

TEST_F(InjectionTest, BlockedSignalsStayPending)
{
    const landlock::Ruleset ruleset = harmless();
    const std::string realTime = std::to_string(SIGRTMIN);
    Plan plan;
    plan.command = {program("injection-target-static"), "pending=" + std::to_string(SIGTERM), "pending=" + realTime,
                    "pending=" + std::to_string(SIGUSR1)};
    plan.layers = {{ruleset.fd(), 0}};
    plan.prepare = [] {
        sigset_t set;
        sigemptyset(&set);
        for (const int number : {SIGTERM, SIGRTMIN, SIGUSR1}) {
            sigaddset(&set, number);
        }
        sigprocmask(SIG_SETMASK, &set, nullptr);
        raise(SIGRTMIN);
    };
    plan.before = [](pid_t task, int) {
        kill(task, SIGTERM);
        kill(task, SIGRTMIN);
    };
    const Outcome outcome = support::run(plan);
    expectDone(outcome);
    EXPECT_EQ(outcome.output, "pending 1\npending " + std::to_string(1 + outcome.stops) + "\npending 0\n");
}

TEST_F(InjectionTest, UnblockedSignalsTakeEffectAfterwards)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "user"};
    plan.layers = {{ruleset.fd(), 0}};
    const int stops = stopsOf(plan);
    ASSERT_GT(stops, recvmsgExit);
    for (int at = 0; at < stops; ++at) {
        for (const int signal : {SIGTERM, SIGCHLD, SIGWINCH, SIGCONT, SIGRTMIN}) {
            SCOPED_TRACE("signal " + std::to_string(signal) + " at stop " + std::to_string(at));
            plan.before = [=](pid_t task, int stop) {
                if (stop == at) {
                    kill(task, signal);
                }
            };
            const Outcome outcome = support::run(plan);
            const bool ends = signal == SIGTERM || signal == SIGRTMIN;
            EXPECT_EQ(name(outcome.state), "done") << outcome.error;
            EXPECT_EQ(describe(outcome.statuses), Seen{ends ? "killed " + std::to_string(signal) : "exit 0"});
            EXPECT_EQ(outcome.output, ends ? "" : "user 0 0\n");
        }
    }
}

TEST_F(InjectionTest, CanBeStoppedAnywhere)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "input", "user"};
    plan.layers = {{ruleset.fd(), 0}};
    plan.prepare = [] { setpgid(0, 0); };  // else its group may be orphaned, where SIGTSTP does nothing
    const int stops = stopsOf(plan);
    plan.continueWhenStopped = true;
    for (int at = 0; at < stops; ++at) {
        for (const int signal : {SIGSTOP, SIGTSTP}) {
            SCOPED_TRACE("signal " + std::to_string(signal) + " at stop " + std::to_string(at));
            plan.before = [=](pid_t task, int stop) {
                if (stop == at) {
                    kill(task, signal);
                }
            };
            const Outcome outcome = support::run(plan);
            EXPECT_EQ(name(outcome.state), "done") << outcome.error;
            EXPECT_EQ(describe(outcome.statuses), (Seen{"stopped " + std::to_string(signal), "continued", "exit 0"}));
            EXPECT_EQ(outcome.output, "input 0\nuser 0 0\n");
        }
    }
}

// The init of a pid namespace does not heed a SIGSTOP that comes from inside.
TEST_F(InjectionTest, TheInitOfANamespaceIsNotStoppedFromInside)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "user"};
    plan.layers = {{ruleset.fd(), 0}};
    const int stops = stopsOf(plan) - 1;  // not at the last one, after which nobody looks
    int ask[2], answer[2];
    for (int at = 0; at < stops; ++at) {
        ASSERT_EQ(pipe2(ask, O_CLOEXEC), 0);
        ASSERT_EQ(pipe2(answer, O_CLOEXEC), 0);
        const sys::Fd askRead(ask[0]), answerWrite(answer[1]);
        sys::Fd askWrite(ask[1]), answerRead(answer[0]);
        plan.execute = [&](char** arguments, char** environment) {
            if (unshare(CLONE_NEWPID) != 0) {
                _exit(124);
            }
            const pid_t init = fork();
            if (init == 0) {
                const pid_t other = fork();
                if (other == 0) {
                    askWrite.reset();
                    char byte;
                    if (read(askRead.get(), &byte, 1) == 1) {
                        kill(1, SIGSTOP);
                        byte = write(answerWrite.get(), &byte, 1) == 1;
                    }
                    _exit(0);
                }
                execve(arguments[0], arguments, environment);
                _exit(126);
            }
            int status = -1;
            waitpid(init, &status, WUNTRACED);
            _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
        };
        plan.before = [&](pid_t, int stop) {
            char byte = 0;
            if (stop == at) {
                EXPECT_EQ(write(askWrite.get(), &byte, 1), 1);
                EXPECT_EQ(read(answerRead.get(), &byte, 1), 1);
            }
        };
        const Outcome outcome = support::run(plan);
        expectDone(outcome);
        EXPECT_EQ(outcome.output, "user 0 0\n") << "at stop " << at;
    }
}

TEST_F(InjectionTest, WithstandsAStormOfStops)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "user"};
    plan.layers = {{ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS}};
    int stoppedRuns = 0;
    for (int round = 0; round < 500 && stoppedRuns < 20; ++round) {
        pid_t storm = -1;
        plan.before = [&](pid_t task, int stop) {
            if (stop != 0) {
                return;
            }
            const sys::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, task, 0)));
            storm = fork();
            if (storm == 0) {
                // Until the task's parent has seen the end of it.
                for (unsigned i = 0; syscall(SYS_pidfd_send_signal, pidfd.get(), SIGSTOP, nullptr, 0) == 0; ++i) {
                    usleep(i * 37 % 200);
                    syscall(SYS_pidfd_send_signal, pidfd.get(), SIGCONT, nullptr, 0);
                    usleep(i * 17 % 100);
                }
                _exit(0);
            }
        };
        const Outcome outcome = support::run(plan);
        kill(storm, SIGKILL);
        waitpid(storm, nullptr, 0);
        EXPECT_EQ(name(outcome.state), "done") << outcome.error;
        EXPECT_EQ(outcome.output, "user 0 0\n");
        Seen seen = describe(outcome.statuses);
        ASSERT_FALSE(seen.empty());
        EXPECT_EQ(seen.back(), "exit 0");
        seen.pop_back();
        for (const std::string& status : seen) {
            EXPECT_TRUE(status == "stopped " + std::to_string(SIGSTOP) || status == "continued") << status;
        }
        stoppedRuns += seen.empty() ? 0 : 1;
    }
    EXPECT_GT(stoppedRuns, 0) << "there was no storm";
}

TEST_F(InjectionTest, CanBeKilledAnywhere)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "user"};
    plan.layers.assign(2, {ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS});
    const int stops = stopsOf(plan);
    for (int at = 0; at < stops; ++at) {
        SCOPED_TRACE("at stop " + std::to_string(at));
        const auto killAt = [=](pid_t task, int stop) {
            if (stop == at) {
                kill(task, SIGKILL);
            }
        };
        plan.before = killAt;
        plan.after = [](pid_t, int) {};
        Outcome outcome = support::run(plan);
        EXPECT_TRUE(outcome.state == State::gone || outcome.state == State::failed) << name(outcome.state);
        EXPECT_NE(outcome.error, "");
        EXPECT_GT(outcome.errorCode, 0);
        EXPECT_EQ(describe(outcome.statuses), Seen{"killed 9"});
        EXPECT_EQ(outcome.output, "");

        if (at == stops - 1) {
            break;  // afterwards it is on its own
        }
        plan.before = [](pid_t, int) {};
        plan.after = killAt;
        outcome = support::run(plan);
        EXPECT_TRUE(outcome.state == State::gone || outcome.state == State::failed) << name(outcome.state);
        EXPECT_EQ(describe(outcome.statuses), Seen{"killed 9"});
        EXPECT_EQ(outcome.output, "");
    }
}

}  // namespace
