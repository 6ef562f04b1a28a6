// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/hooks.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include "sys/error.hpp"
#include "sys/log.hpp"
#include "version.hpp"

namespace applier::inject {

namespace {

constexpr std::size_t maxClients = 1024;  // the others wait in the backlog
constexpr int maxAtOnce = 64;
constexpr const char* noMemory = "out of memory";
constexpr const char* notCapable =
    "whoever asks needs the capability CAP_BPF or CAP_SYS_ADMIN in the host's user namespace";

// To be given up for another one at the limit of open files.
sys::Fd reserved()
{
    return sys::Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

// Nothing that it has sent may be left when the socket is closed: it would hear of that, and not the answer.
void turnAway(int socket, std::string_view why)
{
    shutdown(socket, SHUT_RD);
    send(socket, answerWith(Reply::refused, why));
    char any = 0;
    while (recv(socket, &any, sizeof any, MSG_DONTWAIT) > 0) {
    }
}

}  // namespace

Hooks::Hooks(const SupervisorOptions& options, Schedule& schedule, Containers& containers)
    : options_(options),
      schedule_(schedule),
      containers_(containers),
      spare_(reserved()),
      forLooking_{reserved(), reserved()}
{
}

// ---- The socket

// The lock is ours, so that what is at the socket's place is stale. It is replaced at once: a hook that comes while the
// supervisor starts again sees that there was one, and waits.
void Hooks::listen()
{
    const std::string& path = options_.paths.socket;
    const std::string fresh = path + ".new";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (fresh.size() >= sizeof address.sun_path) {
        throw sys::Error(path + ": too long for a socket");
    }
    std::ranges::copy(fresh, address.sun_path);
    listener_ = sys::Fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener_ || (unlink(fresh.c_str()) != 0 && errno != ENOENT)) {
        throw sys::errnoError(fresh);
    }
    const mode_t before = umask(0177);
    const bool bound = bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    umask(before);
    if (!bound || ::listen(listener_.get(), SOMAXCONN) != 0 || rename(fresh.c_str(), path.c_str()) != 0) {
        throw sys::errnoError("listen at " + path);
    }
    listenerWatch_ = schedule_.loop.watch(listener_.get(), POLLIN, [this](short) { onListener(); });
    accepting_ = true;
}

void Hooks::onListener()
{
    // Whoever is turned away at once could come back for ever: everybody else has a turn between.
    for (int i = 0; clients_.size() < maxClients; ++i) {
        if (i == maxAtOnce) {
            return;
        }
        sys::Fd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!socket && (errno == EMFILE || errno == ENFILE)) {
            // With the descriptor kept for this, the client hears why; else it would be offered for ever.
            const int error = errno;
            spare_.reset();
            socket = sys::Fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
            if (socket && peerIsRoot(socket.get())) {
                send(socket.get(), answerWith(Reply::refused, std::strerror(error)));
            }
            socket.reset();
            spare_ = reserved();
            return;
        }
        if (!socket) {
            return;
        }
        acceptOne(std::move(socket));
    }
    // Full: whoever comes now waits in the backlog.
    listenerWatch_.reset();
    accepting_ = false;
}

// At the limit of open files, too: what is there must be let go of, and told of.
bool Hooks::isCapable(int socket)
{
    struct Reserve {
        std::array<sys::Fd, 2>& all;
        explicit Reserve(std::array<sys::Fd, 2>& reserve) : all(reserve)
        {
            for (sys::Fd& one : all) {
                one.reset();
            }
        }
        ~Reserve()
        {
            for (sys::Fd& one : all) {
                one = reserved();
            }
        }
    };
    const Reserve reserve(forLooking_);
    return peerIsCapable(socket);
}

void Hooks::acceptOne(sys::Fd socket)
{
    // Nobody but who asked hears of it: it may be a container, and ask without end.
    if (!peerIsRoot(socket.get())) {
        return;
    }
    try {
        if (!isCapable(socket.get())) {
            turnAway(socket.get(), notCapable);
            return;
        }
    } catch (const sys::Error& error) {
        turnAway(socket.get(), error.what());
        return;
    } catch (const std::bad_alloc&) {
        turnAway(socket.get(), noMemory);
        return;
    }
    const std::uint64_t id = ++lastClient_;
    try {
        Client& client = clients_[id];
        client.socket = std::move(socket);
        client.deadline = Clock::now() + options_.times.client;
        schedule_.wakeAt(client.deadline);
        client.watch =
            schedule_.loop.watch(client.socket.get(), POLLIN | POLLRDHUP, [this, id](short) { onClient(id); });
    } catch (const sys::Error& error) {
        refuse(id, error.what());
    } catch (const std::bad_alloc&) {
        if (socket) {
            send(socket.get(), answerWith(Reply::refused, noMemory));
        }
        refuse(id, noMemory);
    }
}

// ---- What they say

