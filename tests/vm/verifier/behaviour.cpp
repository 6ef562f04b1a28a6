// SPDX-License-Identifier: Apache-2.0
// What the kfuncs of the bridge do (behaviour.bpf.c).
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "harness.hpp"
#include "loaded_bridge.hpp"
#include "program.hpp"
#include "tests.hpp"

namespace {

constexpr unsigned noNewPrivsFlag = 1U << 4;
constexpr unsigned long landlockId = 110;  // LSM_ID_LANDLOCK
constexpr unsigned forExec = 1;
constexpr unsigned fromFile = 2;
// For the next exec of the task itself; no released header has them.
constexpr unsigned execVersion = 1U << 31;
constexpr unsigned onExec = 1U << 30;
constexpr unsigned noNewPrivsOnExec = 1U << 31;

struct Options {
    unsigned hooks = forExec;
    unsigned layers = 1;
    unsigned flags = 0;
    unsigned slotThen = 0;  // from the second layer on, or of the second hook
    unsigned flagsThen = noNewPrivsFlag;
    bool thenFail = false;
    bool match = true;
    const char* program = probe;
    std::vector<const char*> arguments = {"state"};
    const char* fallback = nullptr;        // executed if "program" fails
    std::function<void()> before = [] {};  // in the child, before its exec
};

struct Outcome {
    int status;  // exit status of the program, or of the child whose exec failed
    int error;   // of the kfunc, 1: not called
    int applied;
};

Outcome exec(LoadedBridge& bridge, const Options& options)
{
    bridge.variable<int>("error") = 1;
    bridge.variable<int>("applied") = 0;
    bridge.variable<unsigned>("hooks") = options.hooks;
    bridge.variable<unsigned>("layers") = options.layers;
    bridge.variable<unsigned>("flags") = options.flags;
    bridge.variable<unsigned>("slot_then") = options.slotThen;
    bridge.variable<unsigned>("flags_then") = options.flagsThen;
    bridge.variable<int>("then_fail") = options.thenFail;
    int gate[2];
    if (pipe2(gate, O_CLOEXEC) != 0) {
        die("pipe");
    }
    const pid_t child = fork();
    if (child == 0) {
        options.before();
        char byte;
        if (read(gate[0], &byte, 1) != 1) {
            _exit(127);
        }
        std::vector<char*> arguments = {const_cast<char*>(options.program)};
        for (const char* argument : options.arguments) {
            arguments.push_back(const_cast<char*>(argument));
        }
        arguments.push_back(nullptr);
        execv(options.program, arguments.data());
        if (options.fallback != nullptr) {
            execv(options.fallback, arguments.data());
        }
        _exit(execFailed | state());
    }
    bridge.variable<int>("target") = options.match ? child : 0;
    if (write(gate[1], "x", 1) != 1) {
        die("write");
    }
    close(gate[0]);
    close(gate[1]);
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), bridge.variable<int>("error"),
            bridge.variable<int>("applied")};
}

void expect(const Outcome& outcome, int status, int error, const std::string& what)
{
    const bool good = outcome.status == status && outcome.error == error;
    check(good, what);
    if (!good) {
        std::printf("# status %d, wanted %d; error %d, wanted %d; layers %d\n", outcome.status, status, outcome.error,
                    error, outcome.applied);
    }
}

void dropPrivileges()
{
    if (setresgid(1000, 1000, 1000) != 0 || setresuid(1000, 1000, 1000) != 0) {
        _exit(126);
    }
}

// As of Landlock ABI 4, which not every machine has headers of.
int rulesetOfPorts(unsigned count)
{
    constexpr unsigned long bind = 1;
    constexpr int portRule = 2;
    struct {
        unsigned long fs = 0;
        unsigned long net = bind;
    } attributes;
    const int ruleset = static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0));
    for (unsigned long port = 1; port <= count; port++) {
        struct {
            unsigned long access = bind;
            unsigned long port;
        } rule;
        rule.port = port;
        if (syscall(SYS_landlock_add_rule, ruleset, portRule, &rule, 0) != 0) {
            die("landlock_add_rule");
        }
    }
    return ruleset;
}

// How much memory a cgroup of its own is charged with, at most, while this is executed.
long memoryOf(LoadedBridge& bridge, Options options)
{
    const std::string cgroup = "/sys/fs/cgroup/bridge-charged";
    if (mkdir(cgroup.c_str(), 0755) != 0) {
        die("mkdir");
    }
    options.before = [&cgroup] { std::ofstream(cgroup + "/cgroup.procs") << getpid(); };
    exec(bridge, options);
    long peak = -1;
    std::ifstream(cgroup + "/memory.peak") >> peak;
    if (rmdir(cgroup.c_str()) != 0) {
        die("rmdir");
    }
    return peak;
}

