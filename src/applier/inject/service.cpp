// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/service.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "sys/error.hpp"

namespace applier::inject {

namespace {

constexpr int firstHanded = 3;  // SD_LISTEN_FDS_START
constexpr int mostHanded = 1 << 20;
constexpr timeval patience{.tv_sec = 1, .tv_usec = 0};

// std::nullopt: the variable is not set. Throws what is no number.
std::optional<std::uint64_t> numberIn(const char* variable)
{
    const char* text = std::getenv(variable);
    if (text == nullptr) {
        return std::nullopt;
    }
    std::uint64_t number = 0;
    const char* end = text + std::strlen(text);
    if (const auto read = std::from_chars(text, end, number); read.ec != std::errc() || read.ptr != end) {
        throw sys::Error(std::string("$") + variable + " is no number: " + sys::printable(text));
    }
    return number;
}

// What is meant for us may have come down to us from somebody else's environment.
bool isMeant(const char* variable)
{
    return numberIn(variable).value_or(static_cast<std::uint64_t>(getpid())) == static_cast<std::uint64_t>(getpid());
}

}  // namespace

Service::Service()
{
    const char* where = std::getenv("NOTIFY_SOCKET");
    if (where == nullptr) {
        return;
    }
    address_ = where;
    if ((!address_.starts_with('/') && !address_.starts_with('@')) || address_.size() < 2 ||
        address_.size() >= sizeof(sockaddr_un::sun_path)) {
        throw sys::Error("$NOTIFY_SOCKET is no address of a socket: " + sys::printable(address_));
    }
}

// Targets wait meanwhile: for a systemd that reads nothing, which may go on for good, nobody waits a second time.
bool Service::send(const std::string& state, int descriptor)
{
    const sys::Fd sender(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!sender || setsockopt(sender.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0) {
        return false;
    }
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    address_.copy(to.sun_path, address_.size());
    if (address_.starts_with('@')) {
        to.sun_path[0] = '\0';
    }
    iovec text{const_cast<char*>(state.data()), state.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_name = &to;
    message.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
    message.msg_iov = &text;
    message.msg_iovlen = 1;
    if (descriptor >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    }
    const bool sent = sendmsg(sender.get(), &message, MSG_NOSIGNAL | (deaf_ ? MSG_DONTWAIT : 0)) >= 0;
    deaf_ = !sent && errno == EAGAIN;
    return sent;
}

void Service::tell(const std::string& state)
{
    if (present()) {
        static_cast<void>(send(state, -1));
    }
}

void Service::handOver(const std::string& state, int descriptor)
{
    if (present() && !send(state, descriptor)) {
        throw sys::errnoError("give a descriptor to systemd");
    }
}

void Service::ready()
{
    tell("READY=1");
}

void Service::stopping()
{
    tell("STOPPING=1");
}

void Service::status(const std::string& line)
{
    tell("STATUS=" + line);
}

std::optional<std::chrono::microseconds> Service::watchdogPeriod() const
{
    const auto microseconds = numberIn("WATCHDOG_USEC");
    if (!present() || !microseconds || *microseconds == 0 || !isMeant("WATCHDOG_PID")) {
        return std::nullopt;
    }
    return std::chrono::microseconds(*microseconds);
}

void Service::watchdog()
{
    tell("WATCHDOG=1");
}

std::vector<NamedDescriptor> Service::takeDescriptors()
{
    std::vector<NamedDescriptor> all;
    const std::uint64_t count = numberIn("LISTEN_FDS").value_or(0);
    if (count == 0 || !std::getenv("LISTEN_PID") || !isMeant("LISTEN_PID")) {
        return all;
    }
    if (count > mostHanded) {
        throw sys::Error("$LISTEN_FDS: too many");
    }
    const char* given = std::getenv("LISTEN_FDNAMES");
    std::string_view names = given != nullptr ? given : "";
    for (int fd = firstHanded; fd < firstHanded + static_cast<int>(count); ++fd) {
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
            throw sys::errnoError("take descriptors back from systemd");
        }
        const std::size_t end = std::min(names.find(':'), names.size());
        all.push_back({std::string(names.substr(0, end)), sys::Fd(fd)});
        names.remove_prefix(std::min(end + 1, names.size()));
    }
    for (const char* variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
        unsetenv(variable);
    }
    return all;
}

void Service::storeDescriptor(const std::string& name, int descriptor)
{
    // Without FDPOLL=0 systemd lets go of descriptors that report an error.
    handOver("FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, descriptor);
}

bool Service::removeDescriptor(const std::string& name)
{
    return !present() || send("FDSTOREREMOVE=1\nFDNAME=" + name, -1);
}

sys::Fd Service::barrier()
{
    int ends[2] = {-1, -1};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        throw sys::errnoError("pipe");
    }
    sys::Fd readEnd(ends[0]);
    const sys::Fd writeEnd(ends[1]);
    handOver("BARRIER=1", writeEnd.get());
    return readEnd;
}

}  // namespace applier::inject
