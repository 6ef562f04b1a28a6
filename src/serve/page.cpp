// SPDX-License-Identifier: Apache-2.0
#include "serve/page.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <exception>
#include <utility>

#include "confine/confine.hpp"
#include "confine/message.hpp"
#include "serve/http.hpp"
#include "sys/error.hpp"

namespace serve {

namespace {

constexpr int waiting = 64;  // connections that nobody has accepted yet

sys::Error badAddress(const std::string& address)
{
    return sys::Error("cannot listen at " + sys::printable(address) +
                      ": an address has digits and a port, 127.0.0.1:9464 or [::1]:9464");
}

// A port in digits, or the number of a network.
template <typename Number>
bool readNumber(const std::string& text, Number& number)
{
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

// An address of IPv6; one that is of this link alone names the link: fe80::1%eth0.
bool readLong(std::string host, sockaddr_in6& address)
{
    address.sin6_family = AF_INET6;
    const std::size_t percent = host.find('%');
    const std::string link = percent == std::string::npos ? "" : host.substr(percent + 1);
    host.resize(std::min(percent, host.size()));
    if (inet_pton(AF_INET6, host.c_str(), &address.sin6_addr) != 1) {
        return false;
    }
    if (percent == std::string::npos) {
        return true;
    }
    address.sin6_scope_id = if_nametoindex(link.c_str());
    return IN6_IS_ADDR_LINKLOCAL(&address.sin6_addr) &&
           (address.sin6_scope_id != 0 || readNumber(link, address.sin6_scope_id));
}

// Without getaddrinfo(3), which loads libraries even where it is to look nothing up.
std::pair<sockaddr_storage, socklen_t> readAddress(const std::string& address)
{
    const std::size_t colon = address.rfind(':');
    std::uint16_t port = 0;
    if (colon == std::string::npos || colon == 0 || !readNumber(address.substr(colon + 1), port)) {
        throw badAddress(address);
    }
    const std::string host = address.substr(0, colon);
    std::pair<sockaddr_storage, socklen_t> found{};
    bool sound = false;
    if (host.front() == '[' && host.back() == ']') {
        auto& whole = reinterpret_cast<sockaddr_in6&>(found.first);
        sound = readLong(host.substr(1, host.size() - 2), whole);
        whole.sin6_port = htons(port);
        found.second = sizeof whole;
    } else {
        auto& whole = reinterpret_cast<sockaddr_in&>(found.first);
        whole.sin_family = AF_INET;
        sound = inet_pton(AF_INET, host.c_str(), &whole.sin_addr) == 1;
        whole.sin_port = htons(port);
        found.second = sizeof whole;
    }
    if (!sound) {
        throw badAddress(address);
    }
    return found;
}

sys::Fd listenAt(const std::string& address)
{
    const auto [found, size] = readAddress(address);
    sys::Fd listener(socket(found.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int yes = 1;
    if (!listener || setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener.get(), reinterpret_cast<const sockaddr*>(&found), size) != 0 ||
        listen(listener.get(), waiting) != 0) {
        throw sys::errnoError("listen at " + sys::printable(address));
    }
    return listener;
}

sys::Error hasEnded()
{
    return sys::Error("the process that answers over HTTP has ended; is there memory enough?");
}

// The parent has told what is to be told.
[[noreturn]] void work(int listener, int channel, const Form& form)
{
    // It ends with its parent, which a terminal and systemd tell to end at the same time.
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    try {
        confine::confineServer(listener, channel);
        answerAll(listener, channel, form);
        _exit(0);
    } catch (const std::exception&) {
        _exit(1);
    }
}

// What is sent: whether it is sound, and the text.
sys::Fd memoryWith(bool sound, const std::string& text)
{
    sys::Fd memory(memfd_create("served", MFD_CLOEXEC));
    if (!memory || write(memory.get(), sound ? "1" : "0", 1) != 1) {
        throw sys::errnoError("keep in memory what is served");
    }
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t n = write(memory.get(), text.data() + done, text.size() - done);
        if (n < 0 && errno != EINTR) {
            throw sys::errnoError("keep in memory what is served");
        }
        done += static_cast<std::size_t>(n < 0 ? 0 : n);
    }
    return memory;
}

}  // namespace

Page::Page(const std::string& address, const Form& form) : listener_(listenAt(address))
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        throw sys::errnoError("socketpair");
    }
    channel_ = sys::Fd(ends[0]);
    const sys::Fd other(ends[1]);
    process_ = fork();
    if (process_ < 0) {
        throw sys::errnoError("fork");
    }
    if (process_ == 0) {
        work(listener_.get(), other.get(), form);
    }
}

Page::~Page()
{
    kill(process_, SIGKILL);
    while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

bool Page::show(const std::string& text)
{
    if (text.size() > maxText) {
        return showObstacle("There is more than " + std::to_string(maxText) + " bytes of it.\n");
    }
    return put(text, true);
}

bool Page::showObstacle(const std::string& why)
{
    return put(why.substr(0, maxText), false);
}

bool Page::put(const std::string& text, bool sound)
{
    char answers[8];
    const ssize_t n = recv(channel_.get(), answers, sizeof answers, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno == ECONNRESET)) {
        throw hasEnded();
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        throw sys::errnoError("tell the process that answers over HTTP");
    }
    taken_ = taken_ || n > 0;
    if (!taken_) {
        return false;
    }
    const sys::Fd memory = memoryWith(sound, text);
    if (!confine::sendDescriptors(channel_.get(), {memory.get()})) {
        throw errno == EPIPE || errno == ECONNRESET ? hasEnded()
                                                    : sys::errnoError("tell the process that answers over HTTP");
    }
    taken_ = false;
    return true;
}

unsigned Page::port() const
{
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        throw sys::errnoError("getsockname");
    }
    return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                               : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

}  // namespace serve
