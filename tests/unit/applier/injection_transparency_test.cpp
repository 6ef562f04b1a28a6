// SPDX-License-Identifier: Apache-2.0
// What a program can see of an injection, and that it needs next to nothing.
#include <sched.h>
#include <seccomp.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#include <csignal>
#include <functional>
#include <map>
#include <regex>
#include <sstream>

#include "applier/injection_support.hpp"

namespace {

using namespace support;

// Sections by name. Numbers that are other ones each time are taken out.
std::map<std::string, std::string> sections(const std::string& dump)
{
    static const std::regex own(R"(/proc/\d+/fd)");
    static const std::regex changing(
        R"(^(Pid|Tgid|PPid|NSpid|NStgid|NSpgid|NSsid|SigQ|VmHWM|VmRSS|Rss\w+|\w*ctxt_switches):.*)");
    std::map<std::string, std::string> result;
    std::string section;
    std::istringstream input(dump);
    for (std::string line; std::getline(input, line);) {
        if (line.starts_with("= ")) {
            section = line.substr(2);
            result[section];
        } else if (!std::regex_match(line, changing)) {
            result[section] += std::regex_replace(line, own, "/proc/<pid>/fd") + "\n";
        }
    }
    return result;
}

struct Circumstance {
    const char* name;
    void (*prepare)();
    std::vector<std::string> arguments = {};
    std::vector<std::string> environment = {"A=1", "B=2"};
};

std::ostream& operator<<(std::ostream& stream, const Circumstance& circumstance)
{
    return stream << circumstance.name;
}

const Circumstance circumstances[] = {
    {"Plain", [] {}},
    {"Arguments", [] {}, {"a", "", "a longer one"}},
    {"NoEnvironment", [] {}, {}, {}},
    {"Descriptors",
     [] {
         dup2(0, 7);
         dup2(0, 300);
         close(0);
     }},
    {"FewDescriptors", [] { softLimit(RLIMIT_NOFILE, 4); }},
    {"NoDescriptorLeft",
     [] {
         for (int fd = 3; fd < 64; ++fd) {
             dup2(0, fd);
         }
         softLimit(RLIMIT_NOFILE, 4);
     }},
    {"SmallStack", [] { limit(RLIMIT_STACK, 64UL * 1024); }},
    {"LargeStack", [] { limit(RLIMIT_STACK, 8UL * 1024 * 1024); }},
    {"EndlessStack", [] { limit(RLIMIT_STACK, RLIM_INFINITY); }},
    {"Signals",
     [] {
         sigset_t set;
         sigemptyset(&set);
         for (const int number : {SIGUSR1, SIGTERM, SIGCHLD, SIGCONT, SIGTSTP, SIGRTMIN}) {
             sigaddset(&set, number);
         }
         sigprocmask(SIG_SETMASK, &set, nullptr);
         signal(SIGUSR2, SIG_IGN);
         for (const int number : {SIGUSR1, SIGTERM, SIGRTMIN, SIGUSR2}) {
             raise(number);
         }
         const sigval value{};
         sigqueue(getpid(), SIGRTMIN, value);
     }},
    {"Filtered",
     [] {
         const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
         seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);  // 32-bit programs
         seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socketpair), 0);
         if (seccomp_load(filter) != 0) {
             _exit(124);
         }
     }},
    {"Unprivileged", [] { become(nobody); }},
};

// For these, the tracer needs CAP_SYS_RESOURCE.
const Circumstance hardLimits[] = {
    {"HardFewDescriptors", [] { limit(RLIMIT_NOFILE, 4); }},
    {"HardNoDescriptor", [] { limit(RLIMIT_NOFILE, 0); }},
    {"HardFewUnprivileged",
     [] {
         limit(RLIMIT_NOFILE, 4);
         become(nobody);
     }},
};

class InjectionTransparency : public InjectionTest,
                              public testing::WithParamInterface<std::tuple<const char*, Circumstance>> {};

