// SPDX-License-Identifier: Apache-2.0
/*
 * The way of a target here:
 *   1. It opens its program in execve(2) and waits: a fanotify event. `preview` (BPF) says that it may be a target.
 *   2. PTRACE_SEIZE, so that the gate lets it pass and that it stops once the exec has succeeded; PTRACE_INTERRUPT, so
 *      that it also stops when the exec fails. Then the opening is allowed.
 *   3. At the stop after the exec, `take_debt` says which entries have selected it. None: it is let go.
 *   4. Injection makes it restrict itself, and lets it go.
 * If this process dies at any point, the kernel kills what it traces, and the gate denies what it would have traced.
 */
#include "applier/inject/tracer.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <map>
#include <optional>

#include "applier/inject/look.hpp"
#include "applier/injection/injection.hpp"
#include "bpf/abi.h"
#include "sys/bpf.hpp"
#include "sys/error.hpp"
#include "sys/log.hpp"

namespace applier::inject {

namespace {

using injection::InjectedLayer;
using injection::Injection;
using Clock = std::chrono::steady_clock;

constexpr const char* pins = "/sys/fs/bpf/oci-landlock/";
constexpr unsigned traceOptions = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD;
// Descriptors of events are numbers below this.
constexpr rlim_t maxDescriptors = 4096;
constexpr auto busyPatience = std::chrono::seconds(5);
constexpr auto busyPause = std::chrono::milliseconds(2);
constexpr auto closingPatience = std::chrono::seconds(1);

// An exec whose opening waits for our answer.
struct Waiting {
    pid_t thread = -1;
    sys::Fd file;
    Clock::time_point until;
};

// A task that we trace.
struct Traced {
    std::optional<Injection> injection;  // empty: its exec is under way
    std::uint32_t firstEntry = 0;        // of those it is owed
};

class Tracer {
public:
    Tracer(Held held, sys::Fd control);
    int run();

private:
    void add(int fd, std::uint32_t what);
    void registerSelf();
    void answer(int file, bool allow) const;
    bool cgroupEmpty() const;
    bool control();
    void takeEvents();
    void attend(Waiting waiting);
    oll_preview_verdict preview(const Waiting& waiting) const;
    void seize(const Waiting& waiting);
    void retryBusy();
    void armTimer() const;
    void reap();
    void stopped(pid_t task, int status);
    void executed(pid_t task, int status);
    void step(std::map<pid_t, Traced>::iterator traced, int status);
    void tell(int priority, const std::string& message) const;

    Held held_;
    sys::Fd control_, epoll_, signals_, timer_, cgroupEvents_;
    sys::Fd registerProgram_, previewProgram_, takeDebtProgram_, reportFailureProgram_;
    std::map<pid_t, Traced> traced_;
    std::deque<Waiting> busy_;
    bool closing_ = false;
};

enum Source : std::uint32_t { fromEvents, fromControl, fromSignals, fromTimer, fromCgroup };

Tracer::Tracer(Held held, sys::Fd control)
    : held_(std::move(held)),
      control_(std::move(control)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      cgroupEvents_(openat(held_.cgroup.get(), "cgroup.events", O_RDONLY | O_CLOEXEC)),
      registerProgram_(sys::openPin(std::string(pins) + "register_tracer")),
      previewProgram_(sys::openPin(std::string(pins) + "preview")),
      takeDebtProgram_(sys::openPin(std::string(pins) + "take_debt")),
      reportFailureProgram_(sys::openPin(std::string(pins) + "report_failure"))
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, nullptr);
    signals_ = sys::Fd(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!epoll_ || !timer_ || !signals_) {
        throw sys::errnoError("event loop of the tracer");
    }
    const rlimit limit{maxDescriptors, maxDescriptors};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        throw sys::errnoError("setrlimit");
    }
    add(held_.events.get(), fromEvents);
    add(control_.get(), fromControl);
    add(signals_.get(), fromSignals);
    add(timer_.get(), fromTimer);
    if (cgroupEvents_) {
        add(cgroupEvents_.get(), fromCgroup);
    }
}

void Tracer::add(int fd, std::uint32_t what)
{
    epoll_event event{};
    // cgroup.events is always readable; a change of it is EPOLLPRI.
    event.events = what == fromCgroup ? static_cast<std::uint32_t>(EPOLLPRI) : static_cast<std::uint32_t>(EPOLLIN);
    event.data.u32 = what;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        throw sys::errnoError("event loop of the tracer");
    }
}

void Tracer::tell(int priority, const std::string& message) const
{
    sys::tell(priority, held_.containerId, message);
}

void Tracer::registerSelf()
{
    oll_register_tracer context{};
    context.generation = held_.generation;
    sys::runProgram(registerProgram_.get(), context, "register the tracer");
    if (context.error != 0) {
        throw sys::errnoError("register the tracer", -context.error);
    }
    if (context.tgid != static_cast<std::uint32_t>(getpid())) {
        throw sys::Error("the supervisor is not in the initial pid namespace");
    }
}

