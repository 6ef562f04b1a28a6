// SPDX-License-Identifier: Apache-2.0
// What can be seen of a thread that waits in execve(2) for its file to be opened. The thread is hostile: it may change
// its memory meanwhile. What is seen here only says where to look; the gate decides by what the kernel has.
#pragma once

#include <sys/types.h>

#include <string>

namespace applier::inject {

// The name given to execve(2) or execveat(2); "" when it cannot be read or is longer than OLL_PATH_SIZE - 1.
std::string nameGiven(pid_t thread);

// Whether the open file is a program by itself: anything else leads to an interpreter.
bool isElf(int file);

}  // namespace applier::inject