TEST_P(InjectionTransparency, LeavesNoTrace)
{
    const auto& [target, circumstance] = GetParam();
    if (!std::filesystem::exists(program(target))) {
        GTEST_SKIP() << "32-bit programs: not built, as g++ -m32 -nostdlib -static does not work";
    }
    if (std::string_view(circumstance.name).starts_with("Hard") && !mayRaiseLimits()) {
        GTEST_SKIP() << "limits of open files that only CAP_SYS_RESOURCE can raise";
    }
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program(target)};
    plan.command.insert(plan.command.end(), circumstance.arguments.begin(), circumstance.arguments.end());
    plan.environment = circumstance.environment;
    plan.prepare = [&] {
        personality(ADDR_NO_RANDOMIZE);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        circumstance.prepare();
    };
    plan.trace = false;
    Outcome outcome = support::run(plan);
    auto without = sections(outcome.output);
    EXPECT_EQ(describe(outcome.statuses), Seen{"exit 0"});
    ASSERT_TRUE(without.contains("end"));
    for (const std::size_t layers : {1UL, 3UL}) {
        plan.trace = true;
        plan.layers.assign(layers, {ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS});
        outcome = support::run(plan);
        expectDone(outcome);
        auto with = sections(outcome.output);
        if (std::string_view(target).ends_with("dynamic")) {
            // What the dynamic linker leaves there depends on random bytes.
            with.erase("below the stack");
            without.erase("below the stack");
#if defined(__aarch64__)
            // And in the registers the number of the process.
            with.erase("registers");
            without.erase("registers");
#endif
        }
        ASSERT_EQ(with.size(), without.size());
        for (const auto& [section, content] : without) {
            EXPECT_EQ(with[section], content) << section;
        }
    }
}

std::string circumstanceName(const testing::TestParamInfo<InjectionTransparency::ParamType>& kind)
{
    const std::string target = std::get<0>(kind.param);
    return std::regex_replace(target, std::regex("-|injection"), "") + std::get<1>(kind.param).name;
}

INSTANTIATE_TEST_SUITE_P(All, InjectionTransparency,
                         testing::Combine(testing::Values("injection-initial", "injection-initial-dynamic"),
                                          testing::ValuesIn(circumstances)),
                         circumstanceName);
#if defined(__x86_64__)
INSTANTIATE_TEST_SUITE_P(OfTheOlderKind, InjectionTransparency,
                         testing::Combine(testing::Values("injection-initial-32"), testing::ValuesIn(circumstances)),
                         circumstanceName);
#endif
INSTANTIATE_TEST_SUITE_P(Limits, InjectionTransparency,
                         testing::Combine(testing::Values("injection-initial"), testing::ValuesIn(hardLimits)),
                         circumstanceName);

// As much on the stack as its limit lets be there.
TEST_F(InjectionTest, WorksWithAFullStack)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-initial"), ""};
    plan.prepare = [] {
        personality(ADDR_NO_RANDOMIZE);
        limit(RLIMIT_STACK, 64UL * 1024);
    };
    plan.layers.assign(OLL_MAX_LAYERS, {ruleset.fd(), 0});
    const auto works = [&](std::size_t length) {
        plan.command[1].assign(length, 'x');
        plan.trace = false;
        return describe(support::run(plan).statuses) == Seen{"exit 0"};
    };
    std::size_t yes = 0;
    std::size_t no = 128UL * 1024;
    while (no - yes > 1) {
        const std::size_t middle = (yes + no) / 2;
        (works(middle) ? yes : no) = middle;
    }
    EXPECT_GT(yes, 32UL * 1024);
    for (const std::size_t less : {0UL, 1UL, 100UL, 200UL, 1000UL, 4096UL}) {
        plan.command[1].assign(yes - less, 'x');
        plan.trace = true;
        expectDone(support::run(plan));
    }
}

TEST_F(InjectionTest, WorksWithoutAFreeDescriptor)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "lowest-descriptor"};
    plan.layers.assign(OLL_MAX_LAYERS, {ruleset.fd(), 0});
    for (const rlim_t descriptors : {4U, 3U, 0U}) {
        plan.prepare = [=] { softLimit(RLIMIT_NOFILE, descriptors); };
        const Outcome outcome = support::run(plan);
        expectDone(outcome);
        EXPECT_EQ(outcome.output, descriptors == 4 ? "lowest-descriptor 3\n" : "lowest-descriptor -1\n");
    }
}

