// SPDX-License-Identifier: Apache-2.0
// What the selector says of one container's tasks (bpf/inject.bpf.c).
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "bpf/abi.h"
#include "sys/fd.hpp"

namespace applier::inject {

struct Debt {
    std::uint64_t generation = 0;  // of the container that it is owed by
    std::uint32_t entries = 0;     // a bit each
};

// Ids of tasks as in the initial pid namespace. Everything throws sys::Error: what could not be looked up is not known,
// and must not be taken for "no".
class Verdicts {
public:
    virtual ~Verdicts() = default;
    // From here on the gate lets pass what this process traces.
    virtual void registerTracer() = 0;
    // Whether the thread is on its way into a target and waits for its tracer. False when it has ended.
    virtual bool held(pid_t thread) = 0;
    // What a task that has just executed something is owed.
    virtual Debt owed(pid_t task) = 0;
    // It has it. Until then nobody but its tracer may access the task.
    virtual void settle(pid_t task) = 0;
    // The task was killed, for it could not be restricted.
    virtual void reportFailure(pid_t task, std::uint32_t entry, oll_reason reason, int code) = 0;
};

// Those of the node's pinned programs.
class PinnedVerdicts : public Verdicts {
public:
    PinnedVerdicts(std::uint64_t generation, std::uint64_t cgroupId);
    void registerTracer() override;
    bool held(pid_t thread) override;
    Debt owed(pid_t task) override;
    void settle(pid_t task) override;
    void reportFailure(pid_t task, std::uint32_t entry, oll_reason reason, int code) override;

private:
    oll_debt debt(pid_t task, bool settle) const;

    std::uint64_t generation_;
    std::uint64_t cgroupId_;
    sys::Fd registerTracer_, findHeld_, debt_, reportFailure_;  // programs
};

}  // namespace applier::inject
