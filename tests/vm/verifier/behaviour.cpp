// SPDX-License-Identifier: Apache-2.0
// What the kfuncs of the bridge do (behaviour.bpf.c).
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "harness.hpp"
#include "loaded_bridge.hpp"
#include "program.hpp"
#include "tests.hpp"

namespace {

struct Options {
    unsigned flags = 0;
    unsigned layers = 1;
    bool fromFile = false;
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
    bridge.variable<unsigned>("flags") = options.flags;
    bridge.variable<unsigned>("layers") = options.layers;
    bridge.variable<int>("from_file") = options.fromFile;
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

}  // namespace

int testBehaviour(const char* path)
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
    withNoNewPrivs.flags = 1U << 4;
    expect(exec(bridge, withNoNewPrivs), isRoot, 1, "an empty slot restricts nothing");

    const int ruleset = usualRuleset();
    check(bridge.store(ruleset) == 0, "a ruleset is stored");
    check(bridge.store(ruleset) == 1, "a ruleset is replaced");

    expect(exec(bridge, withNoNewPrivs), isRoot | restricted | noNewPrivs, 0, "the target is restricted");
    {
        Options options = withNoNewPrivs;
        options.match = false;
        expect(exec(bridge, options), isRoot, 1, "another exec is not restricted");
    }
    {
        Options options = withNoNewPrivs;
        options.fromFile = true;
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
        options.fromFile = true;
        expect(exec(bridge, options), execFailed | isRoot, 0, "an exec denied in creds_from_file leaves nothing");
    }
    {
        Options options = withNoNewPrivs;
        options.program = badScript;
        options.fallback = probe;
        expect(exec(bridge, options), isRoot, 0, "nor anything for the exec after it");
    }

    // Flags.
    for (const unsigned flags : {1U << 3, 1U << 0, 1U << 5, 1U << 31, (1U << 4) | (1U << 3)}) {
        Options options;
        options.flags = flags;
        expect(exec(bridge, options), isRoot, -EINVAL, "flags " + std::to_string(flags) + " are refused");
    }

    // Privileges.
    {
        Options options;
        expect(exec(bridge, options), isRoot | restricted, 0, "CAP_SYS_ADMIN needs no flag, and gets no no_new_privs");
        options.before = dropPrivileges;
        expect(exec(bridge, options), 0, -EPERM, "without privileges and flag: EPERM");
        options.before = [] {
            dropPrivileges();
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        };
        expect(exec(bridge, options), restricted | noNewPrivs, 0, "with no_new_privs no flag is needed");
        options.before = dropPrivileges;
        options.flags = 1U << 4;
        expect(exec(bridge, options), restricted | noNewPrivs, 0, "without privileges, with flag");
        options.program = setuidProbe;
        expect(exec(bridge, options), isRoot | restricted | noNewPrivs, 0, "the exec itself may gain privileges");
        options.program = probe;
        options.arguments = {"exec", setuidProbe};
        expect(exec(bridge, options), restricted | noNewPrivs, 0, "later ones may not");
        options.match = false;
        expect(exec(bridge, options), isRoot, 1, "unless there was no target");
    }
    {
        Options options;
        options.before = [] {
            dropPrivileges();
            if (unshare(CLONE_NEWUSER) != 0) {
                _exit(125);
            }
        };
        expect(exec(bridge, options), restricted, 0, "CAP_SYS_ADMIN in the user namespace of the task is enough");
    }

    // Layers.
    {
        Options options = withNoNewPrivs;
        options.layers = 16;
        Outcome outcome = exec(bridge, options);
        expect(outcome, isRoot | restricted | noNewPrivs, 0, "16 layers in one exec");
        check(outcome.applied == 16, "all are applied");
        options.layers = 17;
        outcome = exec(bridge, options);
        expect(outcome, isRoot | restricted | noNewPrivs, -E2BIG, "the 17th layer is refused");
        check(outcome.applied == 16, "and the others stay");
    }
    {
        Options options = withNoNewPrivs;
        options.layers = 15;
        options.arguments = {"self-restrict"};
        expect(exec(bridge, options), isRoot | restricted | noNewPrivs, 0, "a program adds its own layer on top");
        options.layers = 16;
        expect(exec(bridge, options), 32, 0, "unless there are 16 already");
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
        const int before = bridge.variable<int>("revoked");
        mkdir("/tmp/cgroup/bridge", 0755);
        rmdir("/tmp/cgroup/bridge");
        check(bridge.variable<int>("revoked") == before + 1, "the death of a cgroup empties a slot");
        umount("/tmp/cgroup");
    }
    // Left to the destructor.
    const int last = usualRuleset();
    bridge.store(last, 2);
    close(last);
    return finish();
}
