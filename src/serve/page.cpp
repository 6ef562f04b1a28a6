// SPDX-License-Identifier: Apache-2.0
#include "serve/page.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <exception>
#include <memory>

#include "confine/confine.hpp"
#include "confine/message.hpp"
#include "serve/http.hpp"
#include "sys/error.hpp"
#include "sys/file.hpp"

namespace serve {

namespace {

constexpr int waiting = 64;  // connections that nobody has accepted yet

sys::Error badAddress(const std::string& address)
{
    return sys::Error("cannot listen at " + sys::printable(address) +
                      ": an address has digits and a port, 127.0.0.1:9464 or [::1]:9464");
}

std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> resolve(const std::string& address)
{
    const std::size_t colon = address.rfind(':');
    if (colon == std::string::npos || colon == 0) {
        throw badAddress(address);
    }
    std::string host = address.substr(0, colon);
    const bool bracketed = host.front() == '[' && host.back() == ']';
    if (bracketed) {
        host = host.substr(1, host.size() - 2);
    }
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    hints.ai_family = bracketed ? AF_INET6 : AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    // getaddrinfo() takes a number that is too large for another one.
    const std::string port = address.substr(colon + 1);
    std::uint16_t number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    addrinfo* found = nullptr;
    if (error != std::errc() || end != port.data() + port.size() ||
        getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) {
        throw badAddress(address);
    }
    return {found, freeaddrinfo};
}

sys::Fd listenAt(const std::string& address)
{
    const auto found = resolve(address);
    sys::Fd listener(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int yes = 1;
    if (!listener || setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener.get(), found->ai_addr, found->ai_addrlen) != 0 || listen(listener.get(), waiting) != 0) {
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

bool Page::show(const std::string& text, bool sound)
{
    if (text.size() > maxText) {
        return show("There is more than " + std::to_string(maxText) + " bytes of it.\n", false);
    }
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
