// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/verdicts.hpp"

#include <unistd.h>

#include "sys/bpf.hpp"
#include "sys/error.hpp"
#include "sys/places.hpp"

namespace applier::inject {

PinnedVerdicts::PinnedVerdicts(std::uint64_t generation, std::uint64_t cgroupId)
    : generation_(generation),
      cgroupId_(cgroupId),
      registerTracer_(sys::openPin(sys::pinned("register_tracer"))),
      findHeld_(sys::openPin(sys::pinned("find_held"))),
      debt_(sys::openPin(sys::pinned("debt"))),
      reportFailure_(sys::openPin(sys::pinned("report_failure")))
{
}

void PinnedVerdicts::registerTracer()
{
    oll_register_tracer context{};
    context.generation = generation_;
    sys::runProgram(registerTracer_.get(), context, "register the tracer");
    if (context.error != 0) {
        throw sys::errnoError("register the tracer", -context.error);
    }
    if (context.tgid != static_cast<std::uint32_t>(getpid())) {
        throw sys::Error("the supervisor is not in the initial pid namespace");
    }
}

bool PinnedVerdicts::held(pid_t thread)
{
    oll_find_held context{};
    context.generation = generation_;
    context.thread = static_cast<std::uint32_t>(thread);
    sys::runProgram(findHeld_.get(), context, "look at an exec");
    if (context.error != 0) {
        throw sys::errnoError("look at an exec", -context.error);
    }
    return context.held != 0;
}

oll_debt PinnedVerdicts::debt(pid_t task, bool settle) const
{
    oll_debt context{};
    context.pid = static_cast<std::uint32_t>(task);
    context.settle = settle ? 1 : 0;
    sys::runProgram(debt_.get(), context, "see what an exec is owed");
    if (context.error != 0) {
        throw sys::errnoError("see what an exec is owed", -context.error);
    }
    return context;
}

Debt PinnedVerdicts::owed(pid_t task)
{
    const oll_debt found = debt(task, false);
    return {found.generation, found.entries};
}

void PinnedVerdicts::settle(pid_t task)
{
    debt(task, true);
}

void PinnedVerdicts::reportFailure(pid_t task, std::uint32_t entry, oll_reason reason, int code)
{
    oll_report_failure context{};
    context.cgroup_id = cgroupId_;
    context.pid = static_cast<std::uint32_t>(task);
    context.error = -code;
    context.entry = entry;
    context.reason = reason;
    sys::runProgram(reportFailure_.get(), context, "report a failure");
}

}  // namespace applier::inject
