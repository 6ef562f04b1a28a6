// SPDX-License-Identifier: Apache-2.0
// How a container gets its entry: what is to be there before, and what is written, in which order.
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "node/node.hpp"
#include "node/policies.hpp"
#include "sys/bpf.hpp"
#include "sys/error.hpp"
#include "sys/places.hpp"

namespace node {

namespace {

using sys::pinned;

void update(const sys::Fd& map, const void* key, const void* value, std::uint64_t flags, const char* what)
{
    if (bpf_map_update_elem(map.get(), key, value, flags) != 0) {
        if (errno == E2BIG || errno == ENOSPC) {
            throw applier::Full(std::string(what) + ": the map is full; `oci-landlock status` lists the containers");
        }
        throw sys::errnoError(what);
    }
}

void requireAtMost(std::size_t number, std::size_t limit, const std::string& what)
{
    if (number > limit) {
        throw sys::Error(what + ": " + std::to_string(number) + ", and a container can have " + std::to_string(limit));
    }
}

void requireFits(const Container& container)
{
    requireAtMost(container.entries.size(), OLL_MAX_ENTRIES, "entries of the profile and the node's baseline");
    requireAtMost(container.layers.size(), OLL_MAX_LAYERS, "policies of the profile and the node's baseline");
    requireAtMost(container.programs.size(), OLL_MAX_PROGRAMS,
                  "programs of the profile and the node's baseline, where "
                  "a name and what it leads to count apart");
    requireAtMost(container.id.size(), OLL_ID_SIZE - 1, "bytes of the container's id");
    for (const Program& program : container.programs) {
        requireAtMost(program.path.size(), OLL_PATH_SIZE - 1,
                      "bytes of the path of program " + sys::printable(program.path));
    }
}

std::uint32_t auditedOf(const std::vector<Entry>& entries)
{
    if (!entries.empty() && std::ranges::all_of(entries, &Entry::audited)) {
        return OLL_ALL_AUDITED;
    }
    std::uint32_t mask = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        mask |= entries[i].audited ? 1U << i : 0;
    }
    return mask;
}

}  // namespace

// Whether the selector can find the container and tell it from its runtime, by what the kernel says: this process may
// be in namespaces of its own.
oll_survey Node::survey(const Container& container) const
{
    oll_survey where{};
    where.cgroup_id = container.cgroupId;
    where.mount_namespace = container.mountNamespace;
    sys::runProgram(surveyProgram_.get(), where, "see where the container is");
    if (where.error != 0) {
        throw sys::errnoError("see where the container is", -where.error);
    }
    if (where.container_mount_ns == where.own_mount_ns || where.container_mount_ns == where.host_mount_ns) {
        throw sys::Error(
            "the container shares the mount namespace of its runtime or of the host, so that it cannot be "
            "told apart from them; give it a mount namespace of its own");
    }
    oll_place place{};
    if (bpf_map_lookup_elem(namespaces_.get(), &where.container_mount_ns, &place) == 0) {
        throw sys::Error("the container shares the mount namespace of another container; give it one of its own");
    }
    if (where.cgroup_level > OLL_MAX_CGROUP_LEVEL) {
        throw sys::Error("the container's cgroup is nested " + std::to_string(where.cgroup_level) +
                         " levels deep, of " + std::to_string(OLL_MAX_CGROUP_LEVEL) +
                         " that are looked at; place it further up");
    }
    return where;
}

// Only the holder of the lock changes it.
std::uint64_t Node::nextGeneration() const
{
    oll_node state{};
    const std::uint32_t key = 0;
    if (bpf_map_lookup_elem(node_.get(), &key, &state) != 0) {
        throw sys::errnoError(pinned("node"));
    }
    ++state.next_generation;
    update(node_, &key, &state, BPF_EXIST, "count the containers");
    return state.next_generation;
}

std::uint32_t Node::loadedAs() const
{
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(node_.get(), &info, &size) != 0) {
        throw sys::errnoError(pinned("node"));
    }
    return info.id;
}

Reservation::Reservation(const Container& container) : cgroupId_(container.cgroupId)
{
    requireFits(container);
    {
        const Lock lock;
        Node node(lock);
        generation_ = node.nextGeneration();
        loaded_ = node.loadedAs();
        keeper_ = std::move(node.keeper_);
    }
    if (container.layers.empty()) {
        return;  // all is audited: there is nothing to keep, and nobody is asked to
    }
    kept_ = keeper_->keep({.generation = generation_,
                           .cgroupId = container.cgroupId,
                           .label = container.label,
                           .cgroup = container.cgroup,
                           .layers = container.layers});
}

void Reservation::confirm() const
{
    if (!kept_) {
        return;
    }
    try {
        kept_->confirm();
    } catch (const sys::Error&) {
        const Lock lock;
        Node(lock).forget(cgroupId_);
        throw;
    }
}

