// SPDX-License-Identifier: Apache-2.0
// The process that attaches to a container's init and makes its entrypoint restrict itself.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "applier/injection/injection.hpp"

namespace applier::launch {

// A directory, whatever it is called.
struct Place {
    dev_t device = 0;
    ino_t inode = 0;

    bool operator==(const Place&) const = default;
    // Of what is open. Throws sys::Error.
    static Place of(int directory);
};

struct Task {
    std::string label;  // for messages: its id and what people call it
    pid_t init = -1;
    Place root;  // of the container: who executes something there executes the entrypoint
    std::vector<injection::InjectedLayer> layers;
    int record = -1;
};

// What is written to `ready` when all threads are attached to; anything else is an error message.
inline constexpr const char* readyMessage = "ready";

// In a child that does nothing else. Descriptors are borrowed, all others are closed.
[[noreturn]] void becomeTracer(const Task& task, int ready);

}  // namespace applier::launch
