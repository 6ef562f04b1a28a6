// SPDX-License-Identifier: Apache-2.0
// The applier that needs no selector: the container's entrypoint restricts itself before its first instruction, made to
// by a process that has attached to the container's init before that executed it. Linux 5.13; no BPF, no daemon.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "applier/injection/injection.hpp"
#include "container/process.hpp"

namespace applier::launch {

struct Container {
    std::string id;
    std::string label;     // for messages: its id and what people call it
    std::string report;    // JSON for `status`
    std::string about;     // JSON: what people call it, and the digests of its documents
    std::string policy;    // JSON for `inspect`
    pid_t pid = -1;        // of its init
    std::string rootPath;  // of its root file system, as the runtime names it
    std::vector<injection::InjectedLayer> layers;
};

// Throws sys::Error with what this kernel or machine lacks for it.
void requireAble();

// Whether attach() was done already, for the other hook stage. Throws sys::Error when it was and is not in force, or
// was for another container.
bool attached(const std::string& id, pid_t init);

// From the return on, the entrypoint is restricted or does not run: the tracer has attached to `init`, which is killed
// when the tracer ends before its time. Throws sys::Error.
void attach(const Container& container, const container::Process& init);

// For after the start: waits until the entrypoint is restricted, and ends a container whose entrypoint is not, or not
// within some seconds. Throws sys::Error then. `created`: it has not been started yet, as some runtimes have it, and
// all that can be known is that the tracer is there.
void requireApplied(pid_t init, bool created);

// Lets go of what is known of containers that have ended. Throws sys::Error.
void forgetEnded();

}  // namespace applier::launch
