// SPDX-License-Identifier: Apache-2.0
// Makes a task that has just executed a program restrict itself, before the program's first instruction.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "applier/injection/calls.hpp"
#include "applier/injection/handover.hpp"
#include "applier/injection/stopped_task.hpp"

namespace applier::injection {

// One ruleset to enforce. Applied in order.
struct InjectedLayer {
    int ruleset = -1;  // borrowed until the injection has ended
    std::uint32_t restrictFlags = 0;
};

struct Options {
    // Put back at the end, where the caller has changed the task's own before; else what it is at the start.
    std::optional<std::uint64_t> signalMask;
    // Go on where seccomp filters cannot be suspended, which takes CAP_SYS_ADMIN in the initial user namespace.
    bool filtersMayStay = false;
    // Called when the task is as it was, just before it is let go. If it throws, the task is killed.
    std::function<void()> beforeRelease = {};
};

class Injection {
public:
    enum class State {
        underWay,
        done,    // every layer is enforced, the task is as it was otherwise, and it is not traced any more
        failed,  // error() says why; SIGKILL was sent
        gone,    // the task ended meanwhile, or is about to
    };

    // `task` is traced by this thread (PTRACE_SEIZE with PTRACE_O_EXITKILL), and in its PTRACE_EVENT_EXEC stop.
    Injection(pid_t task, std::vector<InjectedLayer> layers, Options options = {});
    ~Injection();
    Injection(const Injection&) = delete;
    Injection& operator=(const Injection&) = delete;

    // Call once with the status of the PTRACE_EVENT_EXEC stop, then with each further status that waitpid(2) reports
    // of the task, until it is not underWay any more. Never blocks. Unless it is done, the status with which the task
    // ended is still to be waited for, if it was not the one given. An injection that is destroyed underWay kills.
    State step(int status);

    const std::string& error() const { return error_; }
    int errorCode() const { return errorCode_; }                  // errno of the step that failed, positive
    bool refused() const { return calls_.restrictionRefused(); }  // whether that step was landlock_restrict_self(2)

private:
    enum class At {
        execEvent,   // its status comes next
        execReturn,  // on the way to execve's syscall-exit-stop
        entry,       // on the way to the syscall-entry-stop of the next call
        exit,        // likewise, exit
    };

    State advance(int status);
    void begin();
    void suspendFilters(const StatusFields& status);
    State syscallStopped();
    void atExecReturn(const __ptrace_syscall_info& info);
    void enforce(const std::vector<int>& rulesets);
    void requireDone() const;
    void finish() const;
    bool wantsNoNewPrivileges() const;
    bool stopPending() const;
    void end(State state, std::string error, int code);

    StoppedTask task_;
    Calls calls_;
    Handover handover_{task_, calls_};
    std::vector<InjectedLayer> layers_;
    Options options_;

    State state_ = State::underWay;
    std::string error_;
    int errorCode_ = 0;
    At at_ = At::execEvent;
    bool namespaceInit_ = false;
    bool enoughFiles_ = false;
    bool filtersStay_ = false;

    // Put back at the end.
    std::uint64_t signalMask_ = 0;
    machine::Registers registers_{};
    Address instructionAddress_ = 0;  // of a word
    std::vector<Word> instructions_;
};

}  // namespace applier::injection
