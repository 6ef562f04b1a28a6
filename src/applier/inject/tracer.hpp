// SPDX-License-Identifier: Apache-2.0
// One process a container: attaches to what is about to execute a target, and makes the new program restrict itself.
#pragma once

#include "applier/inject/held.hpp"
#include "applier/inject/verdicts.hpp"
#include "sys/fd.hpp"

namespace applier::inject {

// What goes over the control socket (SOCK_SEQPACKET), one in a message.
enum Control : std::uint32_t {
    controlReady = 1,  // tracer: from here on, targets of the container are attended to
    controlPing = 2,   // supervisor: are you there? tracer: the same as the answer
    controlCall = 3,   // supervisor: this thread is held
};
struct ControlMessage {
    Control word = controlPing;
    std::int32_t thread = 0;  // of a call, in the initial pid namespace
};
static_assert(sizeof(ControlMessage) == 8);

// The tracer's life, in a child of the supervisor that has nothing but `held`, `control`, and standard error open.
// Returns its exit status: 0 when the container's cgroup is empty or the supervisor has closed `control`.
int trace(Held held, sys::Fd control);

// The same with somebody else's verdicts. Throws sys::Error.
int trace(Held held, sys::Fd control, Verdicts& verdicts);

}  // namespace applier::inject
