// SPDX-License-Identifier: Apache-2.0
#include "node/node.hpp"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <set>

#include "container/process.hpp"
#include "sys/bpf.hpp"

namespace node {

namespace {

std::string pinned(const char* name)
{
    return std::string(pinDirectory) + "/" + name;
}

void update(const sys::Fd& map, const void* key, const void* value, std::uint64_t flags, const char* what)
{
    if (bpf_map_update_elem(map.get(), key, value, flags) != 0) {
        throw errno == E2BIG || errno == ENOSPC ? sys::Error(std::string(what) + ": the map is full")
                                                : sys::errnoError(what);
    }
}

std::vector<std::uint64_t> keysOf(const sys::Fd& map)
{
    std::vector<std::uint64_t> keys;
    std::uint64_t key = 0;
    const void* previous = nullptr;
    std::uint64_t next = 0;
    // Bounded: a key that is removed meanwhile makes the walk start again.
    while (keys.size() < 4UL * OLL_MAX_CONTAINERS && bpf_map_get_next_key(map.get(), previous, &next) == 0) {
        keys.push_back(next);
        key = next;
        previous = &key;
    }
    std::ranges::sort(keys);
    const auto rest = std::ranges::unique(keys);
    keys.erase(rest.begin(), rest.end());
    return keys;
}

}  // namespace

bool Node::loaded()
{
    return access(pinned("node").c_str(), F_OK) == 0;
}

Node::Node(const Lock&) : node_(sys::openPin(pinned("node")))
{
    oll_node state{};
    const std::uint32_t key = 0;
    if (bpf_map_lookup_elem(node_.get(), &key, &state) != 0) {
        throw sys::errnoError(pinned("node"));
    }
    version_ = std::string(state.version, strnlen(state.version, sizeof state.version));
    if (state.abi_version != OLL_ABI_VERSION) {
        throw sys::Error("this node was loaded by version " + sys::printable(version_) + " (layout " +
                         std::to_string(state.abi_version) + "), this program has layout " +
                         std::to_string(OLL_ABI_VERSION) +
                         "; stop the containers that depend on it, then run `oci-landlock unload --force` and "
                         "`oci-landlock load`");
    }
    applier_ = static_cast<oll_applier>(state.applier);
    records_ = sys::openPin(pinned("records"));
    containers_ = sys::openPin(pinned("containers"));
    programs_ = sys::openPin(pinned("programs"));
    tasks_ = sys::openPin(pinned("tasks"));
    for (const std::string& link : applier::requiredLinks(applier_)) {
        if (access(pinned(link.c_str()).c_str(), F_OK) != 0) {
            throw sys::Error(pinned(link.c_str()) + " is missing, so that nothing would be restricted; run "
                             "`oci-landlock unload --force` and `oci-landlock load`");
        }
    }
    identifyProgram_ = sys::openPin(pinned("identify"));
    mountNamespacesProgram_ = sys::openPin(pinned("mount_namespaces"));
    keeper_ = applier::makeKeeper(applier_, pinDirectory);
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

std::unique_ptr<applier::Kept> Node::keep(const Container& container, std::uint64_t generation) const
{
    const applier::Offer offer{generation, container.cgroupId, container.id, container.cgroup, container.layers};
    try {
        return keeper_->keep(offer);
    } catch (const applier::Full&) {
        if (collectGarbage(generation) == 0) {
            throw;
        }
        return keeper_->keep(offer);
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
            value.has_file = 1;
            value.file = identify.id;
        }
        std::ranges::copy(program.path, value.path);
        update(programs_, &key, &value, BPF_NOEXIST, "write a program of the container's entry");
    }
}

void Node::writeEntry(const Container& container, std::uint64_t generation,
                      const std::vector<std::uint32_t>& slots) const
{
    oll_mount_namespaces namespaces{};
    sys::runProgram(mountNamespacesProgram_.get(), namespaces, "read the mount namespaces");
    oll_container entry{};
    entry.generation = generation;
    entry.cgroup_id = container.cgroupId;
    entry.hook_mount_ns = namespaces.own;
    entry.host_mount_ns = namespaces.host;
    entry.layer_count = static_cast<std::uint32_t>(container.layers.size());
    entry.program_count = static_cast<std::uint32_t>(container.programs.size());
    for (std::size_t i = 0; i < container.entries.size(); ++i) {
        entry.selected_by[container.entries[i].selector] |= 1U << i;
        entry.sessions |= container.entries[i].sessions ? 1U << i : 0;
    }
    for (std::size_t i = 0; i < container.layers.size(); ++i) {
        const applier::Layer& layer = container.layers[i];
        entry.layers[i] = {generation, slots[i], layer.entry, layer.restrictFlags, 0};
    }
    oll_task init{};
    init.generation = generation;
    init.cgroup_id = container.cgroupId;
    init.origin = OLL_ORIGIN_INIT_PENDING;
    update(tasks_, &container.init, &init, BPF_ANY, "mark the container's init");
    update(containers_, &container.cgroup, &entry, BPF_ANY, "write the container's entry");
    // Last: this is what puts the cgroup in scope.
    oll_record record{};
    record.generation = generation;
    record.created = static_cast<std::uint64_t>(std::time(nullptr));
    std::ranges::copy(container.id, record.container_id);
    std::ranges::copy(container.report.substr(0, OLL_REPORT_SIZE - 1), record.report);
    update(records_, &container.cgroupId, &record, BPF_NOEXIST, "record the container");
}

void Node::install(const Container& container) const
{
    const bool fits = container.entries.size() <= OLL_MAX_ENTRIES && container.layers.size() <= OLL_MAX_LAYERS &&
                      container.programs.size() <= OLL_MAX_PROGRAMS && container.id.size() < OLL_ID_SIZE &&
                      std::ranges::all_of(container.programs,
                                          [](const Program& program) { return program.path.size() < OLL_PATH_SIZE; });
    if (!fits) {
        throw sys::Error("the profile is larger than a container's entry holds");
    }
    const std::uint64_t generation = nextGeneration();
    const std::unique_ptr<applier::Kept> kept = keep(container, generation);
    try {
        writePrograms(container, generation);
        writeEntry(container, generation, kept->slots());
        kept->confirm();
    } catch (...) {
        bpf_map_delete_elem(records_.get(), &container.cgroupId);
        bpf_map_delete_elem(containers_.get(), &container.cgroup);
        bpf_map_delete_elem(tasks_.get(), &container.init);
        for (std::uint64_t i = 0; i < container.programs.size(); ++i) {
            const oll_program_key key{generation, i};
            bpf_map_delete_elem(programs_.get(), &key);
        }
        throw;
    }
}

std::optional<Standing> Node::find(std::uint64_t cgroupId) const
{
    Standing standing;
    standing.cgroupId = cgroupId;
    if (bpf_map_lookup_elem(records_.get(), &cgroupId, &standing.record) != 0) {
        return std::nullopt;
    }
    const sys::Fd cgroup = container::openCgroup(cgroupId);
    if (cgroup) {
        const int fd = cgroup.get();
        standing.alive = true;
        standing.intact = bpf_map_lookup_elem(containers_.get(), &fd, &standing.entry) == 0 &&
                          standing.entry.generation == standing.record.generation;
    }
    return standing;
}

bool Node::marked(int init, std::uint64_t generation) const
{
    oll_task task{};
    return bpf_map_lookup_elem(tasks_.get(), &init, &task) == 0 && task.generation == generation;
}

std::vector<Standing> Node::containers() const
{
    std::vector<Standing> all;
    for (const std::uint64_t id : keysOf(records_)) {
        if (auto standing = find(id)) {
            all.push_back(std::move(*standing));
        }
    }
    return all;
}

void Node::forget(std::uint64_t cgroupId) const
{
    const auto standing = find(cgroupId);
    if (!standing) {
        return;
    }
    bpf_map_delete_elem(records_.get(), &cgroupId);
    keeper_->release(standing->record.generation);
    if (const sys::Fd cgroup = container::openCgroup(cgroupId)) {
        const int fd = cgroup.get();
        bpf_map_delete_elem(containers_.get(), &fd);
    }
    collectGarbage();
}

void Node::remove(const std::string& id) const
{
    for (const Standing& standing : containers()) {
        if (id == standing.record.container_id && standing.alive && !container::cgroupPopulated(standing.cgroupId)) {
            forget(standing.cgroupId);
        }
    }
    collectGarbage();
}

unsigned Node::collectGarbage(std::uint64_t beingInstalled) const
{
    std::set<std::uint64_t> living{beingInstalled};
    for (const Standing& standing : containers()) {
        if (standing.alive) {
            living.insert(standing.record.generation);
        } else {
            bpf_map_delete_elem(records_.get(), &standing.cgroupId);
        }
    }
    const unsigned freed = keeper_->collectGarbage(living);
    std::vector<oll_program_key> dead;
    oll_program_key key{};
    const void* previous = nullptr;
    oll_program_key next{};
    for (unsigned i = 0; i < 4 * OLL_MAX_CONTAINERS; ++i) {
        if (bpf_map_get_next_key(programs_.get(), previous, &next) != 0) {
            break;
        }
        if (!living.contains(next.generation)) {
            dead.push_back(next);
        }
        key = next;
        previous = &key;
    }
    for (const oll_program_key& gone : dead) {
        bpf_map_delete_elem(programs_.get(), &gone);
    }
    return freed;
}

}  // namespace node
