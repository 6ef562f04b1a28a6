// SPDX-License-Identifier: Apache-2.0
/*
 * The way of a target here:
 *   1. The gate holds its thread: execve(2) begins anew again and again (bpf/inject.bpf.c). The supervisor calls.
 *   2. PTRACE_SEIZE, so that the gate lets it pass and that it stops once the exec has succeeded; PTRACE_INTERRUPT. At
 *      that stop all its signals are blocked, so that no handler of it comes in between; on to the next execve.
 *   3. If that fails, the thread gets its signals back and is let go. It never notices.
 *   4. At the stop after the exec, the verdict says which entries have selected it. None: it is let go.
 *   5. Injection makes it restrict itself; the debt is settled; it is let go.
 * Nothing here waits for a file, the memory or the descriptors of a container before step 5, and there only for those
 * of a target. If this process dies at any point, the kernel kills what it traces, and the gate holds what comes.
 */
#include "applier/inject/tracer.hpp"

#include <fcntl.h>
#include <linux/audit.h>
#include <poll.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <map>
#include <optional>

#include "applier/injection/injection.hpp"
#include "sys/error.hpp"
#include "sys/log.hpp"
#include "sys/loop.hpp"

namespace applier::inject {

namespace {

using injection::InjectedLayer;
using injection::Injection;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr unsigned traceOptions = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD;
constexpr int syscallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
// Between the stop of step 2 and the execve that follows there are a few instructions of the kernel's. Whoever takes
// longer was in a handler.
constexpr milliseconds entryPatience{1000};
// For what is under way when the supervisor stops.
constexpr milliseconds closingPatience{1000};

// A thread that we trace.
struct Traced {
    enum class At {
        seized,  // on the way to the stop that we have asked for
        entry,   // on the way to execve
        exec,    // in it
        injection,
        leaving,  // to be let go at its next stop
    };
    At at = At::seized;
    bool leader = false;                      // of its process, when it was attached to
    std::optional<std::uint64_t> signalMask;  // its own, while all signals are blocked
    Clock::time_point deadline = Clock::time_point::max();
    std::optional<Injection> injection;
    std::uint32_t firstEntry = 0;  // of those it is owed
};

// execve or execveat, by any of the numbers that they have.
bool isExec(const __ptrace_syscall_info& info)
{
    const auto number = info.entry.nr;
    switch (info.arch) {
        case AUDIT_ARCH_X86_64:
            return number == 59 || number == 322 || number == (0x40000000 | 520) ||
                   number == (0x40000000 | 545);  // x32
        case AUDIT_ARCH_I386:
            return number == 11 || number == 358;
        case AUDIT_ARCH_AARCH64:
            return number == 221 || number == 281;
        case AUDIT_ARCH_ARM:
            return number == 11 || number == 387;
        default:
            return false;
    }
}

class Tracer {
public:
    Tracer(Held held, sys::Fd control, Verdicts& verdicts);
    int run();

private:
    using Threads = std::map<pid_t, Traced>;

    void onControl();
    void onChildren();
    bool cgroupEmpty() const;
    void attach(pid_t thread);
    void forgetLost();
    void stopped(pid_t task, int status);
    void atStop(Threads::iterator traced, int status);
    void atCall(Threads::iterator traced);
    void executed(pid_t task, int status);
    void step(Threads::iterator traced, int status);
    void resume(Threads::iterator traced, int request, int signal = 0);
    void letGo(Threads::iterator traced, int signal = 0);
    void killUnrestricted(Threads::iterator traced, const std::string& why);
    void close();
    milliseconds dueTime();

