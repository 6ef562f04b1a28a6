// SPDX-License-Identifier: Apache-2.0
// What an engine sends to its plugin: frames, calls, and the messages in them. Annotations in them are anybody's.
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "nri/connection.hpp"
#include "nri/messages.hpp"
#include "sys/error.hpp"

namespace {

template <typename Read>
void read(Read readMessage)
{
    try {
        readMessage();
    } catch (const sys::Error&) {
    }
}

void receiveAll(std::string_view bytes)
{
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        std::abort();
    }
    {
        const sys::Fd engine(ends[1]);
        if (send(engine.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) != static_cast<ssize_t>(bytes.size())) {
            std::abort();
        }
    }
    nri::Connection connection{sys::Fd(ends[0])};
    while (const auto received = connection.receive()) {
        if (received->call) {
            read([&] { nri::happeningIn(nri::Event::createContainer, received->call->payload); });
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    read([&] { nri::happeningIn(nri::Event::createContainer, bytes); });
    read([&] { nri::stateChangeIn(bytes); });
    read([&] { nri::knownIn(bytes); });
    read([&] { receiveAll(bytes); });
    return 0;
}