// In a process of its own, without the capability that raising another one's limit needs.
TEST_F(InjectionTest, FailsWhenNoDescriptorCanBeHad)
{
    const landlock::Ruleset ruleset = harmless();
    for (const rlim_t descriptors : {3U, 5U, 6U}) {
        const pid_t tester = fork();
        if (tester == 0) {
            __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
            __user_cap_data_struct data[2]{};
            syscall(SYS_capget, &header, data);
            data[0].effective &= ~(1U << CAP_SYS_RESOURCE);
            data[0].permitted &= ~(1U << CAP_SYS_RESOURCE);
            if (syscall(SYS_capset, &header, data) != 0) {
                _exit(1);
            }
            Plan plan;
            plan.command = {program("injection-target-static"), "lowest-descriptor"};
            plan.layers = {{ruleset.fd(), 0}};
            plan.prepare = [&] { limit(RLIMIT_NOFILE, descriptors); };
            const Outcome outcome = support::run(plan);
            // Two for the sockets, one for the ruleset.
            if (descriptors < 6) {
                expectFailed(outcome,
                             descriptors < 5 ? "socketpair in the program" : "passing the rulesets to the program",
                             EMFILE);
            } else {
                expectDone(outcome);
            }
            _exit(HasFailure() ? 1 : 0);
        }
        int status = -1;
        ASSERT_EQ(waitpid(tester, &status, 0), tester);
        EXPECT_EQ(describe(status), "exit 0") << descriptors;
    }
}

TEST_F(InjectionTest, SuspendsSeccompFiltersForItselfOnly)
{
    const landlock::Ruleset ruleset = harmless();
    for (const std::uint32_t action : {SCMP_ACT_ERRNO(ENOSYS), SCMP_ACT_KILL_PROCESS, SCMP_ACT_TRACE(1)}) {
        Plan plan;
        plan.command = {program("injection-target"), "user", "socketpair"};
        plan.prepare = [&] {
            const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
            for (const int number : {SCMP_SYS(socketpair), SCMP_SYS(recvmsg), SCMP_SYS(landlock_restrict_self),
                                     SCMP_SYS(kcmp), SCMP_SYS(landlock_create_ruleset)}) {
                seccomp_rule_add(filter, action, number, 0);
            }
            seccomp_rule_add(filter, action, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NO_NEW_PRIVS));
            if (seccomp_load(filter) != 0) {
                _exit(124);
            }
        };
        plan.layers = {{ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS}};
        const Outcome outcome = support::run(plan);
        EXPECT_EQ(name(outcome.state), "done") << outcome.error;
        if (action == SCMP_ACT_KILL_PROCESS) {
            EXPECT_EQ(outcome.output, "user 0 0\n");
            EXPECT_EQ(describe(outcome.statuses), Seen{"killed " + std::to_string(SIGSYS)});
        } else {
            // Without a tracer, SCMP_ACT_TRACE is ENOSYS.
            EXPECT_EQ(outcome.output, "user 0 0\nsocketpair " + std::to_string(ENOSYS) + "\n");
            EXPECT_EQ(describe(outcome.statuses), Seen{"exit 0"});
        }
    }
}

// Who has blocked the signals before the exec knows better what is to be put back.
TEST_F(InjectionTest, PutsBackTheSignalMaskThatItIsGiven)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "blocked"};
    plan.before = [](pid_t task, int stop) {
        const std::uint64_t all = ~0ULL;
        if (stop == 0) {
            EXPECT_EQ(ptrace(PTRACE_SETSIGMASK, task, sizeof all, &all), 0);
        }
    };
    plan.options.signalMask = 1ULL << (SIGUSR1 - 1);
    for (const std::size_t layers : {0UL, 1UL}) {
        plan.layers.assign(layers, {ruleset.fd(), 0});
        const Outcome outcome = support::run(plan);
        expectDone(outcome);
        EXPECT_EQ(outcome.output, "blocked " + std::to_string(SIGUSR1) + ",\n");
    }
}

// Somebody else changes the limit of open files while it is raised.
TEST_F(InjectionTest, NeverLeavesAHigherLimitBehind)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "open-files"};
    plan.layers = {{ruleset.fd(), 0}};
    for (const bool hard : {false, true}) {
        if (hard && !mayRaiseLimits()) {
            GTEST_SKIP() << "hard limits of open files, which only CAP_SYS_RESOURCE can raise";
        }
        rlimit own{};
        getrlimit(RLIMIT_NOFILE, &own);
        const rlim_t hardLimit = hard ? 4 : own.rlim_max;
        plan.prepare = [=] { hard ? limit(RLIMIT_NOFILE, 4) : softLimit(RLIMIT_NOFILE, 4); };
        for (const rlim_t meanwhile : {3U, 10U}) {
            plan.before = [=](pid_t task, int stop) {
                rlimit now{};
                if (stop == recvmsgExit) {
                    EXPECT_EQ(prlimit(task, RLIMIT_NOFILE, nullptr, &now), 0);
                    now.rlim_cur = meanwhile;
                    EXPECT_EQ(prlimit(task, RLIMIT_NOFILE, &now, nullptr), 0);
                }
            };
            const Outcome outcome = support::run(plan);
            expectDone(outcome);
            EXPECT_EQ(outcome.output, lines({"open-files " + std::to_string(std::min<rlim_t>(meanwhile, 4)) + " " +
                                             std::to_string(hardLimit)}));
        }
    }
}

