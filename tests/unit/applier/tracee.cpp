// SPDX-License-Identifier: Apache-2.0
#include "applier/tracee.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>

#include "sys/fd.hpp"
#include "sys/file.hpp"

namespace support {

namespace {

using applier::injection::Injection;

[[noreturn]] void fail(const std::string& what)
{
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

struct Pipe {
    sys::Fd read, write;

    Pipe()
    {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) {
            fail("pipe");
        }
        read = sys::Fd(ends[0]);
        write = sys::Fd(ends[1]);
    }
};

std::vector<char*> pointers(const std::vector<std::string>& strings)
{
    std::vector<char*> result;
    for (const std::string& string : strings) {
        result.push_back(const_cast<char*>(string.c_str()));
    }
    result.push_back(nullptr);
    return result;
}

[[noreturn]] void child(const Plan& plan, int input, int output)
{
    std::vector<char*> arguments = pointers(plan.command);
    std::vector<char*> environment = pointers(plan.environment);
    // Not close-on-exec, and no more than these.
    if (dup2(input, 0) != 0 || dup2(output, 1) != 1) {
        _exit(125);
    }
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    plan.prepare();
    if (plan.execute) {
        plan.execute(arguments.data(), environment.data());
    } else {
        execve(arguments[0], arguments.data(), environment.data());
    }
    _exit(126);
}

// Waits until the child is stopped and not traced any more.
void waitUntilStopped(pid_t pid)
{
    const std::string path = "/proc/" + std::to_string(pid) + "/stat";
    for (;;) {
        const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
        const std::string stat = sys::readAll(file.get(), 4096, path);
        if (stat.at(stat.rfind(')') + 2) == 'T') {
            return;
        }
        sched_yield();
    }
}

[[noreturn]] void parent(const Plan& plan, int output, int statuses)
{
    Pipe untilContinued;
    const sys::Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    const pid_t pid = fork();
    if (pid == 0) {
        untilContinued.write.reset();
        child(plan, plan.continueWhenStopped ? untilContinued.read.get() : null.get(), output);
    }
    int status = 0;
    while (waitpid(pid, &status, WUNTRACED | WCONTINUED) == pid) {
        if (write(statuses, &status, sizeof status) != sizeof status) {
            _exit(1);
        }
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            break;
        }
        if (plan.continueWhenStopped && WIFSTOPPED(status)) {
            waitUntilStopped(pid);
            if (lseek(output, 0, SEEK_END) != 0) {
                _exit(1);  // it has run
            }
            kill(pid, SIGCONT);
        }
        if (WIFCONTINUED(status)) {
            untilContinued.write.reset();
        }
    }
    _exit(0);
}

// The task whose exec of the program is held at its open, already seized. Hears from `statuses` if there will be none.
pid_t seize(int events, int statuses)
{
    pollfd sources[] = {{events, POLLIN, 0}, {statuses, POLLIN, 0}};
    if (poll(sources, 2, -1) < 0) {
        fail("poll");
    }
    if (int status = 0; sources[0].revents == 0 && read(statuses, &status, sizeof status) == sizeof status) {
        throw std::runtime_error("no exec; the child's status: " + std::to_string(status));
    }
    alignas(fanotify_event_metadata) char buffer[4096];
    const ssize_t length = read(events, buffer, sizeof buffer);
    if (length < static_cast<ssize_t>(sizeof(fanotify_event_metadata))) {
        fail("reading fanotify events");
    }
    fanotify_event_metadata event;
    std::memcpy(&event, buffer, sizeof event);
    const sys::Fd file(event.fd);
    const pid_t task = event.pid;
    constexpr unsigned long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD;
    if (ptrace(PTRACE_SEIZE, task, nullptr, options) != 0 || ptrace(PTRACE_INTERRUPT, task, nullptr, nullptr) != 0) {
        fail("seizing");
    }
    const fanotify_response response{event.fd, FAN_ALLOW};
    if (write(events, &response, sizeof response) != sizeof response) {
        fail("answering fanotify");
    }
    return task;
}

int waitFor(pid_t task)
{
    int status = 0;
    const pid_t pid = waitpid(task, &status, __WALL);
    if (pid < 0) {
        fail("waitpid");
    }
    return status;
}

bool ended(int status)
{
    return WIFEXITED(status) || WIFSIGNALED(status);
}

// When a thread other than the first one executes, it takes over the first one's number.
int waitForExec(pid_t& task)
{
    for (;;) {
        int status = 0;
        const pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) {
            fail("waitpid");
        }
        if (ended(status) && pid == task) {
            throw std::runtime_error("the program was not executed");
        }
        if (ended(status)) {
            continue;  // a child that another test has left
        }
        if (status >> 16 == PTRACE_EVENT_EXEC) {
            task = pid;
            return status;
        }
        const int event = status >> 16;
        const int signal = WSTOPSIG(status);
        const bool groupStop = event == PTRACE_EVENT_STOP && signal != SIGTRAP;
        if (ptrace(groupStop ? PTRACE_LISTEN : PTRACE_CONT, pid, nullptr, event == 0 ? signal : 0L) != 0) {
            fail("resuming before the exec");
        }
    }
}

void trace(const Plan& plan, int events, int statuses, Outcome& outcome)
{
    pid_t task = seize(events, statuses);
    int status = waitForExec(task);
    Injection injection(task, plan.layers, plan.options);
    bool reaped = false;
    for (;;) {
        reaped = ended(status);
        plan.before(task, outcome.stops);
        outcome.state = injection.step(status);
        plan.after(task, outcome.stops);
        ++outcome.stops;
        if (outcome.state != Injection::State::underWay) {
            break;
        }
        status = waitFor(task);
    }
    outcome.error = injection.error();
    outcome.errorCode = injection.errorCode();
    if (outcome.state != Injection::State::done) {
        // It was killed, and must never be seen to run again.
        while (!reaped) {
            status = waitFor(task);
            reaped = ended(status);
            if (!reaped) {
                throw std::runtime_error("the program goes on after the injection has failed");
            }
        }
    }
}

}  // namespace

Outcome run(const Plan& plan)
{
    const sys::Fd events(fanotify_init(FAN_CLASS_CONTENT | FAN_REPORT_TID | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC));
    if (!events) {
        fail("fanotify_init");
    }
    if (plan.trace &&
        fanotify_mark(events.get(), FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, AT_FDCWD, plan.command[0].c_str()) != 0) {
        fail("fanotify_mark");
    }
    const sys::Fd output(memfd_create("output", MFD_CLOEXEC));
    if (!output) {
        fail("memfd_create");
    }
    Pipe statuses;
    const pid_t pid = fork();
    if (pid == 0) {
        parent(plan, output.get(), statuses.write.get());
    }
    statuses.write.reset();
    Outcome outcome;
    try {
        if (plan.trace) {
            trace(plan, events.get(), statuses.read.get(), outcome);
        }
    } catch (...) {
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        throw;
    }
    // Until the parent, and whoever else it has left, has ended.
    for (int status = 0; read(statuses.read.get(), &status, sizeof status) == sizeof status;) {
        outcome.statuses.push_back(status);
    }
    waitpid(pid, nullptr, 0);
    lseek(output.get(), 0, SEEK_SET);
    outcome.output = sys::readAll(output.get(), 16UL * 1024 * 1024, "output");
    return outcome;
}

}  // namespace support
