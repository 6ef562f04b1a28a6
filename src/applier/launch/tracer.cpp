// SPDX-License-Identifier: Apache-2.0
/*
 * The runtime's init has a thread or several, which run the runtime's code until one of them executes the entrypoint.
 *   1. PTRACE_SEIZE of each of them; new ones come by themselves (PTRACE_O_TRACECLONE).
 *   2. Everything that stops them meanwhile goes its way, as if nobody looked.
 *   3. At an exec of the container's root: the entrypoint. Injection makes it restrict itself, and lets it go.
 * If this process ends before that, the kernel kills what it traces (PTRACE_O_EXITKILL). Processes that the init forks
 * for the bundle's hooks are not traced: they are no threads.
 */
#include "applier/launch/tracer.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <set>

#include "applier/injection/stopped_task.hpp"
#include "applier/launch/records.hpp"
#include "applier/probe.hpp"
#include "sys/directory.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "sys/log.hpp"

namespace applier::launch {

namespace {

using injection::Injection;
using injection::StoppedTask;

constexpr unsigned long traceOptions = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE;
// A thread that is not attached to can make others meanwhile; a runtime does not do so for ever.
constexpr int maxRounds = 100;

class Tracer {
public:
    explicit Tracer(const Task& task) : task_(task), ownRoot_(rootOf("self")) {}
    void attach();
    bool run();

private:
    static Place rootOf(const std::string& process);
    static void seize(pid_t thread);
    void stopped(pid_t thread, int status);
    void executed(int status);
    bool isThreadOfInit(pid_t thread) const;
    void step(int status);
    void conclude(const std::string& failure, int priority = LOG_ERR);

    const Task& task_;
    Place ownRoot_;
    std::set<pid_t> threads_;
    std::optional<Injection> injection_;
    bool over_ = false;
    bool applied_ = false;
};

Place Tracer::rootOf(const std::string& process)
{
    const std::string path = "/proc/" + process + "/root";
    const sys::Fd root(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) {
        throw sys::errnoError(path);
    }
    return Place::of(root.get());
}

void Tracer::attach()
{
    const std::string path = "/proc/" + std::to_string(task_.init) + "/task";
    for (int round = 0; round < maxRounds; ++round) {
        sys::Directory tasks(sys::openDirectory(path), path);
        const std::size_t before = threads_.size();
        while (const dirent* entry = tasks.next()) {
            const auto thread = static_cast<pid_t>(std::atol(entry->d_name));
            if (thread > 0 && threads_.insert(thread).second) {
                seize(thread);
            }
        }
        if (threads_.size() == before) {
            return;
        }
    }
    throw sys::Error("the container's init makes threads without end");
}

void Tracer::seize(pid_t thread)
{
    if (ptrace(PTRACE_SEIZE, thread, nullptr, traceOptions) == 0 || errno == ESRCH) {
        return;
    }
    const int code = errno;
    std::uint64_t other = 0;
    try {
        other = StoppedTask(thread).status().number("TracerPid", 0);
    } catch (const injection::Gone&) {
        return;
    }
    if (other == static_cast<std::uint64_t>(getpid())) {
        return;  // made by one that we had already
    }
    if (other != 0) {
        throw sys::Error("process " + std::to_string(other) + " traces the container's init already; nobody else may");
    }
    if (const std::string obstacle = tracingObstacle(); !obstacle.empty()) {
        throw sys::Error(obstacle);
    }
    throw sys::errnoError("attach to the container's init", code);
}

bool Tracer::isThreadOfInit(pid_t thread) const
{
    return StoppedTask(thread).status().number("Tgid", 0) == static_cast<std::uint64_t>(task_.init);
}

void Tracer::conclude(const std::string& failure, int priority)
{
    over_ = true;
    applied_ = failure.empty();
    if (!applied_) {
        sys::tell(priority, task_.label, failure);
    }
    if (!launch::conclude(task_.record, failure)) {
        throw sys::errnoError("write the container's record");
    }
}

void Tracer::executed(int status)
{
    const Place root = rootOf(std::to_string(task_.init));
    if (root == task_.root) {
        injection_.emplace(task_.init, task_.layers,
                           injection::Options{.filtersMayStay = true, .beforeRelease = [this] { conclude(""); }});
        step(status);
        return;
    }
    if (root != ownRoot_) {
        kill(task_.init, SIGKILL);
        conclude(
            "it is killed: it executes something in a root that is neither its own nor the runtime's, so that "
            "nobody can tell whether that is the entrypoint");
        return;
    }
    ptrace(PTRACE_CONT, task_.init, nullptr, nullptr);  // the runtime's own
}

void Tracer::step(int status)
{
    const Injection::State state = injection_->step(status);
    if (state == Injection::State::failed) {
        conclude("the entrypoint is killed, for it could not be restricted: " + injection_->error());
    } else if (state == Injection::State::gone) {
        conclude("it ended before its entrypoint was restricted", LOG_INFO);
    }
}

// ESRCH of what is done here: it was killed, and waitpid(2) says so next.
void Tracer::stopped(pid_t thread, int status)
{
    const int event = status >> 16;
    int signal = WSTOPSIG(status);
    if (event == PTRACE_EVENT_EXEC && thread == task_.init) {
        executed(status);
        return;
    }
    if (!isThreadOfInit(thread)) {
        ptrace(PTRACE_DETACH, thread, nullptr, event == 0 ? signal : 0L);
        return;
    }
    if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
        ptrace(PTRACE_LISTEN, thread, nullptr, nullptr);  // a group-stop: until SIGCONT
        return;
    }
    if (event == 0 && signal == SIGSTOP) {
        const StoppedTask task(thread);
        signal = task.signalToDeliver(signal, task.status().isNamespaceInit());
    }
    ptrace(PTRACE_CONT, thread, nullptr, event == 0 ? signal : 0L);
}

// Whether the entrypoint is restricted.
bool Tracer::run()
{
    while (!over_) {
        int status = 0;
        const pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 && errno == EINTR) {
            continue;
        }
        if (thread < 0) {
            conclude("it ended before it executed its entrypoint", LOG_INFO);
            break;
        }
        // When a thread executes something the others end, and the exec waits until we have heard of it.
        try {
            if (injection_ && thread == task_.init) {
                step(status);
            } else if (WIFSTOPPED(status)) {
                stopped(thread, status);
            }
        } catch (const injection::Gone&) {
            continue;
        } catch (const injection::Failure& failure) {
            throw sys::errnoError(failure.what, failure.code);
        }
    }
    return applied_;
}

