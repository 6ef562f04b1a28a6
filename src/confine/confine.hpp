// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace confine {

// From here on this process can compute, read and write the descriptor `channel`, and end; nothing else: every other
// descriptor is closed, a Landlock domain without any rule (where the kernel has Landlock) and a seccomp filter that
// kills it at any other system call are on. Bounded in memory (256 MiB) and processor time (10 s). For good.
// Throws sys::Error when something of that cannot be had.
void confineSelf(int channel);

// The same, and it can accept connections at the socket `listener`, read and write what it has accepted, and read files
// whose descriptors come through `channel`. Bounded in memory (512 MiB), not in processor time.
void confineServer(int listener, int channel);

}  // namespace confine