TEST_F(InjectionTest, WorksForAMemberOfAllGroups)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "user"};
    plan.layers = {{ruleset.fd(), 0}};
    plan.prepare = [] {
        std::vector<gid_t> groups(65536);
        for (std::size_t i = 0; i < groups.size(); ++i) {
            groups[i] = static_cast<gid_t>(4000000000U + i);
        }
        if (setgroups(groups.size(), groups.data()) != 0) {
            _exit(124);
        }
    };
    expectDone(support::run(plan));
}

// Runs it in a process without CAP_SYS_ADMIN, who cannot suspend filters; how that process ended, where `expect` looks
// at what came of it.
std::string withoutRights(Plan& plan, const std::function<void(const Outcome&)>& expect)
{
    plan.before = [](pid_t, int stop) {
        if (stop == 0) {
            dropEffective(CAP_SYS_ADMIN);
        }
    };
    const pid_t tester = fork();
    if (tester == 0) {
        expect(support::run(plan));
        _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = -1;
    return waitpid(tester, &status, 0) == tester ? describe(status) : "nobody to wait for";
}

// Rootless engines have no right to suspend filters.
TEST_F(InjectionTest, LivesWithFiltersThatStay)
{
    const landlock::Ruleset ruleset = harmless();
    struct Case {
        std::uint32_t action;
        bool concerned;  // the filter is about a call of ours
    };
    const Case cases[] = {
        {SCMP_ACT_ERRNO(EPERM), false}, {SCMP_ACT_ERRNO(EPERM), true}, {SCMP_ACT_ERRNO(ENOSYS), true},
        {SCMP_ACT_TRAP, true},          {SCMP_ACT_KILL_PROCESS, true}, {SCMP_ACT_KILL_THREAD, true},
    };
    for (const Case& each : cases) {
        for (const bool may : {true, false}) {
            Plan plan;
            plan.command = {program("injection-target-static"), "user"};
            plan.layers = {{ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS}};
            plan.options.filtersMayStay = may;
            plan.prepare = [&] {
                const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
                seccomp_rule_add(filter, each.action,
                                 each.concerned ? SCMP_SYS(landlock_restrict_self) : SCMP_SYS(landlock_create_ruleset),
                                 0);
                if (seccomp_load(filter) != 0) {
                    _exit(124);
                }
            };
            EXPECT_EQ(withoutRights(plan,
                                    [&](const Outcome& outcome) {
                                        if (!may) {
                                            expectFailed(outcome, "suspending the program's seccomp filter", EPERM);
                                        } else if (!each.concerned) {
                                            expectDone(outcome);
                                            EXPECT_EQ(outcome.output, "user 0 0\n");
                                        } else {
                                            expectFailed(outcome,
                                                         "landlock_restrict_self in the program, which its seccomp "
                                                         "filter denies; allow it there",
                                                         EPERM);
                                        }
                                    }),
                      "exit 0")
                << each.action << " " << may;
        }
    }
}

// A filter can have a call return 0 that was never made.
TEST_F(InjectionTest, DoesNotTakeAFiltersWordForTheKernels)
{
    const landlock::Ruleset ruleset = harmless();
    const std::pair<int, const char*> cases[] = {
        {SCMP_SYS(landlock_restrict_self), "landlock_restrict_self"},
        {SCMP_SYS(prctl), "prctl(PR_SET_NO_NEW_PRIVS)"},
        {SCMP_SYS(close), "close"},
        {SCMP_SYS(recvmsg), "recvmsg"},
    };
    for (const auto& [call, name] : cases) {
        // Also where it is the number of the descriptor that it goes by.
        for (const bool some : {false, true}) {
            Plan plan;
            plan.command = {program("injection-target-static"), "user"};
            plan.layers = {{ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS}};
            plan.options.filtersMayStay = true;
            plan.prepare = [&] {
                const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
                seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
                some ? seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), call, 1, SCMP_A0(SCMP_CMP_GT, 2))
                     : seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), call, 0);
                if (seccomp_load(filter) != 0) {
                    _exit(124);
                }
            };
            const std::string what =
                std::string(name) + " in the program, which its seccomp filter denies; allow it there";
            EXPECT_EQ(withoutRights(plan, [&](const Outcome& outcome) { expectFailed(outcome, what, EPERM); }),
                      "exit 0")
                << name << " " << some;
        }
    }
}

}  // namespace