// Two rulesets for one exec: one denies the secret, the other what the first allows.
void testTwo(LoadedBridge& bridge, bool stacks)
{
    const int first = usualRuleset();
    allow(first, allowed);
    bridge.store(first, 0);
    close(first);
    const int second = usualRuleset();
    allow(second, secret);
    bridge.store(second, 3);
    close(second);

    const std::string how = stacks ? ": both hold" : ": the last one holds";
    const int status = stacks ? 0 : 1;
    Options options;
    options.flags = noNewPrivsFlag;
    options.arguments = {"reads"};
    expect(exec(bridge, options), 2, 0, "the first one alone");
    options.layers = 2;
    options.slotThen = 3;
    Outcome outcome = exec(bridge, options);
    expect(outcome, status, 0, "applied one after the other" + how);
    check(outcome.applied == 2, "both calls succeed");
    options.layers = 1;
    options.hooks = forExec | fromFile;
    outcome = exec(bridge, options);
    expect(outcome, status, 0, "in bprm_creds_for_exec, then in bprm_creds_from_file" + how);
    check(outcome.applied == 2, "both calls succeed");
    options.program = script;
    options.arguments = {};
    expect(exec(bridge, options), isRoot | (stacks ? restricted : 0) | noNewPrivs, 0, "likewise, of a script");

    // What fails.
    options.program = probe;
    options.arguments = {"reads"};
    options.flagsThen = 1U << 31;
    expect(exec(bridge, options), 2, -EINVAL, "a second call that fails leaves the first one");
    options.flagsThen = noNewPrivsFlag;
    options.program = badScript;
    options.hooks = forExec;
    options.layers = 2;
    expect(exec(bridge, options), execFailed | isRoot, 0, "an exec that fails leaves nothing of two");
    options.fallback = probe;
    expect(exec(bridge, options), 3, 0, "nor anything for the exec after it");

    // no_new_privs is for the exec as a whole.
    options.program = probe;
    options.fallback = nullptr;
    options.arguments = {"state"};
    options.flagsThen = 0;
    expect(exec(bridge, options), isRoot | (stacks ? restricted | noNewPrivs : 0), 0,
           stacks ? "no_new_privs stays when the second call does not ask for it" : "no_new_privs is replaced as well");
    options.flags = 0;
    options.flagsThen = noNewPrivsFlag;
    expect(exec(bridge, options), isRoot | (stacks ? restricted : 0) | noNewPrivs, 0,
           "no_new_privs comes with the second call");
    bridge.revoke(3);
}

// For `before`: the task stages rulesets for its next exec, which deny the secret.
std::function<void()> stages(unsigned times, unsigned flags = onExec)
{
    return [times, flags] {
        const int ruleset = usualRuleset();
        allow(ruleset, allowed);
        for (unsigned n = 0; n < times; n++) {
            if (syscall(SYS_landlock_restrict_self, ruleset, flags) != 0) {
                _exit(125);
            }
        }
        close(ruleset);
    };
}

// What the task itself staged for the exec, and a policy that allows to read the secret alone.
void testStaged(LoadedBridge& bridge, bool stacks)
{
    check(syscall(SYS_landlock_create_ruleset, nullptr, 0, execVersion) == 1, "a task can stage for its next exec");
    const int ruleset = usualRuleset();
    allow(ruleset, secret);
    bridge.store(ruleset, 0);
    close(ruleset);

    Options options;
    options.arguments = {"reads"};
    expect(exec(bridge, options), 1, 0, "the policy alone");
    options.before = stages(1);
    options.match = false;
    expect(exec(bridge, options), 2, 1, "what the task staged alone");
    options.match = true;
    expect(exec(bridge, options), 0, 0, "both hold");
    options.hooks = fromFile;
    expect(exec(bridge, options), 0, 0, "both hold, with the policy in bprm_creds_from_file");
    options.hooks = forExec | fromFile;
    options.flagsThen = 0;
    expect(exec(bridge, options), 0, 0, "both hold, with the policy in both hooks");
    options.hooks = forExec;
    options.program = script;
    options.arguments = {};
    expect(exec(bridge, options), isRoot | restricted, 0, "both hold for a script");
    options.program = badScript;
    expect(exec(bridge, options), execFailed | isRoot, 0, "an exec that fails restricts nothing");
    options.fallback = probe;
    options.arguments = {"reads"};
    options.match = false;
    expect(exec(bridge, options), 2, 1, "and leaves what is staged for the next one");
    options.match = true;

    options.program = probe;
    options.fallback = nullptr;
    options.arguments = {"state"};
    options.before = stages(1, onExec | noNewPrivsOnExec);
    expect(exec(bridge, options), isRoot | restricted | noNewPrivs, 0,
           "no_new_privs of the task is not taken back by a policy without");

    options.before = stages(16);
    Outcome outcome = exec(bridge, options);
    expect(outcome, isRoot | restricted, -E2BIG, "a policy on top of 16 staged layers is refused");
    check(outcome.applied == 0, "and none is applied");
    options.before = stages(4);
    options.layers = 17;
    outcome = exec(bridge, options);
    expect(outcome, isRoot | restricted, stacks ? -E2BIG : 0, "4 staged layers, then 17 calls");
    check(outcome.applied == (stacks ? 12 : 17), stacks ? "16 layers bound the sum" : "which replace one another");
    bridge.revoke(0);
}

