// SPDX-License-Identifier: Apache-2.0
// The process that a tracer lives in, from the fork to the first line of trace().
#pragma once

#include <sys/types.h>

#include "applier/inject/held.hpp"
#include "sys/fd.hpp"

namespace applier::inject {

// As trace() in tracer.hpp.
using Trace = int(Held held, sys::Fd control);

// For a child of `parent` that was just forked, and has one thread: dies with its parent; keeps nothing open but
// `held`, `control`, and standard error; then runs `trace`. The objects of its parent are never destroyed in it.
[[noreturn]] void becomeTracer(Trace* trace, const Held& held, int control, pid_t parent);

}  // namespace applier::inject
