// SPDX-License-Identifier: Apache-2.0
// The containers that the supervisor holds, and the life of their tracers.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "applier/inject/description.hpp"
#include "applier/inject/held.hpp"
#include "applier/inject/schedule.hpp"
#include "applier/inject/store.hpp"
#include "applier/inject/supervisor.hpp"
#include "sys/fd.hpp"
#include "sys/loop.hpp"

namespace applier::inject {

// Whoever offers containers, by a number of their own for each offer. Hears what becomes of it until it has called
// Containers::keep().
class Offerer {
public:
    virtual ~Offerer() = default;
    // The container's tracer attends to its execs. May end in a call of Containers::withdraw().
    virtual void ready(std::uint64_t offer) = 0;
    // The container is not held any more.
    virtual void dropped(std::uint64_t offer, const std::string& why) = 0;
};

// A container goes by its generation.
class Containers {
public:
    Containers(const SupervisorOptions& options, Schedule& schedule, Store& store, Offerer& offerer);
    Containers(const Containers&) = delete;
    Containers& operator=(const Containers&) = delete;

    // What a predecessor has left, once, before anything is offered. Throws sys::Error.
    void takeOver();
    // Whether each tracer of those has been ready, or has failed.
    bool tookOver() const { return restoring_.empty(); }

    // Starts its tracer, which is ready or has failed within a bounded time. Throws sys::Error, and then nothing is
    // held.
    void offer(std::uint64_t offer, const Description& description, std::vector<sys::Fd> descriptors);
    // Readable as soon as systemd has it; empty: no systemd. Throws sys::Error; it is to be withdrawn then.
    sys::Fd store(std::uint64_t generation);
    // From here on it is held until its cgroup is empty.
    void keep(std::uint64_t generation);
    void withdraw(std::uint64_t generation);
    // That container, if there is one, has ended. Throws sys::Error when that is not so.
    void release(std::uint64_t generation);
    std::size_t count() const { return containers_.size(); }

    // Some children have ended.
    void reap();
    void pingWhenDue(Time now);
    // Tracers that are late, and those to be started again.
    void due(Time now);

    // When the supervisor stops: the tracers end by themselves, or are killed.
    void closeControls();
    bool haveTracers() const;
    void killTracers();

private:
    struct Container {
        enum class Stage {
            starting,  // the tracer has not said that it is ready
            running,
            waiting,  // to start a tracer again
        };
        Held held;
        sys::Fd description;  // sealed
        bool stored = false;
        std::uint64_t offer = 0;  // until it is kept
        bool awaited = false;     // who offered it waits for the tracer
        Stage stage = Stage::waiting;
        Time deadline = never;  // starting: then it is killed; waiting: then it is started
        pid_t tracer = 0;       // 0: none
        sys::Fd control;
        sys::Loop::Watch watch;
        bool pinged = false;  // without an answer so far
        unsigned missed = 0;
        std::string trouble;      // why the tracer was killed
        std::deque<Time> starts;  // within the quick period
        bool toldDelay = false;
    };

    void restore(Held held, sys::Fd description);
    void watchGate();
    void onCalls();
    void guard(const Held& held);

    void start(Container& container);
    bool startsQuickly(Container& container, Time now) const;
    void startAgain(Container& container, Time now);
    void onControl(std::uint64_t generation);
    void ping(Container& container);
    void trouble(Container& container, const std::string& what);
    void onEnd(std::uint64_t generation, int status);
    void letGoOfTracer(Container& container);
    void forget(std::uint64_t generation);
    void drop(std::uint64_t generation, const std::string& why);

    const SupervisorOptions& options_;
    Schedule& schedule_;
    Store& store_;
    Offerer& offerer_;
    sys::Loop::Watch gateWatch_;
    std::map<std::uint64_t, Container> containers_;
    std::set<std::uint64_t> restoring_;  // taken over, and their tracers not heard of yet
    Time nextPing_ = Time::min();
};

}  // namespace applier::inject
