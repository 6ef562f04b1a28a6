// SPDX-License-Identifier: Apache-2.0
// Preloaded into a program: before it sends anything, it waits until somebody opens the FIFO that HOLD names. A hook
// then has its parser, and nothing has been asked of that.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

extern "C" ssize_t send(int socket, const void* bytes, std::size_t size, int flags)
{
    static const bool held = [] {
        const char* const fifo = std::getenv("HOLD");
        return fifo != nullptr && close(open(fifo, O_RDONLY | O_CLOEXEC)) == 0;
    }();
    static_cast<void>(held);
    return sendto(socket, bytes, size, flags, nullptr, 0);
}
