// SPDX-License-Identifier: Apache-2.0
// What hook and supervisor say to each other: one message of fixed size in each packet of a SOCK_SEQPACKET socket.
//
// hook: offer, with the container's descriptors -> supervisor: ready, when the container's tracer is, or refused
// hook: keep, when the container's entry is written -> kept, or refused
// The container is dropped when the connection ends before `keep`.
// anybody: status -> status; release -> released, or refused
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "applier/inject/description.hpp"
#include "sys/fd.hpp"
#include "sys/places.hpp"

namespace applier::inject {

inline std::string supervisorSocket()
{
    return sys::inRunDirectory("supervisor.sock");
}

inline constexpr std::uint32_t channelVersion = 2;
// Cgroup, a ruleset for each layer.
inline constexpr std::size_t maxDescriptors = 1 + OLL_MAX_LAYERS;

enum class Word : std::uint32_t {
    offer = 1,
    keep = 2,
    status = 3,
    release = 4,
};

struct Request {
    std::uint32_t version = channelVersion;
    Word word = Word::status;
    std::uint64_t generation = 0;  // release; 0 otherwise
    Description description;       // offer; as it is here otherwise
};
static_assert(sizeof(Request) == 16 + sizeof(Description));

enum class Reply : std::uint32_t {
    ready = 1,
    kept = 2,
    status = 3,
    released = 4,
    refused = 5,
};

struct Answer {
    std::uint32_t version = channelVersion;
    Reply reply = Reply::refused;
    std::uint32_t pid = 0;         // status
    std::uint32_t containers = 0;  // status
    char text[512] = {};           // refused: why; status: the supervisor's version. NUL-padded
};
static_assert(sizeof(Answer) == 528);

Answer answerWith(Reply reply, std::string_view text = {});
std::string textOf(const Answer& answer);

enum class Received { nothing, closed, message };

// Does not wait; needs a non-blocking socket. `descriptors` gets what came with the message: for an offer, as many as
// its description calls for. Throws sys::Error when that is no request of this version, or errno is set; what came
// with it is closed then.
Received receive(int socket, Request& request, std::vector<sys::Fd>& descriptors);

// Waits as long as the socket's SO_RCVTIMEO says; `nothing`: it did not come by then.
Received receive(int socket, Answer& answer);

// Never raises SIGPIPE. False: errno says why.
bool send(int socket, const Request& request, const std::vector<int>& descriptors);
bool send(int socket, const Answer& answer);

// Whether the process that connected or listens is root, in the user namespace of this one.
bool peerIsRoot(int socket);

// Whether the process that connected may open the selector's maps, too: root of a container where the socket is mounted
// is the host's by its number. Throws sys::Error when it cannot be looked at. Takes two descriptors meanwhile.
// SO_PEERPIDFD, Linux 6.5.
bool peerIsCapable(int socket);

}  // namespace applier::inject
