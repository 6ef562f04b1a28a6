// SPDX-License-Identifier: Apache-2.0
// The node's lock.
#pragma once

#include <chrono>

#include "sys/fd.hpp"

namespace node {

// One writer at a time on the node. Released when the process ends, however it ends. Its holder waits for nobody: not
// for a container's files or processes, nor for another process of ours.
class Lock {
public:
    // Waits for its turn, so long at most. Throws sys::Error, which names the holder.
    explicit Lock(std::chrono::seconds patience = std::chrono::seconds(10));

private:
    sys::Fd file_;
};

}  // namespace node
