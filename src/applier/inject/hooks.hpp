// SPDX-License-Identifier: Apache-2.0
// The supervisor's side of its socket: hooks that offer containers, and whoever else asks it something.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "applier/inject/channel.hpp"
#include "applier/inject/containers.hpp"
#include "applier/inject/schedule.hpp"
#include "applier/inject/supervisor.hpp"
#include "sys/fd.hpp"
#include "sys/loop.hpp"

namespace applier::inject {

class Hooks : public Offerer {
public:
    Hooks(const SupervisorOptions& options, Schedule& schedule, Containers& containers);
    Hooks(const Hooks&) = delete;
    Hooks& operator=(const Hooks&) = delete;

    // Throws sys::Error.
    void listen();
    // Clients that took too long.
    void due(Time now);
    // No more of them; those that there are hear why.
    void close();

    void ready(std::uint64_t offer) override;
    void dropped(std::uint64_t offer, const std::string& why) override;

private:
    struct Client {
        enum class Stage {
            fresh,     // said nothing yet
            starting,  // waits for its container's tracer
            offered,   // is to say `keep`
            storing,   // waits for systemd
            done,
        };
        sys::Fd socket;
        sys::Loop::Watch watch;
        Stage stage = Stage::fresh;
        Time deadline = never;
        std::uint64_t generation = 0;  // of the container that it offers, until that is kept; 0: none
        std::string label;             // of the same
        sys::Fd barrier;
        sys::Loop::Watch barrierWatch;
    };

    void onListener();
    bool isCapable(int socket);
    void acceptOne(sys::Fd socket);
    void onClient(std::uint64_t id);
    void onRequest(std::uint64_t id, Client& client, const Request& request, std::vector<sys::Fd> descriptors);
    void offer(std::uint64_t id, Client& client, const Request& request, std::vector<sys::Fd> descriptors);
    void keep(std::uint64_t id, Client& client);
    void stored(std::uint64_t id);
    void answer(std::uint64_t id, const Answer& answer);
    void refuse(std::uint64_t id, std::string_view why);
    void endClient(std::uint64_t id);

    const SupervisorOptions& options_;
    Schedule& schedule_;
    Containers& containers_;
    sys::Fd listener_, spare_;
    std::array<sys::Fd, 2> forLooking_;  // at who asks
    sys::Loop::Watch listenerWatch_;
    bool accepting_ = false;
    std::map<std::uint64_t, Client> clients_;
    std::uint64_t lastClient_ = 0;
};

}  // namespace applier::inject
