// SPDX-License-Identifier: Apache-2.0
// The node's side of the supervisor: calls from targets that are held, and the guard on rulesets
// (bpf/inject.bpf.c).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <set>

#include "sys/fd.hpp"
#include "sys/ring.hpp"

namespace applier::inject {

// A thread of that container is held on its way into a target.
struct Call {
    std::uint64_t generation = 0;
    pid_t thread = -1;
};

class Gate {
public:
    virtual ~Gate() = default;
    // Readable when there are calls. Another one after renew().
    virtual int descriptor() const = 0;
    // Those that there are, one by one; needs no memory. Throws sys::Error.
    virtual void takeCalls(const std::function<void(const Call&)>& take) = 0;
    // From here on nobody in a container can receive this ruleset but a target that is about to enforce it. Throws
    // sys::Error.
    virtual void guard(int ruleset) = 0;
    // Before it is closed.
    virtual void release(int ruleset) noexcept = 0;
    // Targets of this container are denied from now on.
    virtual void forget(std::uint64_t generation) noexcept = 0;
    // Rulesets that a predecessor has put under guard are under it no more. Throws sys::Error.
    virtual void clear() = 0;
    // Targets of all other containers are denied; those of these wait for their tracers. Throws sys::Error.
    virtual void forgetAllBut(const std::set<std::uint64_t>& generations) = 0;
    // Whether the node was loaded anew since, and this is about the new one now. Throws sys::Error.
    virtual bool renew() = 0;
};

// That of the node's pins.
class PinnedGate : public Gate {
public:
    // Throws sys::Error.
    PinnedGate() : node_(open()) {}

    int descriptor() const override { return node_.calls.get(); }
    void takeCalls(const std::function<void(const Call&)>& take) override;
    void guard(int ruleset) override;
    void release(int ruleset) noexcept override;
    void forget(std::uint64_t generation) noexcept override;
    void clear() override;
    void forgetAllBut(const std::set<std::uint64_t>& generations) override;
    bool renew() override;

private:
    struct Node {
        sys::Fd calls, tracers, guarded;  // maps
        sys::Fd findHeld, guard;          // programs
        std::uint32_t id = 0;             // of the calls, for the kernel
        sys::Ring ring;
    };

    static Node open();
    bool isHeld(const Call& call);

    Node node_;
};

}  // namespace applier::inject
