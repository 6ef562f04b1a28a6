// SPDX-License-Identifier: Apache-2.0
#include "confine/message.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace confine {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t batch = 128;  // descriptors in one message; the kernel takes 253

// Whether the channel is ready, or has ended, before the time is over.
bool ready(int channel, short what, Clock::time_point end)
{
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
        if (left <= 0) {
            return false;
        }
        pollfd poller{channel, what, 0};
        const int found = poll(&poller, 1, static_cast<int>(std::min<long>(left, 60'000)));
        if (found > 0) {
            return true;
        }
        if (found < 0 && errno != EINTR) {
            return false;
        }
    }
}

bool readExactly(int channel, char* data, std::size_t size, const Deadline& deadline)
{
    while (size > 0) {
        if (deadline && !ready(channel, POLLIN, *deadline)) {
            return false;
        }
        const ssize_t n = read(channel, data, size);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        const auto got = static_cast<std::size_t>(std::max<ssize_t>(n, 0));
        data += got;
        size -= got;
    }
    return true;
}

bool writeExactly(int channel, std::string_view data, const Deadline& deadline)
{
    while (!data.empty()) {
        if (deadline && !ready(channel, POLLOUT, *deadline)) {
            return false;
        }
        // A child that was killed is an error like any other, not a signal.
        const ssize_t n = deadline ? ::send(channel, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT)
                                   : write(channel, data.data(), data.size());
        if (n < 0 && errno != EINTR && !(deadline && errno == EAGAIN)) {
            return false;
        }
        data.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    }
    return true;
}

}  // namespace

bool send(int channel, std::string_view message, Deadline deadline)
{
    const std::uint64_t size = message.size();
    return writeExactly(channel, {reinterpret_cast<const char*>(&size), sizeof size}, deadline) &&
           writeExactly(channel, message, deadline);
}

std::optional<std::string> receive(int channel, Deadline deadline)
{
    std::uint64_t size = 0;
    if (!readExactly(channel, reinterpret_cast<char*>(&size), sizeof size, deadline) || size > maxMessage) {
        return std::nullopt;
    }
    std::string message(size, '\0');
    if (!readExactly(channel, message.data(), message.size(), deadline)) {
        return std::nullopt;
    }
    return message;
}

bool sendDescriptors(int channel, const std::vector<int>& descriptors)
{
    for (std::size_t at = 0; at < descriptors.size(); at += batch) {
        const std::size_t count = std::min(batch, descriptors.size() - at);
        char byte = 0;
        iovec part{&byte, 1};
        alignas(cmsghdr) char control[CMSG_SPACE(batch * sizeof(int))] = {};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        std::memcpy(CMSG_DATA(header), &descriptors[at], count * sizeof(int));
        if (sendmsg(channel, &message, MSG_NOSIGNAL) != 1) {
            return false;
        }
    }
    return true;
}

std::optional<std::vector<sys::Fd>> receiveDescriptors(int channel, std::size_t count, Deadline deadline)
{
    std::vector<sys::Fd> all;
    while (all.size() < count) {
        if (deadline && !ready(channel, POLLIN, *deadline)) {
            return std::nullopt;
        }
        char byte = 0;
        iovec part{&byte, 1};
        alignas(cmsghdr) char control[CMSG_SPACE(batch * sizeof(int))];
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1) {
            return std::nullopt;
        }
        const std::size_t before = all.size();
        for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
            const std::size_t found = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (std::size_t i = 0; i < found && header->cmsg_type == SCM_RIGHTS; ++i) {
                int fd = -1;
                std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
                all.emplace_back(fd);
            }
        }
        // Too many open files: the kernel leaves descriptors out.
        if (all.size() == before || (message.msg_flags & MSG_CTRUNC) != 0) {
            return std::nullopt;
        }
    }
    return all.size() == count ? std::optional(std::move(all)) : std::nullopt;
}

}  // namespace confine
