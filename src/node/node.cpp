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

namespace node {

namespace {

std::string pinned(const char* name)
{
    return std::string(pinDirectory) + "/" + name;
}

sys::Fd openPin(const char* name)
{
    sys::Fd fd(bpf_obj_get(pinned(name).c_str()));
    if (!fd) {
        throw sys::errnoError(pinned(name));
    }
    return fd;
}

void update(const sys::Fd& map, const void* key, const void* value, std::uint64_t flags, const char* what)
{
    if (bpf_map_update_elem(map.get(), key, value, flags) != 0) {
        throw errno == E2BIG || errno == ENOSPC ? sys::Error(std::string(what) + ": the map is full")
                                                : sys::errnoError(what);
    }
}

template <typename Context>
void run(const sys::Fd& program, Context& context, const char* what)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &context, .ctx_size_in = sizeof context);
    if (bpf_prog_test_run_opts(program.get(), &options) != 0) {
        throw sys::errnoError(what);
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

// Everything in the array of slots, in one system call where memory allows.
std::vector<oll_slot_view> readSlots(const sys::Fd& map)
{
    std::vector<oll_slot_view> slots(OLL_MAX_SLOTS);
    std::vector<std::uint32_t> keys(OLL_MAX_SLOTS);
    std::uint32_t batch = 0;
    std::uint32_t count = OLL_MAX_SLOTS;
    if (bpf_map_lookup_batch(map.get(), nullptr, &batch, keys.data(), slots.data(), &count, nullptr) != 0 &&
        errno != ENOENT) {
        throw sys::errnoError("read the slots");
    }
    return slots;
}

}  // namespace

bool Node::loaded()
{
    return access(pinned("node").c_str(), F_OK) == 0;
}

Node::Node(const Lock&) : node_(openPin("node"))
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
    records_ = openPin("records");
    containers_ = openPin("containers");
    programs_ = openPin("programs");
    tasks_ = openPin("tasks");
    slots_ = openPin("slots");
    for (const char* link : {"link_select_exec", "link_find_interpreter", "link_select_interpreter", "link_commit_exec",
                             "link_inherit", "link_forget"}) {
        if (access(pinned(link).c_str(), F_OK) != 0) {
            throw sys::Error(pinned(link) + " is missing, so that nothing would be restricted; run `oci-landlock "
                             "unload --force` and `oci-landlock load`");
        }
    }
    handOverProgram_ = openPin("hand_over");
    revokeProgram_ = openPin("revoke");
    identifyProgram_ = openPin("identify");
    mountNamespacesProgram_ = openPin("mount_namespaces");
}

std::uint32_t Node::handOverOne(oll_hand_over& context) const
{
    run(handOverProgram_, context, "hand a ruleset over");
    if (context.error == -ENOSPC && collectGarbage(context.generation) > 0) {
        run(handOverProgram_, context, "hand a ruleset over");
    }
    if (context.error == -ENOSPC) {
        throw sys::Error("all " + std::to_string(OLL_MAX_SLOTS) + " slots for rulesets are in use; `oci-landlock "
                         "status` lists who holds them");
    }
    if (context.error != 0) {
        throw sys::errnoError("hand a ruleset over", static_cast<int>(-context.error));
    }
    return context.slot;
}

// Fills `slots` as it goes, so that the caller can give back what was taken before an error.
std::uint64_t Node::handOver(const Container& container, std::vector<std::uint32_t>& slots) const
{
    oll_hand_over context{};
    context.cgroup_id = container.cgroupId;
    for (const Layer& layer : container.layers) {
        context.ruleset = layer.ruleset;
        try {
            slots.push_back(handOverOne(context));
        } catch (...) {
            for (const std::uint32_t slot : slots) {
                revoke(context.generation, slot);
            }
            throw;
        }
    }
    return context.generation;
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
            run(identifyProgram_, identify, "identify a program");
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
    run(mountNamespacesProgram_, namespaces, "read the mount namespaces");
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
        const Layer& layer = container.layers[i];
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
    std::vector<std::uint32_t> slots;
    const std::uint64_t generation = handOver(container, slots);
    try {
        writePrograms(container, generation);
        writeEntry(container, generation, slots);
    } catch (...) {
        bpf_map_delete_elem(containers_.get(), &container.cgroup);
        bpf_map_delete_elem(tasks_.get(), &container.init);
        for (std::uint64_t i = 0; i < container.programs.size(); ++i) {
            const oll_program_key key{generation, i};
            bpf_map_delete_elem(programs_.get(), &key);
        }
        for (const std::uint32_t slot : slots) {
            revoke(generation, slot);
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

void Node::revoke(std::uint64_t generation, std::uint32_t slot) const
{
    oll_revoke context{generation, slot, 0};
    run(revokeProgram_, context, "revoke a ruleset");
}

void Node::forget(std::uint64_t cgroupId) const
{
    const auto standing = find(cgroupId);
    if (!standing) {
        return;
    }
    bpf_map_delete_elem(records_.get(), &cgroupId);
    if (const sys::Fd cgroup = container::openCgroup(cgroupId)) {
        const int fd = cgroup.get();
        bpf_map_delete_elem(containers_.get(), &fd);
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
    unsigned freed = 0;
    const std::vector<oll_slot_view> slots = readSlots(slots_);
    for (std::uint32_t i = 0; i < slots.size(); ++i) {
        if (slots[i].generation != 0 && !living.contains(slots[i].generation)) {
            revoke(slots[i].generation, i);
            ++freed;
        }
    }
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

unsigned Node::slotsInUse() const
{
    return static_cast<unsigned>(
        std::ranges::count_if(readSlots(slots_), [](const oll_slot_view& slot) { return slot.generation != 0; }));
}

}  // namespace node
