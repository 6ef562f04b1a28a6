// SPDX-License-Identifier: Apache-2.0
#include "sys/fd.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>

namespace sys {

bool openStandardDescriptors()
{
    constexpr std::array useless{O_WRONLY, O_RDONLY, O_RDWR};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", useless.at(static_cast<std::size_t>(fd)) | O_CLOEXEC) != fd) {
            return false;
        }
    }
    return true;
}

bool closeAllBut(std::vector<int> kept)
{
    std::ranges::sort(kept);
    unsigned next = STDERR_FILENO + 1;
    for (const int fd : kept) {
        const auto number = static_cast<unsigned>(fd);
        if (number > next && syscall(SYS_close_range, next, number - 1, 0) != 0) {
            return false;
        }
        next = std::max(next, number + 1);
    }
    return syscall(SYS_close_range, next, ~0U, 0) == 0;
}

}  // namespace sys