void testCharge(LoadedBridge& bridge)
{
    constexpr unsigned rules = 16000;
    const int ruleset = rulesetOfPorts(rules);
    bridge.store(ruleset, 0);
    close(ruleset);
    Options options;
    const long with = memoryOf(bridge, options);
    options.match = false;
    const long without = memoryOf(bridge, options);
    std::printf("# memory: %ld bytes with the domain, %ld without\n", with, without);
    check(without > 0 && with - without > rules * 40L, "the domain is charged to the program that is executed");
}

}  // namespace

int testBehaviour(const char* path, bool stacks)
{
    makeFiles();
    LoadedBridge bridge(path);

    check(bridge.store(999) == 2, "a closed descriptor is no ruleset");
    check(bridge.store(-1) == 2, "a negative descriptor is no ruleset");
    {
        const int fd = open("/dev/null", O_RDWR);
        check(bridge.store(fd) == 2, "another file is no ruleset");
        close(fd);
    }

    Options withNoNewPrivs;
    withNoNewPrivs.flags = noNewPrivsFlag;
    expect(exec(bridge, withNoNewPrivs), isRoot, 1, "an empty slot restricts nothing");

    const int ruleset = usualRuleset();
    check(bridge.store(ruleset, 0, 1) == 2, "flags are refused");
    check(bridge.store(ruleset) == 0, "a ruleset is stored");
    check(bridge.variable<unsigned long>("lsmid") == landlockId, "it says that it is Landlock's");
    check(bridge.variable<unsigned>("type") == 1, "it says that it is a ruleset");
    check(bridge.store(ruleset) == 1, "a ruleset is replaced");

    expect(exec(bridge, withNoNewPrivs), isRoot | restricted | noNewPrivs, 0, "the target is restricted");
    {
        Options options = withNoNewPrivs;
        options.match = false;
        expect(exec(bridge, options), isRoot, 1, "another exec is not restricted");
    }
    {
        Options options = withNoNewPrivs;
        options.hooks = fromFile;
        expect(exec(bridge, options), isRoot | restricted | noNewPrivs, 0, "the target is restricted from_file");
    }
    {
        Options options = withNoNewPrivs;
        options.program = script;
        expect(exec(bridge, options), isRoot | restricted | noNewPrivs, 0, "a script is restricted");
    }
    {
        Options options = withNoNewPrivs;
        options.arguments = {"exec", probe};
        expect(exec(bridge, options), isRoot | restricted | noNewPrivs, 0, "what the target executes is restricted");
    }

    // Failed execs.
    {
        Options options = withNoNewPrivs;
        options.program = badScript;
        expect(exec(bridge, options), execFailed | isRoot, 0, "an exec without interpreter leaves nothing");
    }
    {
        Options options = withNoNewPrivs;
        options.thenFail = true;
        expect(exec(bridge, options), execFailed | isRoot, 0, "an exec denied in creds_for_exec leaves nothing");
        options.hooks = fromFile;
        expect(exec(bridge, options), execFailed | isRoot, 0, "an exec denied in creds_from_file leaves nothing");
    }
    {
        Options options = withNoNewPrivs;
        options.program = badScript;
        options.fallback = probe;
        expect(exec(bridge, options), isRoot, 0, "nor anything for the exec after it");
    }

    // Flags.
    const bool hasLogFlags = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 7;
    for (const unsigned flags : {1U << 3, 1U << 0, 1U << 5, 1U << 31, (1U << 4) | (1U << 3)}) {
        Options options;
        if (flags == 1 && hasLogFlags) {
            options.flags = flags;
            expect(exec(bridge, options), isRoot | restricted, 0, "a flag for logging is none here");
            continue;
        }
        options.flags = flags;
        expect(exec(bridge, options), isRoot, -EINVAL, "flags " + std::to_string(flags) + " are refused");
    }

    // Privileges.
    {
        Options options;
        expect(exec(bridge, options), isRoot | restricted, 0, "without the flag no no_new_privs comes with it");
        options.before = dropPrivileges;
        expect(exec(bridge, options), restricted, 0, "nor do others need it: the BPF program is the one to ask");
        options.before = [] {
            dropPrivileges();
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        };
        expect(exec(bridge, options), restricted | noNewPrivs, 0, "with no_new_privs it stays");
        options.before = dropPrivileges;
        options.flags = noNewPrivsFlag;
        expect(exec(bridge, options), restricted | noNewPrivs, 0, "without privileges, with flag");
        options.program = setuidProbe;
        expect(exec(bridge, options), isRoot | restricted | noNewPrivs, 0, "the exec itself may gain privileges");
        options.program = probe;
        options.arguments = {"exec", setuidProbe};
        expect(exec(bridge, options), restricted | noNewPrivs, 0, "later ones may not");
        options.match = false;
        expect(exec(bridge, options), isRoot, 1, "unless there was no target");
    }

    // Layers.
    if (stacks) {
        Options options = withNoNewPrivs;
        options.layers = 16;
        Outcome outcome = exec(bridge, options);
        expect(outcome, isRoot | restricted | noNewPrivs, 0, "16 layers in one exec");
        check(outcome.applied == 16, "all are applied");
        options.layers = 17;
        outcome = exec(bridge, options);
        expect(outcome, isRoot | restricted | noNewPrivs, -E2BIG, "the 17th layer is refused");
        check(outcome.applied == 16, "and the others stay");
        options.before = [] { syscall(SYS_landlock_restrict_self, usualRuleset(), 0); };
        outcome = exec(bridge, options);
        expect(outcome, isRoot | restricted | noNewPrivs, -E2BIG, "layers that are in force count");
        check(outcome.applied == 15, "as one each");
        options.before = [] {};
        options.layers = 15;
        options.arguments = {"self-restrict"};
        expect(exec(bridge, options), isRoot | restricted | noNewPrivs, 0, "a program adds its own layer on top");
        options.layers = 16;
        expect(exec(bridge, options), 32, 0, "unless there are 16 already");
    } else {
        Options options = withNoNewPrivs;
        options.layers = 17;
        const Outcome outcome = exec(bridge, options);
        expect(outcome, isRoot | restricted | noNewPrivs, 0, "there never are too many layers");
        check(outcome.applied == 17, "however many calls there are");
    }

    // Lifetime.
    {
        Options options = withNoNewPrivs;
        options.arguments = {"read", allowed};
        expect(exec(bridge, options), EACCES, 0, "what has no rule is denied");
        allow(ruleset, allowed);
        expect(exec(bridge, options), 0, 0, "a rule that is added later counts from the next exec on");
        close(ruleset);
        expect(exec(bridge, options), 0, 0, "the ruleset outlives its descriptor");
        check(bridge.revoke() == 1, "the slot is emptied");
        check(bridge.revoke() == 0, "once");
        expect(exec(bridge, withNoNewPrivs), isRoot, 1, "after that, nothing is restricted");
    }
    {
        mkdir("/tmp/cgroup", 0755);
        mount("none", "/tmp/cgroup", "cgroup2", 0, nullptr);
        const int fd = usualRuleset();
        bridge.store(fd, 1);
        close(fd);
        mkdir("/tmp/cgroup/bridge", 0755);
        rmdir("/tmp/cgroup/bridge");
        for (int wait = 0; wait < 1000 && bridge.variable<int>("emptied") == 0; wait++) {
            usleep(10'000);
        }
        check(bridge.variable<int>("emptied") == 1, "the death of a cgroup empties a slot");
        check(bridge.revoke(1) == 0, "and leaves nothing in it");
        umount("/tmp/cgroup");
    }
    testTwo(bridge, stacks);
    testStaged(bridge, stacks);
    testCharge(bridge);
    // Left to the destructor.
    const int last = usualRuleset();
    bridge.store(last, 2);
    close(last);
    return finish();
}
