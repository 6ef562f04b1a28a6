// SPDX-License-Identifier: Apache-2.0
// The daemon between hooks and tracers: holds what belongs to each container, and keeps a tracer running for it.
#pragma once

#include <chrono>
#include <string>

#include "applier/inject/channel.hpp"
#include "applier/inject/gate.hpp"
#include "applier/inject/tracer_process.hpp"
#include "sys/places.hpp"

namespace applier::inject {

struct SupervisorPaths {
    std::string directory = sys::runDirectory;  // made, for root alone, if it is missing
    std::string socket = supervisorSocket();
    std::string lock = sys::inRunDirectory("supervisor.lock");
};

struct SupervisorTimes {
    using milliseconds = std::chrono::milliseconds;
    milliseconds client{10000};      // for each thing that a client is to do
    milliseconds tracerStart{9000};  // less than a hook waits, so that it hears the reason
    milliseconds ping{2000};
    unsigned missedPings = 5;  // in a row: the tracer hangs
    // This many starts of a tracer within the period go at once, the others wait for the delay.
    unsigned quickStarts = 5;
    milliseconds quickPeriod{10000};
    milliseconds startDelay{1000};
    milliseconds stop{2000};  // for all tracers to end by themselves
};

struct SupervisorOptions {
    // applier::inject::trace, or what a test has in its place. Runs in a child; its return value is the exit status.
    Trace* trace = nullptr;
    Gate* gate = nullptr;  // borrowed; without one nothing is held, and nothing guarded
    SupervisorPaths paths;
    SupervisorTimes times;
};

// Runs until SIGTERM or SIGINT; then returns. For a process with one thread and without other children: takes over its
// signals, its children and its limit on open files. Throws sys::Error when it cannot start; when another one runs, the
// message names it.
void supervise(const SupervisorOptions& options);

}  // namespace applier::inject
