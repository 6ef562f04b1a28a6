// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/gate.hpp"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "applier/layout.hpp"
#include "bpf/abi.h"
#include "sys/bpf.hpp"
#include "sys/error.hpp"
#include "sys/places.hpp"

namespace applier::inject {

namespace {

std::uint32_t idOf(int map)
{
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(map, &info, &size) != 0) {
        throw sys::errnoError(sys::pinned("calls"));
    }
    return info.id;
}

std::vector<std::uint64_t> keysOf(const sys::Fd& map, const char* what)
{
    std::vector<std::uint64_t> keys;
    std::uint64_t key = 0;
    std::uint64_t next = 0;
    const void* previous = nullptr;
    while (bpf_map_get_next_key(map.get(), previous, &next) == 0) {
        keys.push_back(next);
        key = next;
        previous = &key;
    }
    if (errno != ENOENT) {
        throw sys::errnoError(what);
    }
    return keys;
}

}  // namespace

PinnedGate::Node PinnedGate::open()
{
    // Another version may have loaded it since.
    requireLayout(sys::openPin(sys::pinned("node")),
                  "restart the supervisor with `systemctl restart oci-landlock-supervisor`");
    sys::Fd calls = sys::openPin(sys::pinned("calls"));
    const int map = calls.get();
    return {.calls = std::move(calls),
            .tracers = sys::openPin(sys::pinned("tracers")),
            .guarded = sys::openPin(sys::pinned("guarded")),
            .findHeld = sys::openPin(sys::pinned("find_held")),
            .guard = sys::openPin(sys::pinned("guard")),
            .id = idOf(map),
            .ring = sys::Ring(map, OLL_RING_SIZE, sys::pinned("calls"))};
}

bool PinnedGate::renew()
{
    if (idOf(sys::openPin(sys::pinned("calls")).get()) == node_.id) {
        return false;
    }
    node_ = open();  // what it throws leaves this one as it is
    return true;
}

void PinnedGate::takeCalls(const std::function<void(const Call&)>& take)
{
    node_.ring.read([this, &take](const void* data, std::size_t size) {
        oll_call call{};
        if (size == sizeof call) {
            std::memcpy(&call, data, sizeof call);
            const Call made{call.generation, static_cast<pid_t>(call.thread)};
            if (isHeld(made)) {
                take(made);
            }
        }
        return true;
    });
}

// Afterwards there is room for its container's next one. Who is not held any more need not be looked after.
bool PinnedGate::isHeld(const Call& call)
{
    oll_find_held context{};
    context.generation = call.generation;
    context.thread = static_cast<std::uint32_t>(call.thread);
    context.taken = 1;
    sys::runProgram(node_.findHeld.get(), context, "take a call");
    return context.error != 0 || context.held != 0;
}

void PinnedGate::guard(int ruleset)
{
    oll_guard context{};
    context.ruleset = ruleset;
    sys::runProgram(node_.guard.get(), context, "guard a ruleset");
    if (context.error != 0) {
        throw sys::errnoError("guard a ruleset", -context.error);
    }
}

void PinnedGate::release(int ruleset) noexcept
{
    try {
        oll_guard context{};
        context.ruleset = ruleset;
        context.release = 1;
        sys::runProgram(node_.guard.get(), context, "release a ruleset");
    } catch (const sys::Error&) {
        // The node is gone, and the guard with it.
    }
}

void PinnedGate::forget(std::uint64_t generation) noexcept
{
    bpf_map_delete_elem(node_.tracers.get(), &generation);
}

void PinnedGate::clear()
{
    for (const std::uint64_t ruleset : keysOf(node_.guarded, "rulesets of a predecessor")) {
        bpf_map_delete_elem(node_.guarded.get(), &ruleset);
    }
}

void PinnedGate::forgetAllBut(const std::set<std::uint64_t>& generations)
{
    for (const std::uint64_t generation : keysOf(node_.tracers, "tracers of a predecessor")) {
        if (!generations.contains(generation)) {
            forget(generation);
        }
    }
}

}  // namespace applier::inject
