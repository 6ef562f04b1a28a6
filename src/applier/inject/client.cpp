// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/client.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "sys/error.hpp"

namespace applier::inject {

namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds questionTimeout = std::chrono::seconds(2);
// For a supervisor that is being restarted: its socket is there, and nobody listens.
constexpr milliseconds restartTimeout = std::chrono::seconds(8);
constexpr milliseconds pauseBetweenTries{20};

constexpr const char* absent =
    "no supervisor is running; start it with `systemctl start oci-landlock-supervisor`, or run "
    "`oci-landlock supervise`";

sys::Error silent(milliseconds timeout)
{
    return sys::Error("the supervisor does not answer within " + std::to_string(timeout.count() / 1000) +
                      " s; restart it with `systemctl restart oci-landlock-supervisor`");
}

sys::Error gone()
{
    return sys::Error("the supervisor ended before it answered; try again");
}

// For the whole of what is left until `deadline`; 0 would mean forever.
void limit(int socket, int option, Clock::time_point deadline)
{
    const auto left = std::max(std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now()),
                               std::chrono::microseconds(1000));
    timeval time{};
    time.tv_sec = left.count() / 1000000;
    time.tv_usec = left.count() % 1000000;
    if (setsockopt(socket, SOL_SOCKET, option, &time, sizeof time) != 0) {
        throw sys::errnoError("socket of the supervisor");
    }
}

// Empty: nobody listens there.
sys::Fd connectTo(const std::string& path, milliseconds timeout, milliseconds patience)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        throw sys::Error(path + ": too long for a socket");
    }
    std::ranges::copy(path, address.sun_path);
    const Clock::time_point start = Clock::now();
    for (;;) {
        sys::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        if (!socket) {
            throw sys::errnoError("socket");
        }
        limit(socket.get(), SO_SNDTIMEO, start + timeout);
        if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
            if (!peerIsRoot(socket.get())) {
                throw sys::Error(path + ": whoever listens there is not root");
            }
            return socket;
        }
        if (errno == ENOENT) {
            return {};
        }
        if (errno == EAGAIN) {
            throw silent(timeout);
        }
        if (errno != ECONNREFUSED && errno != EINTR) {
            throw sys::errnoError(path);
        }
        if (errno == ECONNREFUSED && Clock::now() - start >= std::min(patience, timeout)) {
            return {};
        }
        usleep(static_cast<useconds_t>(std::chrono::microseconds(pauseBetweenTries).count()));
    }
}

// `timeout` is what `deadline` was made from, for the message.
Answer ask(int socket, const Request& request, const std::vector<int>& descriptors, Clock::time_point deadline,
           milliseconds timeout)
{
    limit(socket, SO_SNDTIMEO, deadline);
    // A supervisor that has closed the connection may have said why.
    if (!send(socket, request, descriptors) && errno != EPIPE && errno != ECONNRESET) {
        throw errno == EAGAIN ? silent(timeout) : sys::errnoError("send to the supervisor");
    }
    limit(socket, SO_RCVTIMEO, deadline);
    Answer answer;
    switch (receive(socket, answer)) {
        case Received::nothing:
            throw silent(timeout);
        case Received::closed:
            throw gone();
        case Received::message:
            break;
    }
    if (answer.reply == Reply::refused) {
        throw sys::Error("the supervisor refused: " + sys::printable(textOf(answer), sizeof answer.text));
    }
    return answer;
}

void expect(const Answer& answer, Reply reply)
{
    if (answer.reply != reply) {
        throw sys::Error("the supervisor gave an answer to something else");
    }
}

}  // namespace

SupervisedContainer::SupervisedContainer(const Offer& offer, const std::string& socket, milliseconds timeout)
    : timeout_(timeout),
      layerCount_(offer.layers.size())
{
    if (offer.layers.size() > OLL_MAX_LAYERS || offer.label.size() >= OLL_ID_SIZE) {
        throw sys::Error("the container is more than the supervisor takes: too many layers, or too long a label");
    }
    Request request;
    request.word = Word::offer;
    Description& description = request.description;
    description.generation = offer.generation;
    description.cgroupId = offer.cgroupId;
    description.layerCount = static_cast<std::uint32_t>(offer.layers.size());
    std::ranges::copy(offer.label, description.label);
    std::vector<int> descriptors{offer.cgroup};
    for (std::size_t i = 0; i < offer.layers.size(); ++i) {
        description.layers[i] = {offer.layers[i].entry, offer.layers[i].restrictFlags};
        descriptors.push_back(offer.layers[i].ruleset);
    }
    requireValid(description);
    const Clock::time_point deadline = Clock::now() + timeout;
    socket_ = connectTo(socket, timeout, restartTimeout);
    if (!socket_) {
        throw sys::Error(absent);
    }
    expect(ask(socket_.get(), request, descriptors, deadline, timeout), Reply::ready);
}

void SupervisedContainer::confirm()
{
    Request request;
    request.word = Word::keep;
    expect(ask(socket_.get(), request, {}, Clock::now() + timeout_, timeout_), Reply::kept);
}

std::optional<SupervisorStatus> askSupervisor(const std::string& socket)
{
    const Clock::time_point deadline = Clock::now() + questionTimeout;
    const sys::Fd connected = connectTo(socket, questionTimeout, milliseconds(0));
    if (!connected) {
        return std::nullopt;
    }
    const Answer answer = ask(connected.get(), Request{}, {}, deadline, questionTimeout);
    expect(answer, Reply::status);
    return SupervisorStatus{static_cast<pid_t>(answer.pid), sys::printable(textOf(answer)), answer.containers};
}

bool release(std::uint64_t generation, const std::string& socket) noexcept
{
    try {
        const Clock::time_point deadline = Clock::now() + questionTimeout;
        const sys::Fd connected = connectTo(socket, questionTimeout, milliseconds(0));
        Request request;
        request.word = Word::release;
        request.generation = generation;
        return connected && ask(connected.get(), request, {}, deadline, questionTimeout).reply == Reply::released;
    } catch (...) {
        return false;
    }
}

}  // namespace applier::inject
