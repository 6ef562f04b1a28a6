// SPDX-License-Identifier: Apache-2.0
// Who keeps a container's rulesets until they are applied: a map of slots (kfunc), or the supervisor (inject).
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bpf/abi.h"
#include "sys/error.hpp"

namespace applier {

struct Layer {
    int ruleset = -1;  // borrowed
    std::uint32_t entry = 0;
    std::uint32_t restrictFlags = 0;
};

// What a container's rulesets are kept for.
struct Offer {
    std::uint64_t generation = 0;
    std::uint64_t cgroupId = 0;
    std::string label;  // of the container, for messages: its id and what people call it
    int cgroup = -1;    // directory, borrowed
    std::vector<Layer> layers;
};

// Rulesets that are kept for a container, given back unless confirm() was called.
class Kept {
public:
    virtual ~Kept() = default;
    // With the node's lock held: the slot of each layer, 0 where the applier has none. Throws Full or sys::Error, and
    // may be called again then.
    virtual std::vector<std::uint32_t> place() = 0;
    // The container's entry is written. Throws sys::Error.
    virtual void confirm() = 0;
};

// All places are taken; clean-up may help.
class Full : public sys::Error {
public:
    using sys::Error::Error;
};

// Keeps rulesets until they are applied, and as long as their container lives.
class Keeper {
public:
    virtual ~Keeper() = default;
    // May take another process's time, so that nobody else must wait for it. What is offered is borrowed until it is
    // confirmed. Throws sys::Error, and then nothing is kept.
    virtual std::unique_ptr<Kept> keep(const Offer& offer) const = 0;
    // The container with that generation is gone.
    virtual void release(std::uint64_t generation) const = 0;
    // Lets go of what belongs to none of these generations. Returns how many rulesets that were.
    virtual unsigned collectGarbage(const std::set<std::uint64_t>& living) const = 0;
};

// Of a node that is loaded. What it has kept must not outlive it. Throws sys::Error.
std::unique_ptr<Keeper> makeKeeper(oll_applier applier);

// kfunc only: how many slots are taken.
unsigned slotsInUse();

}  // namespace applier
