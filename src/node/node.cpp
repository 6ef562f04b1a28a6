// SPDX-License-Identifier: Apache-2.0
#include "node/node.hpp"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "applier/layout.hpp"
#include "applier/programs.hpp"
#include "container/process.hpp"
#include "node/policies.hpp"
#include "sys/bpf.hpp"
#include "sys/error.hpp"
#include "sys/places.hpp"

namespace node {

namespace {

using sys::pinned;

// All of a hash map at the time, in one walk over its buckets: what is removed meanwhile neither makes it start again
// nor end early. Throws sys::Error when it cannot see everything.
template <typename Key, typename Value, typename Visit>
void forEach(const sys::Fd& map, const char* what, Visit visit)
{
    constexpr std::uint32_t atOnce = 256;
    std::vector<Key> keys(atOnce);
    std::vector<Value> values(atOnce);
    std::uint32_t place = 0;
    for (bool first = true, last = false; !last; first = false) {
        std::uint32_t count = atOnce;
        if (bpf_map_lookup_batch(map.get(), first ? nullptr : &place, &place, keys.data(), values.data(), &count,
                                 nullptr) != 0) {
            if (errno != ENOENT) {
                throw sys::errnoError(std::string("walk over ") + what);
            }
            last = true;
        }
        for (std::uint32_t i = 0; i < count; ++i) {
            visit(keys[i], values[i]);
        }
    }
}

template <typename Visit>
void forEachContainer(const sys::Fd& map, Visit visit)
{
    forEach<std::uint64_t, oll_container>(map, "the containers",
                                          [&](std::uint64_t, const oll_container& entry) { visit(entry); });
}

}  // namespace

bool Node::loaded()
{
    return access(pinned("node").c_str(), F_OK) == 0;
}

Node::Node(const Lock&) : node_(sys::openPin(pinned("node")))
{
    const oll_node state =
        applier::requireLayout(node_,
                               "stop the containers that depend on it, then run `oci-landlock unload --force` "
                               "and `oci-landlock load`, and restart the supervisor where there is one");
    version_ = std::string(state.version, strnlen(state.version, sizeof state.version));
    applier_ = static_cast<oll_applier>(state.applier);
    stacks_ = state.stacks != 0;
    containers_ = sys::openPin(pinned("containers"));
    namespaces_ = sys::openPin(pinned("namespaces"));
    programs_ = sys::openPin(pinned("programs"));
    tasks_ = sys::openPin(pinned("tasks"));
    strays_ = sys::openPin(pinned("strays"));
    if (applier_ == OLL_APPLIER_INJECT) {
        tracers_ = sys::openPin(pinned("tracers"));
    }
    for (const std::string& link : applier::requiredLinks(applier_)) {
        if (access(pinned(link).c_str(), F_OK) != 0) {
            throw sys::Error(pinned(link) +
                             " is missing, so that nothing would be restricted; run "
                             "`oci-landlock unload --force` and `oci-landlock load`");
        }
    }
    identifyProgram_ = sys::openPin(pinned("identify"));
    surveyProgram_ = sys::openPin(pinned("survey"));
    lookForInitProgram_ = sys::openPin(pinned("look_for_init"));
    keeper_ = applier::makeKeeper(applier_);
}

std::optional<Standing> Node::find(std::uint64_t cgroupId) const
{
    Standing standing;
    standing.cgroupId = cgroupId;
    if (bpf_map_lookup_elem(containers_.get(), &cgroupId, &standing.entry) != 0) {
        if (errno != ENOENT) {
            throw sys::errnoError("look for the container's entry");
        }
        return std::nullopt;
    }
    standing.alive = lives(standing.entry);
    standing.held = held(standing);
    standing.intact = true;
    for (std::uint64_t i = 0; i < standing.entry.program_count; ++i) {
        const oll_program_key key{standing.entry.generation, i};
        oll_program program{};
        standing.intact = standing.intact && bpf_map_lookup_elem(programs_.get(), &key, &program) == 0;
    }
    return standing;
}

bool Node::marked(int init, std::uint64_t generation) const
{
    oll_task task{};
    return bpf_map_lookup_elem(tasks_.get(), &init, &task) == 0 &&
           std::ranges::find(task.of, generation, &oll_membership::generation) != std::end(task.of);
}

std::optional<oll_task> Node::task(int pidfd) const
{
    oll_task task{};
    if (bpf_map_lookup_elem(tasks_.get(), &pidfd, &task) == 0) {
        return task;
    }
    if (errno == ENOENT) {
        return std::nullopt;
    }
    throw sys::errnoError("look at a process");
}

std::optional<std::string> Node::policyOf(const oll_container& entry)
{
    return policies::read({entry.cgroup_id, entry.generation});
}

std::set<std::uint64_t> Node::generations() const
{
    std::set<std::uint64_t> all;
    forEachContainer(containers_, [&](const oll_container& entry) { all.insert(entry.generation); });
    return all;
}

std::vector<Standing> Node::containers() const
{
    std::vector<std::uint64_t> ids;
    forEachContainer(containers_, [&](const oll_container& entry) { ids.push_back(entry.cgroup_id); });
    std::ranges::sort(ids);
    std::vector<Standing> all;
    for (const std::uint64_t id : ids) {
        if (auto standing = find(id)) {
            all.push_back(std::move(*standing));
        }
    }
    return all;
}

std::vector<Usage> Node::usage() const
{
    unsigned containers = 0;
    forEachContainer(containers_, [&](const oll_container&) { ++containers; });
    std::vector<Usage> all{{"containers", containers, OLL_MAX_CONTAINERS}};
    if (applier_ == OLL_APPLIER_KFUNC) {
        all.push_back({"slots", applier::slotsInUse(), OLL_MAX_SLOTS});
    }
    return all;
}

oll_denials Node::strays() const
{
    oll_denials denials{};
    const std::uint32_t key = 0;
    if (bpf_map_lookup_elem(strays_.get(), &key, &denials) != 0) {
        throw sys::errnoError(pinned("strays"));
    }
    return denials;
}

bool Node::lives(const oll_container& entry) const
{
    if (container::openCgroup(entry.cgroup_id)) {
        return true;
    }
    return isAlive(entry.init_tgid, entry.init_start_time);
}

bool Node::isAlive(std::uint32_t tgid, std::uint64_t startTime) const
{
    oll_look_for_init process{startTime, tgid, 0};
    sys::runProgram(lookForInitProgram_.get(), process, "look for a process");
    return process.alive != 0;
}

// With kfunc an empty slot is told by the exec that finds it. With inject the supervisor lets go of a container that
// nobody is in.
bool Node::held(const Standing& standing) const
{
    if (!tracers_ || standing.entry.audited == OLL_ALL_AUDITED || !container::cgroupPopulated(standing.cgroupId)) {
        return true;
    }
    oll_tracer tracer{};
    return bpf_map_lookup_elem(tracers_.get(), &standing.entry.generation, &tracer) == 0 &&
           isAlive(tracer.tgid, tracer.start_time);
}

// A namespace that is left without its container denies; so it goes first.
void Node::takeAway(const oll_container& entry) const
{
    oll_place place{};
    if (entry.mount_ns != 0 && bpf_map_lookup_elem(namespaces_.get(), &entry.mount_ns, &place) == 0 &&
        place.generation == entry.generation) {
        bpf_map_delete_elem(namespaces_.get(), &entry.mount_ns);
    }
    bpf_map_delete_elem(containers_.get(), &entry.cgroup_id);
    policies::remove({entry.cgroup_id, entry.generation});
    keeper_->release(entry.generation);
    for (std::uint64_t i = 0; i < entry.program_count; ++i) {
        const oll_program_key key{entry.generation, i};
        bpf_map_delete_elem(programs_.get(), &key);
    }
}

void Node::forget(std::uint64_t cgroupId) const
{
    oll_container entry{};
    if (bpf_map_lookup_elem(containers_.get(), &cgroupId, &entry) == 0) {
        takeAway(entry);
    }
}

void Node::forgetDead(const std::string& id) const
{
    std::vector<oll_container> dead;
    std::set<std::uint64_t> generations;
    forEachContainer(containers_, [&](const oll_container& entry) {
        generations.insert(entry.generation);
        if (id == entry.record.container_id && !container::cgroupPopulated(entry.cgroup_id)) {
            dead.push_back(entry);
        }
    });
    std::ranges::for_each(dead, [&](const oll_container& entry) { takeAway(entry); });
    policies::removeAllBut(generations);
}

unsigned Node::collectGarbage(std::uint64_t beingInstalled) const
{
    unsigned freed = 0;
    std::set<std::uint64_t> living{beingInstalled};
    std::vector<oll_container> gone;
    forEachContainer(containers_, [&](const oll_container& entry) {
        if (lives(entry)) {
            living.insert(entry.generation);
        } else {
            gone.push_back(entry);
        }
    });
    for (const oll_container& entry : gone) {
        takeAway(entry);
        ++freed;
    }
    policies::removeAllBut(living);
    freed += keeper_->collectGarbage(living);
    std::vector<oll_program_key> programs;
    forEach<oll_program_key, oll_program>(programs_, "the programs",
                                          [&](const oll_program_key& key, const oll_program&) {
                                              if (!living.contains(key.generation)) {
                                                  programs.push_back(key);
                                              }
                                          });
    for (const oll_program_key& key : programs) {
        bpf_map_delete_elem(programs_.get(), &key);
        ++freed;
    }
    std::vector<std::uint64_t> namespaces;
    forEach<std::uint64_t, oll_place>(namespaces_, "the namespaces", [&](std::uint64_t id, const oll_place& place) {
        if (!living.contains(place.generation)) {
            namespaces.push_back(id);
        }
    });
    for (const std::uint64_t id : namespaces) {
        bpf_map_delete_elem(namespaces_.get(), &id);
        ++freed;
    }
    return freed;
}

}  // namespace node