void Node::writePrograms(const Container& container, std::uint64_t generation) const
{
    for (std::size_t i = 0; i < container.programs.size(); ++i) {
        const Program& program = container.programs[i];
        const oll_program_key key{generation, i};
        oll_program value{};
        value.generation = generation;
        value.entries = program.entries;
        if (program.file >= 0) {
            oll_identify identify{};
            identify.file = program.file;
            sys::runProgram(identifyProgram_.get(), identify, "identify a program");
            if (identify.error != 0) {
                throw sys::errnoError("identify program " + sys::printable(program.path), -identify.error);
            }
            value.has_file = 1;
            value.file = identify.id;
        }
        std::ranges::copy(program.path, value.path);
        update(programs_, &key, &value, BPF_NOEXIST, "write a program of the container's entry");
    }
}

// The init belongs to this container too. What it belongs to already, as a descendant of another container, it keeps;
// but not to one that had this cgroup before.
void Node::mark(const Container& container, std::uint64_t generation, const oll_task& before) const
{
    oll_task init = before;
    for (oll_membership& member : init.of) {
        if (member.origin == OLL_ORIGIN_NONE || member.cgroup_id == container.cgroupId) {
            member = {};
        }
    }
    const auto place = std::ranges::find(init.of, 0U, &oll_membership::generation);
    if (place == std::end(init.of)) {
        throw sys::Error("the container's init descends from " + std::to_string(OLL_MAX_MEMBERSHIPS) +
                         " containers already, one inside the other, which is the limit");
    }
    place->generation = generation;
    place->cgroup_id = container.cgroupId;
    place->origin = OLL_ORIGIN_INIT_PENDING;
    place->audited = auditedOf(container.entries);
    init.exec_under_way = 0;
    update(tasks_, &container.init, &init, BPF_ANY, "mark the container's init");
}

void Node::writeEntry(const Container& container, std::uint64_t generation, const oll_survey& where,
                      const std::vector<std::uint32_t>& slots) const
{
    oll_container entry{};
    entry.generation = generation;
    entry.cgroup_id = container.cgroupId;
    entry.hook_mount_ns = where.own_mount_ns;
    entry.host_mount_ns = where.host_mount_ns;
    entry.layer_count = static_cast<std::uint32_t>(container.layers.size());
    entry.program_count = static_cast<std::uint32_t>(container.programs.size());
    entry.audited = auditedOf(container.entries);
    for (std::size_t i = 0; i < container.entries.size(); ++i) {
        entry.selected_by[container.entries[i].selector] |= 1U << i;
        entry.sessions |= container.entries[i].sessions ? 1U << i : 0;
    }
    for (std::size_t i = 0; i < container.layers.size(); ++i) {
        const applier::Layer& layer = container.layers[i];
        entry.layers[i] = {.generation = generation,
                           .slot = slots[i],
                           .entry = layer.entry,
                           .restrict_flags = layer.restrictFlags,
                           .reserved = 0};
    }
    entry.record.created = static_cast<std::uint64_t>(std::time(nullptr));
    std::ranges::copy(container.digest, entry.record.digest);
    std::ranges::copy(container.id, entry.record.container_id);
    std::ranges::copy(container.about.substr(0, OLL_ABOUT_SIZE - 1), entry.record.about);
    std::ranges::copy(container.report.substr(0, OLL_REPORT_SIZE - 1), entry.record.report);
    update(containers_, &container.cgroupId, &entry, BPF_NOEXIST, "write the container's entry");
}

// Everything in order: the entry is written last, which puts the cgroup in scope.
void Node::put(const Container& container, const Reservation& reservation, const oll_survey& where) const
{
    const std::uint64_t generation = reservation.generation_;
    oll_task before{};
    const bool known = bpf_map_lookup_elem(tasks_.get(), &container.init, &before) == 0;
    if (!known && errno != ENOENT) {
        throw sys::errnoError("look at the container's init");
    }
    try {
        policies::write({container.cgroupId, generation}, container.policy);
        writePrograms(container, generation);
        mark(container, generation, before);
        writeEntry(container, generation, where,
                   reservation.kept_ ? reservation.kept_->place() : std::vector<std::uint32_t>());
    } catch (...) {
        policies::remove({container.cgroupId, generation});
        bpf_map_delete_elem(containers_.get(), &container.cgroupId);
        known ? bpf_map_update_elem(tasks_.get(), &container.init, &before, BPF_ANY)
              : bpf_map_delete_elem(tasks_.get(), &container.init);
        for (std::uint64_t i = 0; i < container.programs.size(); ++i) {
            const oll_program_key key{generation, i};
            bpf_map_delete_elem(programs_.get(), &key);
        }
        throw;
    }
}

void Node::install(const Container& container, const Reservation& reservation) const
{
    if (reservation.loaded_ != loadedAs()) {
        throw sys::Error("the node was unloaded and loaded again meanwhile; start the container once more");
    }
    const oll_survey where = survey(container);
    if (reservation.generation_ % policies::mostLeftBehind == 0) {
        policies::removeAllBut(generations());
    }
    try {
        put(container, reservation, where);
    } catch (const applier::Full&) {
        if (collectGarbage(reservation.generation_) == 0) {
            throw;
        }
        put(container, reservation, where);
    }
}

}  // namespace node