// The runtime waits for the end of its hook's output, and for its mounts.
void letGo(const Task& task, int ready)
{
    closelog();  // or it would go on using, and close, the number that its descriptor had
    std::vector<int> kept{ready, task.record};
    for (const injection::InjectedLayer& layer : task.layers) {
        kept.push_back(layer.ruleset);
    }
    const sys::Fd nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
    bool done = static_cast<bool>(nothing) && setsid() >= 0 && chdir("/") == 0;
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        done = done && dup2(nothing.get(), fd) == fd;
    }
    if (!done || !sys::closeAllBut(kept)) {
        throw sys::errnoError("prepare the tracer");
    }
}

}  // namespace

Place Place::of(int directory)
{
    struct stat st {};
    if (fstat(directory, &st) != 0) {
        throw sys::errnoError("stat a root");
    }
    return {st.st_dev, st.st_ino};
}

void becomeTracer(const Task& task, int ready)
{
    bool attached = false;
    std::string failure;
    try {
        prctl(PR_SET_NAME, "landlock-launch");
        for (const int number : {SIGHUP, SIGINT, SIGPIPE}) {
            signal(number, SIG_IGN);
        }
        letGo(task, ready);
        Tracer tracer(task);
        tracer.attach();
        attached = sys::writeAll(ready, readyMessage);
        close(ready);
        _exit(attached && tracer.run() ? 0 : 1);
    } catch (const std::exception& error) {
        failure = error.what();
    } catch (const injection::Gone&) {
        failure = "the container's init has ended";
    } catch (const injection::Failure& error) {
        failure = sys::errnoError(error.what, error.code).what();
    }
    if (attached) {
        sys::tell(LOG_ERR, task.label, "it is killed, for its tracer fails: " + failure);
        conclude(task.record, failure);
    } else {
        sys::writeAll(ready, failure);
    }
    _exit(1);
}

}  // namespace applier::launch
