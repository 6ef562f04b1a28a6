// SPDX-License-Identifier: Apache-2.0
// One process a container: decides about its execs, and makes the targets restrict themselves.
#pragma once

#include "applier/inject/held.hpp"
#include "sys/fd.hpp"

namespace applier::inject {

// What goes over the control socket (SOCK_SEQPACKET), a byte a message.
enum Control : char {
    controlReady = 'r',  // tracer: from here on, execs of the container are attended to
    controlPing = 'p',   // supervisor: are you there? tracer: the same byte as the answer
};

// The tracer's life, in a child of the supervisor that has nothing but `held`, `control`, and standard error open.
// Returns its exit status: 0 when the container's cgroup is empty or the supervisor has closed `control`.
int trace(Held held, sys::Fd control);

}  // namespace applier::inject