void Tracer::answer(int file, bool allow) const
{
    const fanotify_response response{file, static_cast<std::uint32_t>(allow ? FAN_ALLOW : FAN_DENY)};
    // ENOENT: the task was killed meanwhile.
    if (write(held_.events.get(), &response, sizeof response) < 0 && errno != ENOENT) {
        tell(LOG_ERR, sys::errnoError("answer an exec").what());
    }
}

bool Tracer::cgroupEmpty() const
{
    char text[256] = {};
    if (!cgroupEvents_ || pread(cgroupEvents_.get(), text, sizeof text - 1, 0) < 0) {
        return true;
    }
    return std::strstr(text, "populated 0") != nullptr;
}

// False when the supervisor is gone.
bool Tracer::control()
{
    char message = 0;
    const ssize_t n = recv(control_.get(), &message, 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    return n == 1 && (message != controlPing || send(control_.get(), &message, 1, MSG_NOSIGNAL) == 1);
}

void Tracer::takeEvents()
{
    alignas(fanotify_event_metadata) std::array<char, 16384> buffer;
    const ssize_t size = read(held_.events.get(), buffer.data(), buffer.size());
    if (size < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            // The kernel has denied that exec.
            tell(LOG_ERR, sys::errnoError("an exec is denied, for its event cannot be read").what());
        }
        return;
    }
    auto left = static_cast<std::size_t>(size);
    const auto* event = reinterpret_cast<const fanotify_event_metadata*>(buffer.data());
    for (; FAN_EVENT_OK(event, left); event = FAN_EVENT_NEXT(event, left)) {
        if (event->vers != FANOTIFY_METADATA_VERSION) {
            throw sys::Error("the kernel's fanotify speaks another version");
        }
        if (event->fd >= 0) {
            attend({event->pid, sys::Fd(event->fd), Clock::now() + busyPatience});
        }
    }
}

oll_preview_verdict Tracer::preview(const Waiting& waiting) const
{
    oll_preview context{};
    context.generation = held_.generation;
    context.cgroup_id = held_.cgroupId;
    context.pid = static_cast<std::uint32_t>(waiting.thread);
    context.file = waiting.file.get();
    const std::string given = nameGiven(waiting.thread);
    // A relative name says something only to who knows the thread's root and directory.
    if (!given.starts_with('/') || !isElf(waiting.file.get())) {
        context.flags |= OLL_PREVIEW_ANY_NAME;
    }
    std::memcpy(context.given, given.data(), given.size());
    sys::runProgram(previewProgram_.get(), context, "look at an exec");
    return static_cast<oll_preview_verdict>(context.verdict);
}

void Tracer::attend(Waiting waiting)
{
    // What an exec opens after its program: interpreters.
    if (!traced_.contains(waiting.thread)) {
        const oll_preview_verdict verdict = preview(waiting);
        if (verdict == OLL_PREVIEW_BUSY && Clock::now() < waiting.until) {
            busy_.push_back(std::move(waiting));
            armTimer();
            return;
        }
        if (verdict == OLL_PREVIEW_TARGET) {
            seize(waiting);
        }
    }
    answer(waiting.file.get(), true);
}

// Who traces it already; 0: nobody.
pid_t otherTracer(pid_t thread)
{
    const std::string path = "/proc/" + std::to_string(thread) + "/status";
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        return 0;
    }
    // The thread may be gone by now, which is no reason to end.
    std::array<char, 4096> text{};
    if (read(file.get(), text.data(), text.size() - 1) <= 0) {
        return 0;
    }
    const char* const field = std::strstr(text.data(), "\nTracerPid:\t");
    return field == nullptr ? 0 : static_cast<pid_t>(std::atol(field + 12));
}

void Tracer::seize(const Waiting& waiting)
{
    const pid_t thread = waiting.thread;
    if (ptrace(PTRACE_SEIZE, thread, nullptr, traceOptions) != 0) {
        const int code = errno;
        if (code != ESRCH) {
            const pid_t other = otherTracer(thread);
            tell(LOG_WARNING, "thread " + std::to_string(thread) + " cannot be traced: " +
                                  (other != 0 ? "process " + std::to_string(other) + " traces it already"
                                              : std::string(std::strerror(code))) +
                                  "; if it executes a program that its profile selects, that is denied");
        }
        return;
    }
    traced_.try_emplace(thread);
    ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);  // ESRCH: it was killed, and waitpid will say so
}

void Tracer::armTimer() const
{
    const itimerspec pause{{}, {0, std::chrono::nanoseconds(busyPause).count()}};
    timerfd_settime(timer_.get(), 0, &pause, nullptr);
}

void Tracer::retryBusy()
{
    std::deque<Waiting> again;
    again.swap(busy_);
    for (Waiting& waiting : again) {
        attend(std::move(waiting));
    }
}

