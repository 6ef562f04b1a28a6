// SPDX-License-Identifier: Apache-2.0
// ttrpc (containerd's remote calls over a socket), in both directions on one socket as NRI lays them beside each other:
// each piece has the number of its direction and its length before it, and a message of ttrpc may be in several pieces.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sys/fd.hpp"

namespace nri {

struct Call {
    std::uint32_t stream = 0;  // what it is answered by
    std::string service;
    std::string method;
    std::string payload;
};

// How a call of ours went. `code` as of gRPC, 0 being well.
struct Answer {
    std::int32_t code = 0;
    std::string message;
};

struct Received {
    std::optional<Call> call;
    std::optional<Answer> answer;
};

class Connection {
public:
    explicit Connection(sys::Fd socket) : socket_(std::move(socket)) {}

    // Waits for what comes next; std::nullopt: the other side has closed. Throws sys::Error, also for what is no ttrpc,
    // and for more than 4 MiB, which is ttrpc's own limit.
    std::optional<Received> receive();

    // Throw sys::Error.
    void call(std::string_view service, std::string_view method, std::string_view payload);
    void answer(std::uint32_t stream, std::string_view payload);
    void refuse(std::uint32_t stream, std::string_view why);

private:
    bool readWhole(char* to, std::size_t size);
    bool readPiece();
    std::optional<Received> messageIn(std::size_t direction);
    void send(std::uint32_t direction, std::uint32_t stream, std::uint8_t type, std::string_view message);

    sys::Fd socket_;
    std::uint32_t lastStream_ = 0;
    std::array<std::string, 2> incoming_;  // what has come of messages, by direction
};

}  // namespace nri