void Hooks::onClient(std::uint64_t id)
{
    Client& client = clients_.at(id);
    try {
        Request request;
        std::vector<sys::Fd> descriptors;
        switch (receive(client.socket.get(), request, descriptors)) {
            case Received::nothing:
                return;
            case Received::closed:
                if (client.generation != 0) {
                    sys::tell(LOG_NOTICE, client.label, "dropped, its hook ended before it was done");
                }
                endClient(id);
                return;
            case Received::message:
                onRequest(id, client, request, std::move(descriptors));
        }
    } catch (const sys::Error& error) {
        refuse(id, error.what());
    } catch (const std::bad_alloc&) {
        refuse(id, noMemory);
    }
}

void Hooks::onRequest(std::uint64_t id, Client& client, const Request& request, std::vector<sys::Fd> descriptors)
{
    if (schedule_.stopping) {
        throw sys::Error("it is being stopped");
    }
    if (client.stage == Client::Stage::offered && request.word == Word::keep) {
        keep(id, client);
        return;
    }
    if (client.stage != Client::Stage::fresh || request.word == Word::keep) {
        throw sys::Error("message out of order");
    }
    if (request.word == Word::offer) {
        offer(id, client, request, std::move(descriptors));
        return;
    }
    client.stage = Client::Stage::done;
    if (request.word == Word::release) {
        containers_.release(request.generation);
        answer(id, answerWith(Reply::released));
    } else {
        Answer status = answerWith(Reply::status, versionString);
        status.pid = static_cast<std::uint32_t>(getpid());
        status.containers = static_cast<std::uint32_t>(containers_.count());
        answer(id, status);
    }
}

void Hooks::offer(std::uint64_t id, Client& client, const Request& request, std::vector<sys::Fd> descriptors)
{
    containers_.offer(id, request.description, std::move(descriptors));
    client.generation = request.description.generation;
    client.label = request.description.label;
    client.stage = Client::Stage::starting;
    client.deadline = never;  // the tracer's start is bounded
}

void Hooks::keep(std::uint64_t id, Client& client)
{
    client.stage = Client::Stage::storing;
    client.deadline = Clock::now() + options_.times.client;
    schedule_.wakeAt(client.deadline);
    client.barrier = containers_.store(client.generation);
    if (!client.barrier) {
        stored(id);
        return;
    }
    client.barrierWatch = schedule_.loop.watch(client.barrier.get(), POLLIN, [this, id](short) { stored(id); });
}

void Hooks::stored(std::uint64_t id)
{
    Client& client = clients_.at(id);
    containers_.keep(client.generation);
    client.generation = 0;
    client.stage = Client::Stage::done;
    answer(id, answerWith(Reply::kept));
}

// ---- What becomes of what they have offered

void Hooks::ready(std::uint64_t offer)
{
    const auto found = clients_.find(offer);
    if (found == clients_.end()) {
        return;
    }
    Client& client = found->second;
    client.stage = Client::Stage::offered;
    client.deadline = Clock::now() + options_.times.client;
    schedule_.wakeAt(client.deadline);
    answer(offer, answerWith(Reply::ready));
}

void Hooks::dropped(std::uint64_t offer, const std::string& why)
{
    if (const auto found = clients_.find(offer); found != clients_.end()) {
        found->second.generation = 0;
        refuse(offer, why);
    }
}

// ---- What they hear

// After any answer but `ready` the connection ends.
void Hooks::answer(std::uint64_t id, const Answer& answer)
{
    const auto found = clients_.find(id);
    if (found == clients_.end()) {
        return;
    }
    const bool sent = send(found->second.socket.get(), answer);
    if (!sent || answer.reply != Reply::ready) {
        endClient(id);
    }
}

void Hooks::refuse(std::uint64_t id, std::string_view why)
{
    if (!clients_.contains(id)) {
        return;
    }
    try {
        sys::tell(LOG_WARNING, "refused a client: " + std::string(why));
    } catch (const std::bad_alloc&) {
        // Who asked hears it.
    }
    answer(id, answerWith(Reply::refused, why));
}

void Hooks::endClient(std::uint64_t id)
{
    const auto found = clients_.find(id);
    if (found == clients_.end()) {
        return;
    }
    const std::uint64_t generation = found->second.generation;
    clients_.erase(found);
    if (generation != 0) {
        containers_.withdraw(generation);
    }
    if (!accepting_ && !schedule_.stopping) {
        try {
            listenerWatch_ = schedule_.loop.watch(listener_.get(), POLLIN, [this](short) { onListener(); });
            accepting_ = true;
        } catch (const std::exception&) {
            // The next client that ends tries again.
        }
    }
}

void Hooks::due(Time now)
{
    std::vector<std::uint64_t> late;
    for (const auto& [id, client] : clients_) {
        client.deadline <= now ? late.push_back(id) : schedule_.wakeAt(client.deadline);
    }
    for (const std::uint64_t id : late) {
        refuse(id, "the client took too long");
    }
}

void Hooks::close()
{
    listenerWatch_.reset();
    while (!clients_.empty()) {
        refuse(clients_.begin()->first, "the supervisor is being stopped");
    }
}

}  // namespace applier::inject
