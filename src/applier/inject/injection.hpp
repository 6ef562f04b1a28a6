// SPDX-License-Identifier: Apache-2.0
// Makes a task that has just executed a program restrict itself, before the program's first instruction.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace applier::inject {

// One ruleset to enforce. Applied in order.
struct InjectedLayer {
    int ruleset = -1;  // borrowed until the injection has ended
    std::uint32_t restrictFlags = 0;
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
    // `beforeRelease` is called when it is as it was, just before it is let go; if it throws, the task is killed.
    Injection(pid_t task, std::vector<InjectedLayer> layers, std::function<void()> beforeRelease = {});
    ~Injection();
    Injection(Injection&&) noexcept;
    Injection& operator=(Injection&&) noexcept;

    // Call once with the status of the PTRACE_EVENT_EXEC stop, then with each further status that waitpid(2) reports
    // of the task, until it is not underWay any more. Never blocks. Unless it is done, the status with which the task
    // ended is still to be waited for, if it was not the one given. An injection that is destroyed underWay kills.
    State step(int status);

    const std::string& error() const;
    int errorCode() const;  // errno of the step that failed, positive
    bool refused() const;   // whether that step was landlock_restrict_self(2)

private:
    struct Steps;
    std::unique_ptr<Steps> steps_;
};

}  // namespace applier::inject
