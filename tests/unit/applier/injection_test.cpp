// SPDX-License-Identifier: Apache-2.0
// With real tasks and the machine's own Landlock, as root; no BPF.
#include "applier/inject/injection.hpp"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/fanotify.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>
#include <regex>

#include "applier/inject/machine.hpp"
#include "applier/tracee.hpp"
#include "bpf/abi.h"
#include "landlock/ruleset.hpp"
#include "sys/fd.hpp"
#include "temporary.hpp"

namespace {

using applier::inject::InjectedLayer;
using applier::inject::Injection;
using State = Injection::State;
using support::Outcome;
using support::Plan;

constexpr uid_t nobody = 65534;
constexpr std::uint64_t readFile = 1U << 2;
constexpr std::uint64_t makeSocket = 1U << 9;

// Stops of an injection with one layer, from the exec event on: what the tests about single steps count on.
constexpr int firstCallEntry = 2;
constexpr int socketpairExit = 7;
constexpr int recvmsgExit = 9;

std::string program(const std::string& name)
{
    return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

// Restricts nothing that a test does.
landlock::Ruleset harmless()
{
    return landlock::Ruleset({.handledFs = makeSocket});
}

// Lets files be read that programs need, and those in `allowed`.
landlock::Ruleset reading(const std::vector<std::string>& allowed)
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

void become(uid_t user)
{
    if (setgroups(0, nullptr) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0) {
        _exit(120);
    }
}

void limit(__rlimit_resource resource, rlim_t value)
{
    const rlimit both{value, value};
    if (setrlimit(resource, &both) != 0) {
        _exit(121);
    }
}

// Only the part that a process may raise again itself.
void softLimit(__rlimit_resource resource, rlim_t value)
{
    rlimit both{};
    getrlimit(resource, &both);
    both.rlim_cur = value;
    if (setrlimit(resource, &both) != 0) {
        _exit(121);
    }
}

// CAP_SYS_RESOURCE: without it nobody's hard limits can be raised, and other users' soft ones neither.
bool mayRaiseLimits()
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    syscall(SYS_capget, &header, data);
    return (data[0].effective & (1U << CAP_SYS_RESOURCE)) != 0;
}

void enforce(const landlock::Ruleset& ruleset)
{
    if (syscall(SYS_landlock_restrict_self, ruleset.fd(), 0) != 0) {
        _exit(122);
    }
}

std::string lines(const std::vector<std::string>& all)
{
    std::string text;
    for (const std::string& line : all) {
        text += line + "\n";
    }
    return text;
}

std::string describe(int status)
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

std::vector<std::string> describe(const std::vector<int>& statuses)
{
    std::vector<std::string> result;
    for (const int status : statuses) {
        result.push_back(describe(status));
    }
    return result;
}

using Seen = std::vector<std::string>;

std::string name(State state)
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
            GTEST_SKIP() << "skipped injection: needs root";
        }
        if (landlock::kernelAbi() == 0) {
            GTEST_SKIP() << "skipped injection: no Landlock";
        }
        if (!sys::Fd(fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY))) {
            GTEST_SKIP() << "skipped injection: no fanotify permission events: " << std::strerror(errno);
        }
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

// ---- What the program is restricted to

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
            std::vector<std::string> expected{
                noNewPrivileges && layers > 0 ? "no-new-privileges 1" : "no-new-privileges 0", "lowest-descriptor 3",
                "dumpable 1", "socketpair 0"};
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

// ---- What the program can see of it

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
        GTEST_SKIP() << "skipped 32-bit programs: not built, as g++ -m32 -nostdlib -static does not work";
    }
    if (std::string_view(circumstance.name).starts_with("Hard") && !mayRaiseLimits()) {
        GTEST_SKIP() << "skipped limits of open files that only CAP_SYS_RESOURCE can raise";
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
                         testing::Combine(testing::Values("injection-initial", "injection-initial-dynamic",
                                                          "injection-initial-32"),
                                          testing::ValuesIn(circumstances)),
                         circumstanceName);
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

// ---- Who executes

TEST_F(InjectionTest, WorksWithProgramsThatMayNotBeRead)
{
    const support::Temporary directory;
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
    const support::Temporary directory;
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

// ---- Signals

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

// How many stops there are with one layer.
int stopsOf(const Plan& plan)
{
    return support::run(plan).stops;
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

// ---- Interference

TEST_F(InjectionTest, FailsWhenTheCallIsAnotherOne)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "user"};
    plan.layers = {{ruleset.fd(), 0}};
    const int stops = stopsOf(plan);
    for (int at = firstCallEntry; at < stops; at += 2) {
        plan.before = [=](pid_t task, int stop) {
            namespace machine = applier::inject::machine;
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

// 0, or the error with which somebody of the same user cannot take a descriptor of the task: standard output.
int stealDescriptor(pid_t task)
{
    const pid_t thief = fork();
    if (thief == 0) {
        become(nobody);
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        const long pidfd = syscall(SYS_pidfd_open, task, 0);
        _exit(pidfd >= 0 && syscall(SYS_pidfd_getfd, pidfd, STDOUT_FILENO, 0) >= 0 ? 0 : errno);
    }
    int status = -1;
    waitpid(thief, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(InjectionTest, RulesetsCannotBeTakenFromTheProgram)
{
    const landlock::Ruleset ruleset = harmless();
    Plan plan;
    plan.command = {program("injection-target-static"), "user"};
    plan.layers = {{ruleset.fd(), OLL_RESTRICT_NO_NEW_PRIVS}};
    plan.prepare = [] { become(nobody); };
    const int stops = stopsOf(plan);
    std::vector<int> results;
    plan.before = [&](pid_t task, int) { results.push_back(stealDescriptor(task)); };
    expectDone(support::run(plan));
    ASSERT_EQ(results.size(), static_cast<std::size_t>(stops));
    // Otherwise it would be possible, unless Yama is there and forbids it.
    int scope = 0;
    std::ifstream("/proc/sys/kernel/yama/ptrace_scope") >> scope;
    EXPECT_EQ(results[firstCallEntry], scope > 0 ? EPERM : 0);
    for (int stop = socketpairExit; stop < stops - 1; ++stop) {
        EXPECT_EQ(results[static_cast<std::size_t>(stop)], EPERM) << stop;
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
        const Injection moved = std::move(injection);
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