    Held held_;
    sys::Fd control_;
    Verdicts& verdicts_;
    sys::LimitedLog log_;
    sys::Fd signals_, cgroupEvents_;
    sys::Loop loop_;
    sys::Loop::Watch controlWatch_, signalWatch_, cgroupWatch_;
    Threads threads_;
    bool closing_ = false;
    Clock::time_point end_ = Clock::time_point::max();
};

Tracer::Tracer(Held held, sys::Fd control, Verdicts& verdicts)
    : held_(std::move(held)),
      control_(std::move(control)),
      verdicts_(verdicts),
      log_(held_.label),
      cgroupEvents_(openat(held_.cgroup.get(), "cgroup.events", O_RDONLY | O_CLOEXEC))
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, nullptr);
    signals_ = sys::Fd(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) {
        throw sys::errnoError("signals of the tracer");
    }
    controlWatch_ = loop_.watch(control_.get(), POLLIN, [this](short) { onControl(); });
    signalWatch_ = loop_.watch(signals_.get(), POLLIN, [this](short) { onChildren(); });
    if (cgroupEvents_) {
        // It can always be read; a change of it is POLLPRI. run() looks.
        cgroupWatch_ = loop_.watch(cgroupEvents_.get(), POLLPRI, [](short) {});
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

void Tracer::onControl()
{
    ControlMessage message;
    const ssize_t size = recv(control_.get(), &message, sizeof message, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    const bool good = size == sizeof message;
    if (good && message.word == controlCall) {
        attach(message.thread);
        return;
    }
    forgetLost();
    if (!good || message.word != controlPing ||
        send(control_.get(), &message, sizeof message, MSG_NOSIGNAL) != sizeof message) {
        close();
    }
}

// Of a process's first thread nobody says that it has ended, where another one executes something and takes over its
// id: that one would have no tracer for as long as it lives.
void Tracer::forgetLost()
{
    std::erase_if(threads_, [](const auto& item) {
        siginfo_t ignored;
        return item.second.leader &&
               waitid(P_PID, static_cast<id_t>(item.first), &ignored,
                      WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) != 0 &&
               errno == ECHILD;
    });
}

// What is under way is brought to its end; whoever has not passed the gate is let go, and held for the next tracer.
void Tracer::close()
{
    closing_ = true;
    end_ = Clock::now() + closingPatience;
    controlWatch_.reset();
    for (auto& [thread, traced] : threads_) {
        if (traced.at == Traced::At::entry) {
            traced.at = Traced::At::leaving;
            ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
        }
    }
}

// Attaching waits for a mutex that an exec of the same process holds. None is under way: the gate holds the others
// back for as long as this thread is held, and some more.
void Tracer::attach(pid_t thread)
{
    if (threads_.contains(thread) || !verdicts_.held(thread)) {
        return;
    }
    if (ptrace(PTRACE_SEIZE, thread, nullptr, traceOptions) != 0) {
        const int code = errno;
        if (code != ESRCH) {
            log_.tell(LOG_WARNING, "thread " + std::to_string(thread) + " cannot be traced (" + std::strerror(code) +
                                       "), perhaps because somebody else does; the program that it executes, which "
                                       "its profile selects, is denied");
        }
        return;
    }
    threads_[thread].leader = tgkill(thread, thread, 0) == 0;
    ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);  // ESRCH: it was killed, and waitpid will say so
}

void Tracer::onChildren()
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
    const auto found = threads_.find(task);
    if (found == threads_.end()) {
        return;
    }
    if (found->second.injection) {
        step(found, status);
    } else if (WIFSTOPPED(status)) {
        atStop(found, status);
    } else {
        threads_.erase(found);
    }
}

// At a stop of a thread that has not executed anything yet.
void Tracer::atStop(Threads::iterator traced, int status)
{
    using At = Traced::At;
    const int signal = WSTOPSIG(status);
    const int event = status >> 16;
    if (event == 0 && signal == syscallStop && (traced->second.at == At::entry || traced->second.at == At::exec)) {
        atCall(traced);
        return;
    }
    const bool interrupted = event == PTRACE_EVENT_STOP && signal == SIGTRAP;
    if (traced->second.at == At::seized && interrupted && !closing_ && verdicts_.held(traced->first)) {
        std::uint64_t mask = 0;
        const std::uint64_t all = ~0ULL;
        if (ptrace(PTRACE_GETSIGMASK, traced->first, sizeof mask, &mask) != 0) {
            letGo(traced);
            return;
        }
        traced->second.signalMask = mask;
        if (ptrace(PTRACE_SETSIGMASK, traced->first, sizeof all, &all) != 0) {
            letGo(traced);
            return;
        }
        traced->second.at = At::entry;
        traced->second.deadline = Clock::now() + entryPatience;
        resume(traced, PTRACE_SYSCALL);
        return;
    }
    if (traced->second.at == At::exec && event == PTRACE_EVENT_STOP) {
        resume(traced, PTRACE_SYSCALL);
        return;
    }
    // A signal, a stop of the whole process, or an exec that has failed already. If it still wants to execute a
    // target, it is held again. A signal that is on its way must arrive.
    letGo(traced, event == 0 && signal != syscallStop ? signal : 0);
}

// At a system call, on the way in or out.
void Tracer::atCall(Threads::iterator traced)
{
    __ptrace_syscall_info info{};
    if (ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), traced->first, sizeof info, &info) < 0) {
        letGo(traced);
        return;
    }
    constexpr std::int64_t restarts = -513;  // ERESTARTNOINTR
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY && isExec(info)) {
        traced->second.at = Traced::At::exec;
        traced->second.deadline = Clock::time_point::max();
        resume(traced, PTRACE_SYSCALL);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && info.exit.rval == restarts && !closing_) {
        traced->second.at = Traced::At::entry;
        traced->second.deadline = Clock::now() + entryPatience;
        resume(traced, PTRACE_SYSCALL);
    } else {
        letGo(traced);
    }
}

