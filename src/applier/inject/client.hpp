// SPDX-License-Identifier: Apache-2.0
// The supervisor, as the hook and `status` see it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "applier/inject/channel.hpp"
#include "applier/keeper.hpp"
#include "sys/fd.hpp"

namespace applier::inject {

// How long each answer may take.
inline constexpr std::chrono::milliseconds answerTimeout = std::chrono::seconds(10);

// A container that the supervisor holds. It drops the container when this ends, however it ends, before confirm() has
// returned.
class SupervisedContainer : public Kept {
public:
    // When this returns, the container's tracer attends to its execs. Throws sys::Error: no supervisor, it does not
    // answer, or it refuses.
    explicit SupervisedContainer(const Offer& offer, const std::string& socket = supervisorSocket(),
                                 std::chrono::milliseconds timeout = answerTimeout);

    // There are no slots here: zeros.
    std::vector<std::uint32_t> place() override { return std::vector<std::uint32_t>(layerCount_); }
    // From the return on, the supervisor takes care of the container until its cgroup is empty. Throws sys::Error; the
    // entry is to be taken back then.
    void confirm() override;

private:
    sys::Fd socket_;
    std::chrono::milliseconds timeout_;
    std::size_t layerCount_;
};

struct SupervisorStatus {
    pid_t pid = 0;
    std::string version;
    unsigned containers = 0;
};

// Empty: none is running. Throws sys::Error when one is, and does not answer within 2 s.
std::optional<SupervisorStatus> askSupervisor(const std::string& socket = supervisorSocket());

// Tells the supervisor that this container is gone, which it would find out itself. False: there is no supervisor, it
// does not answer within 2 s, or a process is in the cgroup still.
bool release(std::uint64_t generation, const std::string& socket = supervisorSocket()) noexcept;

}  // namespace applier::inject
