// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/channel.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "applier/injection/stopped_task.hpp"
#include "sys/error.hpp"
#include "sys/file.hpp"

namespace applier::inject {

namespace {

struct Packet {
    Received what = Received::nothing;
    std::size_t size = 0;
    bool complete = false;  // neither bytes nor descriptors were cut off
    std::vector<sys::Fd> descriptors;
};

// Whatever the message is, each descriptor that came with it has an owner at once.
Packet receivePacket(int socket, std::span<char> buffer)
{
    Packet packet;
    packet.descriptors.reserve(2 * maxDescriptors);
    alignas(cmsghdr) std::array<char, CMSG_SPACE(maxDescriptors * sizeof(int))> control;
    iovec part{buffer.data(), buffer.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    ssize_t size = -1;
    bool reset = false;
    do {
        reset = reset || (size < 0 && errno == ECONNRESET);
        size = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
        // A peer that closes without having read all resets the connection; what it sent before comes after the error.
    } while (size < 0 && (errno == EINTR || (errno == ECONNRESET && !reset)));
    if (size < 0) {
        if (errno == ECONNRESET) {
            packet.what = Received::closed;
        } else if (errno != EAGAIN) {
            throw sys::errnoError("receive");
        }
        return packet;
    }
    for (cmsghdr* rights = CMSG_FIRSTHDR(&header); rights != nullptr; rights = CMSG_NXTHDR(&header, rights)) {
        if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(rights) + i * sizeof fd, sizeof fd);
            packet.descriptors.emplace_back(fd);
        }
    }
    packet.what = size == 0 ? Received::closed : Received::message;
    packet.size = static_cast<std::size_t>(size);
    packet.complete = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    return packet;
}

bool sendPacket(int socket, const void* data, std::size_t size, const std::vector<int>& descriptors)
{
    alignas(cmsghdr) std::array<char, CMSG_SPACE(maxDescriptors * sizeof(int))> control{};
    if (descriptors.size() > maxDescriptors) {
        errno = E2BIG;
        return false;
    }
    iovec part{const_cast<void*>(data), size};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (!descriptors.empty()) {
        const std::size_t bytes = descriptors.size() * sizeof(int);
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(bytes);
        cmsghdr* rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(bytes);
        std::memcpy(CMSG_DATA(rights), descriptors.data(), bytes);
    }
    ssize_t sent = -1;
    do {
        sent = sendmsg(socket, &header, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == static_cast<ssize_t>(size);
}

void requireRequest(const Request& request, std::size_t descriptors)
{
    const Description none;
    const bool offers = request.word == Word::offer;
    if (request.word < Word::offer || request.word > Word::release) {
        throw sys::Error("message: unknown word");
    }
    if (offers) {
        requireValid(request.description);
    } else if (std::memcmp(&request.description, &none, sizeof none) != 0) {
        throw sys::Error("message: a description where none belongs");
    }
    if ((request.word == Word::release) != (request.generation != 0)) {
        throw sys::Error("message: wrong generation");
    }
    if (descriptors != (offers ? 1 + request.description.layerCount : 0)) {
        throw sys::Error("message: wrong number of descriptors");
    }
}

}  // namespace

Answer answerWith(Reply reply, std::string_view text)
{
    Answer answer;
    answer.reply = reply;
    std::ranges::copy(text.substr(0, sizeof answer.text - 1), answer.text);
    return answer;
}

std::string textOf(const Answer& answer)
{
    return {answer.text, strnlen(answer.text, sizeof answer.text)};
}

Received receive(int socket, Request& request, std::vector<sys::Fd>& descriptors)
{
    std::array<char, sizeof(Request)> buffer{};
    Packet packet = receivePacket(socket, buffer);
    if (packet.what != Received::message) {
        return packet.what;
    }
    std::uint32_t version = 0;
    if (packet.size >= sizeof version) {
        std::memcpy(&version, buffer.data(), sizeof version);
    }
    if (version != channelVersion) {
        throw sys::Error("message of another version (" + std::to_string(version) + ", not " +
                         std::to_string(channelVersion) + ")");
    }
    if (!packet.complete) {
        throw sys::Error(
            "message: larger than it may be, or its descriptors did not all arrive (too many of them, or "
            "too many open files)");
    }
    if (packet.size != sizeof request) {
        throw sys::Error("message: wrong size");
    }
    std::memcpy(&request, buffer.data(), sizeof request);
    requireRequest(request, packet.descriptors.size());
    descriptors = std::move(packet.descriptors);
    return Received::message;
}

Received receive(int socket, Answer& answer)
{
    std::array<char, sizeof(Answer)> buffer{};
    const Packet packet = receivePacket(socket, buffer);
    if (packet.what != Received::message) {
        return packet.what;
    }
    std::uint32_t version = 0;
    if (packet.size >= sizeof version) {
        std::memcpy(&version, buffer.data(), sizeof version);
    }
    if (version != channelVersion || !packet.complete || packet.size != sizeof answer || !packet.descriptors.empty()) {
        throw sys::Error(
            "the supervisor is of another version; restart it with `systemctl restart "
            "oci-landlock-supervisor`");
    }
    std::memcpy(&answer, buffer.data(), sizeof answer);
    return Received::message;
}

bool send(int socket, const Request& request, const std::vector<int>& descriptors)
{
    return sendPacket(socket, &request, sizeof request, descriptors);
}

bool send(int socket, const Answer& answer)
{
    return sendPacket(socket, &answer, sizeof answer, {});
}

bool peerIsRoot(int socket)
{
    ucred peer{};
    socklen_t size = sizeof peer;
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && size == sizeof peer && peer.uid == 0;
}

bool peerIsCapable(int socket)
{
    constexpr int peerPidfd = 77;  // SO_PEERPIDFD, Linux 6.5
    constexpr std::uint64_t capable = 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_BPF;
    ucred peer{};
    int number = -1;
    socklen_t size = sizeof peer;
    socklen_t numberSize = sizeof number;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        getsockopt(socket, SOL_SOCKET, peerPidfd, &number, &numberSize) != 0) {
        throw sys::errnoError("see who asks");
    }
    const sys::Fd pidfd(number);
    const std::string directory = "/proc/" + std::to_string(peer.pid);
    const sys::Fd file(open((directory + "/status").c_str(), O_RDONLY | O_CLOEXEC));
    struct stat user {};
    struct stat own {};
    if (!file || stat((directory + "/ns/user").c_str(), &user) != 0 || stat("/proc/self/ns/user", &own) != 0) {
        throw sys::errnoError("see who asks");
    }
    const std::string status = sys::readAll(file.get(), 64UL * 1024, directory + "/status");
    // As long as it lives, its number is nobody else's: what was read is its own.
    pollfd end{pidfd.get(), POLLIN, 0};
    if (poll(&end, 1, 0) != 0) {
        throw sys::Error("whoever asks has ended");
    }
    const std::uint64_t effective = injection::StatusFields(status).number("CapEff", 0, 16);
    return (effective & capable) != 0 && user.st_dev == own.st_dev && user.st_ino == own.st_ino;
}

}  // namespace applier::inject
