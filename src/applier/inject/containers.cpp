// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/containers.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "applier/inject/gate.hpp"
#include "applier/inject/tracer.hpp"
#include "container/process.hpp"
#include "sys/error.hpp"
#include "sys/log.hpp"

namespace applier::inject {

namespace {

constexpr const char* full = "there are more containers than systemd can keep descriptors of";
constexpr const char* ended = "the container has ended";

// In doubt it is.
bool inUse(const Held& held)
{
    try {
        return container::populated(held.cgroup.get());
    } catch (const sys::Error&) {
        return true;
    }
}

std::string howItEnded(int status)
{
    return WIFSIGNALED(status) ? "was killed by signal " + std::to_string(WTERMSIG(status))
                               : "ended with exit status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Containers::Containers(const SupervisorOptions& options, Schedule& schedule, Store& store, Offerer& offerer)
    : options_(options),
      schedule_(schedule),
      store_(store),
      offerer_(offerer)
{
}

// ---- From one supervisor to the next

void Containers::takeOver()
{
    if (options_.gate != nullptr) {
        options_.gate->clear();
        watchGate();
    }
    store_.takeBack([this](Held held, sys::Fd description) { restore(std::move(held), std::move(description)); });
    if (options_.gate != nullptr) {
        std::set<std::uint64_t> held;
        for (const auto& [generation, container] : containers_) {
            held.insert(generation);
        }
        options_.gate->forgetAllBut(held);
    }
}

void Containers::restore(Held held, sys::Fd description)
{
    const std::uint64_t generation = held.generation;
    Container container;
    container.held = std::move(held);
    container.description = std::move(description);
    container.stored = true;
    guard(container.held);
    Container& there = containers_.emplace(generation, std::move(container)).first->second;
    if (!inUse(there.held)) {
        drop(generation, ended);
        return;
    }
    restoring_.insert(generation);
    startAgain(there, Clock::now());
}

// ---- The gate

void Containers::watchGate()
{
    gateWatch_.reset();
    gateWatch_ = schedule_.loop.watch(options_.gate->descriptor(), POLLIN, [this](short) { onCalls(); });
}

// A call that does not get through is made again.
void Containers::onCalls()
{
    options_.gate->takeCalls([this](const Call& call) {
        const auto found = containers_.find(call.generation);
        if (found != containers_.end() && found->second.stage == Container::Stage::running) {
            const ControlMessage message{controlCall, call.thread};
            ::send(found->second.control.get(), &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
    });
}

void Containers::guard(const Held& held)
{
    for (const HeldLayer& layer : held.layers) {
        if (options_.gate != nullptr) {
            options_.gate->guard(layer.ruleset.get());
        }
    }
}

// ---- What is held

void Containers::offer(std::uint64_t offer, const Description& description, std::vector<sys::Fd> descriptors)
{
    Container container;
    container.held = hold(description, std::move(descriptors));
    container.description = seal(description);
    container.offer = offer;
    container.awaited = true;
    if (!store_.hasRoom(container.held)) {
        throw sys::Error(full);
    }
    if (options_.gate != nullptr && options_.gate->renew()) {
        watchGate();
    }
    const std::uint64_t generation = container.held.generation;
    if (const auto known = containers_.find(generation); known != containers_.end()) {
        // The node numbers containers anew when it is loaded again: what has this number is a leftover.
        sys::tell(LOG_NOTICE, known->second.held.label, "dropped, because a newer container has its generation");
        drop(generation, "a newer container has the same generation");
    }
    Container& there = containers_.emplace(generation, std::move(container)).first->second;
    try {
        guard(there.held);
        start(there);
    } catch (...) {
        forget(generation);
        throw;
    }
}

sys::Fd Containers::store(std::uint64_t generation)
{
    Container& container = containers_.at(generation);
    if (!store_.hasRoom(container.held)) {
        throw sys::Error(full);
    }
    container.stored = true;  // from the first descriptor on
    return store_.put(container.held, container.description.get());
}

void Containers::keep(std::uint64_t generation)
{
    containers_.at(generation).offer = 0;
}

void Containers::withdraw(std::uint64_t generation)
{
    drop(generation, "its hook has ended");
}

void Containers::release(std::uint64_t generation)
{
    const auto found = containers_.find(generation);
    if (found == containers_.end()) {
        return;
    }
    if (inUse(found->second.held)) {
        throw sys::Error("a process is in the container's cgroup");
    }
    drop(generation, ended);
}

// Nothing is held for it any more, and the gate denies its targets.
void Containers::forget(std::uint64_t generation)
{
    const auto found = containers_.find(generation);
    if (found != containers_.end() && options_.gate != nullptr) {
        options_.gate->forget(generation);
        for (const HeldLayer& layer : found->second.held.layers) {
            options_.gate->release(layer.ruleset.get());
        }
    }
    containers_.erase(generation);
}

void Containers::drop(std::uint64_t generation, const std::string& why)
{
    const auto found = containers_.find(generation);
    if (found == containers_.end()) {
        return;
    }
    Container& container = found->second;
    letGoOfTracer(container);
    if (container.stored) {
        store_.remove(container.held);
    }
    const std::uint64_t offer = container.offer;
    forget(generation);
    restoring_.erase(generation);
    if (offer != 0) {
        offerer_.dropped(offer, why);
    }
}

// ---- Tracers

// Throws sys::Error; the container is as before then.
void Containers::start(Container& container)
{
    int ends[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        throw sys::errnoError("start a tracer");
    }
    sys::Fd mine(ends[0]);
    const sys::Fd its(ends[1]);
    // The tracer's own waiting is its affair.
    if (fcntl(its.get(), F_SETFL, 0) != 0) {
        throw sys::errnoError("start a tracer");
    }
    const std::uint64_t generation = container.held.generation;
    sys::Loop::Watch watch =
        schedule_.loop.watch(mine.get(), POLLIN, [this, generation](short) { onControl(generation); });
    const Time now = Clock::now();
    container.starts.push_back(now);
    const pid_t self = getpid();
    const pid_t pid = fork();
    if (pid < 0) {
        throw sys::errnoError("start a tracer");
    }
    if (pid == 0) {
        becomeTracer(options_.trace, container.held, its.get(), self);
    }
    container.tracer = pid;
    container.watch = std::move(watch);
    container.control = std::move(mine);
    container.stage = Container::Stage::starting;
    container.deadline = now + options_.times.tracerStart;
    container.pinged = false;
    container.missed = 0;
    container.trouble.clear();
    schedule_.wakeAt(container.deadline);
}

bool Containers::startsQuickly(Container& container, Time now) const
{
    std::deque<Time>& starts = container.starts;
    while (!starts.empty() && starts.front() + options_.times.quickPeriod <= now) {
        starts.pop_front();
    }
    return starts.size() < options_.times.quickStarts;
}

// At once, or later when that was tried often.
void Containers::startAgain(Container& container, Time now)
{
    const bool quick = startsQuickly(container, now);
    container.stage = Container::Stage::waiting;
    const Time earliest = quick ? now : container.starts.back() + options_.times.startDelay;
    if (earliest > now) {
        if (!std::exchange(container.toldDelay, true)) {
            sys::tell(LOG_ERR, container.held.label,
                      "its tracer keeps ending; what its profile selects cannot "
                      "be executed meanwhile; trying on without a further message");
        }
        container.deadline = earliest;
        schedule_.wakeAt(earliest);
        return;
    }
    try {
        start(container);
    } catch (const sys::Error& error) {
        sys::tell(LOG_ERR, container.held.label, error.what());
        restoring_.erase(container.held.generation);
        container.deadline = now + options_.times.startDelay;
        schedule_.wakeAt(container.deadline);
    }
}

void Containers::onControl(std::uint64_t generation)
{
    Container& container = containers_.at(generation);
    ControlMessage message;
    const ssize_t size = recv(container.control.get(), &message, sizeof message, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0) {
        container.watch.reset();  // it has ended or is about to: SIGCHLD says how
        return;
    }
    const bool starting = container.stage == Container::Stage::starting;
    const bool whole = size == sizeof message;
    if (whole && message.word == controlReady && starting) {
        container.stage = Container::Stage::running;
        container.deadline = never;
        restoring_.erase(generation);
        if (std::exchange(container.awaited, false)) {
            offerer_.ready(container.offer);
        }
    } else if (whole && message.word == controlPing && container.pinged) {
        container.pinged = false;
        container.missed = 0;
    } else {
        trouble(container, "its tracer says what was not expected");
    }
}

void Containers::pingWhenDue(Time now)
{
    if (now >= nextPing_) {
        nextPing_ = now + options_.times.ping;
        for (auto& [generation, container] : containers_) {
            ping(container);
        }
    }
    schedule_.wakeAt(nextPing_);
}

void Containers::ping(Container& container)
{
    if (container.stage != Container::Stage::running) {
        return;
    }
    // Counted, not timed: when this process was stopped itself, the tracer is not to blame.
    if (container.pinged && ++container.missed >= options_.times.missedPings) {
        trouble(container, "its tracer does not answer");
        return;
    }
    // One that cannot be asked any more does not answer either.
    const ControlMessage message{controlPing};
    if (!container.pinged) {
        ::send(container.control.get(), &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
        container.pinged = true;
    }
}

void Containers::due(Time now)
{
    std::vector<std::uint64_t> late;
    for (const auto& [generation, container] : containers_) {
        container.deadline <= now ? late.push_back(generation) : schedule_.wakeAt(container.deadline);
    }
    for (const std::uint64_t generation : late) {
        const auto found = containers_.find(generation);
        if (found == containers_.end()) {
            continue;
        }
        Container& container = found->second;
        if (container.stage == Container::Stage::starting) {
            trouble(container, "its tracer is not ready in time");
        } else if (!inUse(container.held)) {
            drop(generation, ended);
        } else {
            startAgain(container, now);
        }
    }
}

void Containers::trouble(Container& container, const std::string& what)
{
    if (container.tracer > 0) {
        kill(container.tracer, SIGKILL);
    }
    container.trouble = what;
    container.watch.reset();
    container.stage = Container::Stage::waiting;  // for its end
    container.deadline = never;
}

void Containers::reap()
{
    int status = 0;
    pid_t pid = 0;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        const auto found =
            std::ranges::find_if(containers_, [&](const auto& item) { return item.second.tracer == pid; });
        if (found != containers_.end() && (WIFEXITED(status) || WIFSIGNALED(status))) {
            onEnd(found->first, status);
        }
    }
}

void Containers::onEnd(std::uint64_t generation, int status)
{
    Container& container = containers_.at(generation);
    container.tracer = 0;
    letGoOfTracer(container);
    restoring_.erase(generation);
    if (!inUse(container.held)) {
        drop(generation, ended);
        return;
    }
    const std::string how = container.trouble.empty() ? "its tracer " + howItEnded(status) : container.trouble;
    if (container.awaited) {
        drop(generation, "container " + sys::printable(container.held.label) + ": " + how + " before it was ready");
        return;
    }
    if (schedule_.stopping) {
        return;
    }
    const Time now = Clock::now();
    if (startsQuickly(container, now)) {
        container.toldDelay = false;
    }
    if (!container.toldDelay) {
        sys::tell(LOG_ERR, container.held.label, how + "; starting another one");
    }
    startAgain(container, now);
}

void Containers::letGoOfTracer(Container& container)
{
    if (container.tracer > 0) {
        kill(container.tracer, SIGKILL);
        container.tracer = 0;
    }
    container.watch.reset();
    container.control.reset();
}

// ---- The end of it all

void Containers::closeControls()
{
    for (auto& [generation, container] : containers_) {
        container.watch.reset();
        container.control.reset();
    }
}

bool Containers::haveTracers() const
{
    return std::ranges::any_of(containers_, [](const auto& item) { return item.second.tracer > 0; });
}

void Containers::killTracers()
{
    for (auto& [generation, container] : containers_) {
        letGoOfTracer(container);
    }
}

}  // namespace applier::inject
