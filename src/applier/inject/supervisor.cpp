// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <new>

#include "applier/inject/containers.hpp"
#include "applier/inject/hooks.hpp"
#include "applier/inject/schedule.hpp"
#include "applier/inject/service.hpp"
#include "applier/inject/store.hpp"
#include "sys/error.hpp"
#include "sys/file.hpp"
#include "sys/log.hpp"

namespace applier::inject {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds lockPatience{1000};

class Supervisor {
public:
    explicit Supervisor(const SupervisorOptions& options);
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    void run();

private:
    void lock();
    void takeSignals();
    void onSignal();
    void due(Time now);
    void announce();
    void stop();

    const SupervisorOptions& options_;
    Schedule schedule_;
    Service service_;
    Store store_{service_};
    Hooks hooks_;
    Containers containers_;
    sys::Fd lock_, signals_;
    sys::Loop::Watch signalWatch_;
    bool announced_ = false;
    std::size_t shown_ = 0;  // how many containers systemd was told of
    Time nextWatchdog_ = never;
    milliseconds watchdogPeriod_{0};
};

Supervisor::Supervisor(const SupervisorOptions& options)
    : options_(options),
      hooks_(options, schedule_, containers_),
      containers_(options, schedule_, store_, hooks_)
{
    lock();
    takeSignals();
    if (const auto period = service_.watchdogPeriod()) {
        watchdogPeriod_ = std::chrono::duration_cast<milliseconds>(*period / 3);
        nextWatchdog_ = Clock::now();
    }
    containers_.takeOver();
    hooks_.listen();
}

void Supervisor::lock()
{
    const SupervisorPaths& paths = options_.paths;
    if (mkdir(paths.directory.c_str(), 0700) != 0 && errno != EEXIST) {
        throw sys::errnoError("make " + paths.directory);
    }
    const sys::Fd directory(open(paths.directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory) {
        throw sys::errnoError(paths.directory);
    }
    sys::requireTrustedDirectory(directory.get(), paths.directory);
    lock_ = sys::Fd(open(paths.lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock_) {
        throw sys::errnoError(paths.lock);
    }
    // A tracer that a killed predecessor had just forked holds it for a moment more.
    const Time patience = Clock::now() + lockPatience;
    while (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            throw sys::errnoError("lock " + paths.lock);
        }
        if (Clock::now() > patience) {
            const std::string pid = sys::readAll(lock_.get(), 64, paths.lock);
            throw sys::Error("another supervisor runs already" +
                             (pid.empty() ? "" : " (pid " + sys::printable(pid.substr(0, pid.find('\n'))) + ")") +
                             "; one is enough for a node");
        }
        usleep(20000);
    }
    // For a second one. Where there is no room for it, containers wait for this one all the same.
    static_cast<void>(ftruncate(lock_.get(), 0) == 0 && sys::writeAll(lock_.get(), std::to_string(getpid()) + "\n"));
}

void Supervisor::takeSignals()
{
    for (const int ignored : {SIGHUP, SIGPIPE}) {
        signal(ignored, SIG_IGN);
    }
    signal(SIGCHLD, SIG_DFL);  // ignored, children would leave no exit status
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int number : {SIGTERM, SIGINT, SIGCHLD}) {
        sigaddset(&wanted, number);
    }
    if (sigprocmask(SIG_BLOCK, &wanted, nullptr) != 0) {
        throw sys::errnoError("signals");
    }
    signals_ = sys::Fd(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) {
        throw sys::errnoError("signals");
    }
    signalWatch_ = schedule_.loop.watch(signals_.get(), POLLIN, [this](short) { onSignal(); });
}

void Supervisor::onSignal()
{
    std::array<signalfd_siginfo, 16> pending;
    const ssize_t size = read(signals_.get(), pending.data(), sizeof pending);
    bool children = false;
    for (std::size_t i = 0; size > 0 && i < static_cast<std::size_t>(size) / sizeof pending[0]; ++i) {
        children |= pending[i].ssi_signo == SIGCHLD;
        schedule_.stopping |= pending[i].ssi_signo != SIGCHLD;
    }
    if (children) {
        containers_.reap();
    }
}

void Supervisor::run()
{
    while (!schedule_.stopping) {
        // First what has been said: forking many tracers may take longer than one of them may take to be ready.
        schedule_.loop.wait(milliseconds(0));
        const Time now = Clock::now();
        if (now >= schedule_.next || (!announced_ && containers_.tookOver())) {
            due(now);
        }
        const auto left = std::chrono::ceil<milliseconds>(schedule_.next - Clock::now());
        schedule_.loop.wait(std::max(left, milliseconds(0)));
    }
    stop();
}

void Supervisor::due(Time now)
{
    schedule_.next = never;
    containers_.pingWhenDue(now);
    hooks_.due(now);
    containers_.due(now);
    store_.removeAgain();
    if (now >= nextWatchdog_) {
        service_.watchdog();
        nextWatchdog_ = now + watchdogPeriod_;
    }
    schedule_.wakeAt(nextWatchdog_);
    announce();
}

// READY=1 waits for the tracers of the containers that were taken over.
void Supervisor::announce()
{
    if (!announced_ && containers_.tookOver()) {
        announced_ = true;
        service_.ready();
        sys::tell(LOG_INFO, "supervisor ready");
        shown_ = containers_.count() + 1;
    }
    if (announced_ && shown_ != containers_.count()) {
        const std::size_t count = containers_.count();
        try {
            service_.status(std::to_string(count) + (count == 1 ? " container" : " containers"));
            shown_ = count;
        } catch (const std::bad_alloc&) {
            // Not worth an end: it is said when there is memory again.
        }
    }
}

// systemd keeps the descriptors of what is kept, if it is a restart.
void Supervisor::stop()
{
    service_.stopping();
    if (!service_.present()) {
        unlink(options_.paths.socket.c_str());
    }
    hooks_.close();
    containers_.closeControls();
    const Time end = Clock::now() + options_.times.stop;
    while (containers_.haveTracers() && Clock::now() < end) {
        schedule_.loop.wait(std::chrono::ceil<milliseconds>(end - Clock::now()));
    }
    containers_.killTracers();
}

}  // namespace

void supervise(const SupervisorOptions& options)
{
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    // Targets that wait for it keep the processors busy.
    setpriority(PRIO_PROCESS, 0, -10);
    Supervisor(options).run();
}

}  // namespace applier::inject