void Tracer::resume(Threads::iterator traced, int request, int signal)
{
    // ESRCH: it was killed, and waitpid will say so.
    ptrace(static_cast<__ptrace_request>(request), traced->first, nullptr, static_cast<long>(signal));
}

void Tracer::letGo(Threads::iterator traced, int signal)
{
    if (traced->second.signalMask) {
        ptrace(PTRACE_SETSIGMASK, traced->first, sizeof *traced->second.signalMask, &*traced->second.signalMask);
    }
    ptrace(PTRACE_DETACH, traced->first, nullptr, static_cast<long>(signal));
    threads_.erase(traced);
}

void Tracer::killUnrestricted(Threads::iterator traced, const std::string& why)
{
    kill(traced->first, SIGKILL);  // stopped and ours: its number is nobody else's
    log_.tell(LOG_ERR, "process " + std::to_string(traced->first) + " is killed: " + why);
    threads_.erase(traced);
}

void Tracer::executed(pid_t task, int status)
{
    // A thread that executes something takes its leader's id over.
    unsigned long former = 0;
    if (ptrace(PTRACE_GETEVENTMSG, task, nullptr, &former) == 0 && static_cast<pid_t>(former) != task) {
        threads_.erase(task);
        if (auto thread = threads_.extract(static_cast<pid_t>(former))) {
            thread.key() = task;
            threads_.insert(std::move(thread));
        }
    }
    const auto traced = threads_.try_emplace(task).first;
    Debt debt;
    try {
        debt = verdicts_.owed(task);
    } catch (const sys::Error& error) {
        killUnrestricted(traced, error.what());
        return;
    }
    if (debt.entries == 0) {
        letGo(traced);
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
        killUnrestricted(traced, "it is owed what is not held for it");
        return;
    }
    traced->second.at = Traced::At::injection;
    traced->second.deadline = Clock::time_point::max();
    traced->second.firstEntry = static_cast<std::uint32_t>(__builtin_ctz(debt.entries));
    traced->second.injection.emplace(task, std::move(layers),
                                     injection::Options{.signalMask = traced->second.signalMask,
                                                        .beforeRelease = [this, task] { verdicts_.settle(task); }});
    step(traced, status);
}

void Tracer::step(Threads::iterator traced, int status)
{
    Injection& injection = *traced->second.injection;
    const Injection::State state = injection.step(status);
    if (state == Injection::State::underWay) {
        return;
    }
    if (state == Injection::State::failed) {
        verdicts_.reportFailure(traced->first, traced->second.firstEntry,
                                injection.refused() ? OLL_REASON_RESTRICT : OLL_REASON_INJECTION,
                                injection.errorCode());
        log_.tell(LOG_ERR, "process " + std::to_string(traced->first) +
                               " is killed, for it could not be restricted: " + injection.error());
    }
    threads_.erase(traced);
}

// What is due is done; how long until something is.
milliseconds Tracer::dueTime()
{
    const Clock::time_point now = Clock::now();
    Clock::time_point next = end_;
    for (auto& [thread, traced] : threads_) {
        if (traced.deadline <= now) {
            traced.at = Traced::At::leaving;
            traced.deadline = Clock::time_point::max();
            ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
        }
        next = std::min(next, traced.deadline);
    }
    return next == Clock::time_point::max() ? milliseconds::max()
                                            : std::chrono::ceil<milliseconds>(std::max(next - now, {}));
}

int Tracer::run()
{
    verdicts_.registerTracer();
    const ControlMessage ready{controlReady};
    if (send(control_.get(), &ready, sizeof ready, MSG_NOSIGNAL) != sizeof ready) {
        return 0;
    }
    while (!closing_ || (!threads_.empty() && Clock::now() < end_)) {
        if (cgroupEmpty()) {
            return 0;
        }
        loop_.wait(dueTime());
    }
    return 0;
}

}  // namespace

int trace(Held held, sys::Fd control, Verdicts& verdicts)
{
    return Tracer(std::move(held), std::move(control), verdicts).run();
}

int trace(Held held, sys::Fd control)
{
    const std::string id = held.label;
    try {
        PinnedVerdicts verdicts(held.generation, held.cgroupId);
        return trace(std::move(held), std::move(control), verdicts);
    } catch (const std::exception& error) {
        sys::tell(LOG_ERR, id, std::string("tracer: ") + error.what());
        return 1;
    }
}

}  // namespace applier::inject