void Tracer::reap()
{
    signalfd_siginfo ignored;
    while (read(signals_.get(), &ignored, sizeof ignored) > 0) {
    }
    int status = 0;
    while (const pid_t task = waitpid(-1, &status, __WALL | WNOHANG)) {
        if (task < 0) {
            return;  // ECHILD
        }
        stopped(task, status);
    }
}

void Tracer::stopped(pid_t task, int status)
{
    if (WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_EXEC) {
        executed(task, status);
        return;
    }
    const auto found = traced_.find(task);
    if (found == traced_.end()) {
        return;
    }
    if (found->second.injection) {
        step(found, status);
        return;
    }
    if (WIFSTOPPED(status)) {
        // Stopped on its way back from execve(2), which has failed then. A signal that is on its way must arrive.
        const int signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
        ptrace(PTRACE_DETACH, task, nullptr, signal);
    }
    traced_.erase(found);
}

void Tracer::executed(pid_t task, int status)
{
    // A thread that executes something takes its leader's id over.
    unsigned long former = 0;
    if (ptrace(PTRACE_GETEVENTMSG, task, nullptr, &former) == 0) {
        traced_.erase(static_cast<pid_t>(former));
    }
    traced_.erase(task);
    oll_take_debt debt{};
    debt.pid = static_cast<std::uint32_t>(task);
    sys::runProgram(takeDebtProgram_.get(), debt, "see what an exec is owed");
    if (debt.entries == 0) {
        ptrace(PTRACE_DETACH, task, nullptr, nullptr);
        return;
    }
    std::vector<InjectedLayer> layers;
    std::uint32_t covered = 0;
    for (const HeldLayer& layer : held_.layers) {
        if ((debt.entries & (1U << layer.entry)) != 0) {
            layers.push_back({layer.ruleset.get(), layer.restrictFlags});
            covered |= 1U << layer.entry;
        }
    }
    if (debt.generation != held_.generation || covered != debt.entries) {
        kill(task, SIGKILL);
        tell(LOG_ERR, "process " + std::to_string(task) + " is killed: it is owed what is not held for it");
        return;
    }
    const auto traced = traced_.try_emplace(task).first;
    traced->second.injection.emplace(task, std::move(layers));
    traced->second.firstEntry = static_cast<std::uint32_t>(__builtin_ctz(debt.entries));
    step(traced, status);
}

void Tracer::step(std::map<pid_t, Traced>::iterator traced, int status)
{
    Injection& injection = *traced->second.injection;
    const Injection::State state = injection.step(status);
    if (state == Injection::State::underWay) {
        return;
    }
    if (state == Injection::State::failed) {
        oll_report_failure failure{};
        failure.cgroup_id = held_.cgroupId;
        failure.pid = static_cast<std::uint32_t>(traced->first);
        failure.error = -injection.errorCode();
        failure.entry = traced->second.firstEntry;
        failure.reason = injection.refused() ? OLL_REASON_RESTRICT : OLL_REASON_INJECTION;
        sys::runProgram(reportFailureProgram_.get(), failure, "report a failure");
        tell(LOG_ERR, "process " + std::to_string(traced->first) + " is killed, for it could not be restricted: " +
                          injection.error());
    }
    traced_.erase(traced);
}

int Tracer::run()
{
    registerSelf();
    const char ready = controlReady;
    if (send(control_.get(), &ready, 1, MSG_NOSIGNAL) != 1) {
        return 0;
    }
    Clock::time_point end = Clock::time_point::max();
    while (!closing_ || (!traced_.empty() && Clock::now() < end)) {
        if (cgroupEmpty()) {
            return 0;
        }
        std::array<epoll_event, 8> events{};
        const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), closing_ ? 10 : -1);
        if (count < 0 && errno != EINTR) {
            throw sys::errnoError("event loop of the tracer");
        }
        for (int i = 0; i < count; ++i) {
            switch (events[static_cast<std::size_t>(i)].data.u32) {
                case fromEvents:
                    takeEvents();
                    break;
                case fromSignals:
                    reap();
                    break;
                case fromTimer: {
                    std::uint64_t expirations = 0;
                    if (read(timer_.get(), &expirations, sizeof expirations) > 0) {
                        retryBusy();
                    }
                    break;
                }
                case fromControl:
                    if (!closing_ && !control()) {
                        // What is under way is brought to its end; whoever comes now waits for the next tracer.
                        closing_ = true;
                        end = Clock::now() + closingPatience;
                        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, held_.events.get(), nullptr);
                        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, control_.get(), nullptr);
                    }
                    break;
                default:
                    break;  // cgroupEmpty() looks
            }
        }
    }
    return 0;
}

}  // namespace

int trace(Held held, sys::Fd control)
{
    const std::string id = held.containerId;
    try {
        return Tracer(std::move(held), std::move(control)).run();
    } catch (const sys::Error& error) {
        sys::tell(LOG_ERR, id, std::string("tracer: ") + error.what());
        return 1;
    }
}

}  // namespace applier::inject
