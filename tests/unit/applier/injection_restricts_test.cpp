// SPDX-License-Identifier: Apache-2.0
// What an injected program is restricted to, whoever executes it.
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <regex>

#include "applier/injection_support.hpp"

namespace {

using namespace support;

class InjectionPrograms : public InjectionTest, public testing::WithParamInterface<const char*> {};

TEST_P(InjectionPrograms, AreRestricted)
{
    const support::Temporary directory;
    std::vector<std::string> secrets;
    for (const char* file : {"0", "1", "2"}) {
        secrets.push_back(directory.file(file, "secret"));
    }
    // The i-th withholds the i-th secret.
    std::vector<landlock::Ruleset> rulesets;
    for (std::size_t i = 0; i < secrets.size(); ++i) {
        std::vector<std::string> allowed = secrets;
        allowed.erase(allowed.begin() + static_cast<long>(i));
        rulesets.push_back(reading(allowed));
    }
    for (const std::size_t layers : {0UL, 1UL, 3UL}) {
        for (const bool noNewPrivileges : {false, true}) {
            SCOPED_TRACE(std::to_string(layers) + (noNewPrivileges ? " layers, no_new_privs" : " layers"));
            Plan plan;
            plan.command = {program(GetParam()), "no-new-privileges", "lowest-descriptor", "dumpable", "socketpair"};
            std::vector<std::string> expected{noNewPrivileges && layers > 0 ? "no-new-privileges 1"
                                                                            : "no-new-privileges 0",
                                              "lowest-descriptor 3", "dumpable 1", "socketpair 0"};
            for (std::size_t i = 0; i < secrets.size(); ++i) {
                for (const std::string how : {"open", "open-in-thread", "open-in-child"}) {
                    plan.command.push_back(how + "=" + secrets[i]);
                    expected.push_back(how + " " + std::to_string(i < layers ? EACCES : 0));
                }
            }
            for (std::size_t i = 0; i < layers; ++i) {
                // One that asks for it is enough.
                plan.layers.push_back(
                    {rulesets[i].fd(), noNewPrivileges && i == layers - 1 ? OLL_RESTRICT_NO_NEW_PRIVS : 0});
            }
            const Outcome outcome = support::run(plan);
            expectDone(outcome);
            EXPECT_EQ(outcome.output, lines(expected));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Kinds, InjectionPrograms,
                         testing::Values("injection-target", "injection-target-fixed", "injection-target-static"),
                         [](const auto& kind) {
                             return std::regex_replace(std::string(kind.param), std::regex("-"), "");
                         });

TEST_F(InjectionTest, NeedsPrivilegesOrNoNewPrivileges)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target"), "user", "no-new-privileges"};
    plan.prepare = [] { become(nobody); };
    plan.layers = {{ruleset.fd(), 0}};
    expectFailed(support::run(plan), "landlock_restrict_self in the program", EPERM);

    plan.layers = {{ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS}};
    const Outcome outcome = support::run(plan);
    expectDone(outcome);
    EXPECT_EQ(outcome.output, "user 65534 65534\nno-new-privileges 1\n");

    // Set before: not asked for is fine.
    plan.prepare = [] {
        become(nobody);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    };
    plan.layers = {{ruleset.fd(), 0}};
    expectDone(support::run(plan));
}

TEST_F(InjectionTest, RootOfAUserNamespaceNeedsNoMore)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target"), "user", "no-new-privileges"};
    plan.prepare = [] {
        // 0 inside is somebody without rights outside.
        if (unshare(CLONE_NEWUSER) != 0) {
            _exit(123);
        }
        for (const auto& [file, text] : {std::pair{"setgroups", "deny"}, {"uid_map", "0 0 1"}, {"gid_map", "0 0 1"}}) {
            const sys::Fd map(open((std::string("/proc/self/") + file).c_str(), O_WRONLY | O_CLOEXEC));
            if (write(map.get(), text, std::strlen(text)) < 0) {
                _exit(124);
            }
        }
    };
    plan.layers = {{ruleset.fd(), 0}};
    const Outcome outcome = support::run(plan);
    expectDone(outcome);
    EXPECT_EQ(outcome.output, "user 0 0\nno-new-privileges 0\n");
}

TEST_F(InjectionTest, StacksUpToTheKernelsLimit)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target"), "no-new-privileges"};
    plan.layers.assign(OLL_MAX_LAYERS, {ruleset.fd(), 0});
    expectDone(support::run(plan));

    plan.layers.push_back({ruleset.fd(), 0});
    expectFailed(support::run(plan), "restricting the program with more than 16 layers", E2BIG);

