// SPDX-License-Identifier: Apache-2.0
// The node's lock.
#pragma once

#include "sys/fd.hpp"

namespace node {

// One writer at a time on the node. Released when the process ends, however it ends. Its holder waits for nobody: not
// for a container's files or processes, nor for another process of ours.
class Lock {
public:
    // Waits for its turn, 10 s at most. Throws sys::Error, which names the holder.
    Lock();

private:
    sys::Fd file_;
};

}  // namespace node