    plan.layers = {{ruleset.fd(), 0}};
    plan.prepare = [&] {
        for (int i = 0; i < OLL_MAX_LAYERS; ++i) {
            enforce(ruleset);
        }
    };
    expectFailed(support::run(plan), "landlock_restrict_self in the program", E2BIG);
}

TEST_F(InjectionTest, FailsWithWhatIsNoRuleset)
{
    const landlock::Ruleset ruleset = harmless();
    const sys::Fd other(open("/dev/null", O_RDONLY | O_CLOEXEC));
    Plan plan;
    plan.command = {program("injection-target"), "no-new-privileges"};
    plan.layers = {{ruleset.fd(), 0}, {other.get(), 0}};
    expectFailed(support::run(plan), "landlock_restrict_self in the program", EBADFD);
    plan.layers = {{ruleset.fd(), 0}, {-1, 0}};
    expectFailed(support::run(plan), "sending the rulesets to the program", EBADF);
    plan.layers = {{ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS | 1U << 30}};
    expectFailed(support::run(plan), "landlock_restrict_self in the program", EINVAL);
}

TEST_F(InjectionTest, WorksWithProgramsThatMayNotBeRead)
{
    const support::Temporary directory(placeOfPrograms());
    const landlock::Ruleset ruleset = harmless();
    std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
    const std::string copy = directory.path("unreadable");
    std::filesystem::copy(program("injection-target-static"), copy);
    Plan plan;
    plan.command = {copy, "user", "no-new-privileges"};
    plan.prepare = [] {
        become(nobody);
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    };
    plan.layers = {{ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS}};
    for (const auto mode : {0755, 0711}) {
        std::filesystem::permissions(copy, std::filesystem::perms(mode));
        const Outcome outcome = support::run(plan);
        expectDone(outcome);
        EXPECT_EQ(outcome.output, "user 65534 65534\nno-new-privileges 1\n");
    }
}

TEST_F(InjectionTest, SetuidProgramsStayWhatTheyAre)
{
    const support::Temporary directory(placeOfPrograms());
    const landlock::Ruleset ruleset = harmless();
    std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
    const std::string copy = directory.path("setuid");
    std::filesystem::copy(program("injection-target-static"), copy);
    std::filesystem::permissions(copy, std::filesystem::perms(04755));
    Plan plan;
    plan.command = {copy, "user"};
    plan.prepare = [] { become(nobody); };
    plan.trace = false;
    const std::string without = support::run(plan).output;
    plan.trace = true;
    plan.layers = {{ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS}};
    const Outcome outcome = support::run(plan);
    expectDone(outcome);
    EXPECT_EQ(outcome.output, without);
}

TEST_F(InjectionTest, VforkParentsAreLeftAlone)
{
    const support::Temporary directory;
    const std::string secret = directory.file("secret");
    const landlock::Ruleset ruleset = reading({});
    Plan plan;
    plan.command = {program("injection-target"), "open=" + secret};
    plan.layers = {{ruleset.fd(), 0}};
    plan.execute = [&](char** arguments, char** environment) {
        const pid_t child = vfork();
        if (child == 0) {
            execve(arguments[0], arguments, environment);
            _exit(126);
        }
        int status = -1;
        waitpid(child, &status, 0);
        const sys::Fd still(open(secret.c_str(), O_RDONLY | O_CLOEXEC));
        _exit(WIFEXITED(status) && WEXITSTATUS(status) == 0 && still ? 0 : 1);
    };
    const Outcome outcome = support::run(plan);
    expectDone(outcome);
    EXPECT_EQ(outcome.output, "open " + std::to_string(EACCES) + "\n");
}

TEST_F(InjectionTest, AnyThreadMayExecute)
{
    const support::Temporary directory;
    const std::string secret = directory.file("secret");
    const landlock::Ruleset ruleset = reading({});
    Plan plan;
    plan.command = {program("injection-target"), "open=" + secret, "open-in-thread=" + secret};
    plan.layers = {{ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS}};
    plan.execute = [](char** arguments, char** environment) {
        struct Both {
            char** arguments;
            char** environment;
        } both{arguments, environment};
        pthread_t thread;
        const auto idle = [](void*) -> void* {
            for (;;) {
                pause();
            }
        };
        for (int i = 0; i < 3; ++i) {
            pthread_create(&thread, nullptr, idle, nullptr);
        }
        pthread_create(
            &thread, nullptr,
            [](void* data) -> void* {
                const auto* of = static_cast<Both*>(data);
                execve(of->arguments[0], of->arguments, of->environment);
                _exit(126);
            },
            &both);
        idle(nullptr);
    };
    const Outcome outcome = support::run(plan);
    expectDone(outcome);
    EXPECT_EQ(outcome.output, "open 13\nopen-in-thread 13\n");
}

}  // namespace
