// SPDX-License-Identifier: Apache-2.0
#include "watch/watcher.hpp"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>
#include <map>
#include <utility>

#include "applier/programs.hpp"
#include "sys/bpf.hpp"
#include "sys/error.hpp"
#include "sys/places.hpp"
#include "watch.skel.h"

namespace watch {

namespace {

// A program of watch.bpf.c, and the rights that nothing is seen of without it.
struct Hook {
    const char* program;
    const char* function;
    const char* sees;
};

constexpr std::array hooks = {
    Hook{"file_open", "hook_file_open", "execute, read_file, read_dir, write_file"},
    Hook{"path_truncate", "hook_path_truncate", "truncate"},
    Hook{"file_truncate", "hook_file_truncate", "truncate"},
    Hook{"file_ioctl", "hook_file_ioctl", "ioctl_dev"},
    Hook{"path_mkdir", "hook_path_mkdir", "make_dir"},
    Hook{"path_mknod", "hook_path_mknod", "make_reg and other make_*"},
    Hook{"path_symlink", "hook_path_symlink", "make_sym"},
    Hook{"path_unlink", "hook_path_unlink", "remove_file"},
    Hook{"path_rmdir", "hook_path_rmdir", "remove_dir"},
    Hook{"path_link", "hook_path_link", "links"},
    Hook{"path_rename", "hook_path_rename", "renames"},
    Hook{"socket_bind", "hook_socket_bind", "bind_tcp"},
    Hook{"socket_connect", "hook_socket_connect", "connect_tcp"},
    Hook{"unix_stream_connect", "hook_unix_stream_connect", "abstract_unix_socket"},
    Hook{"unix_may_send", "hook_unix_may_send", "abstract_unix_socket"},
    Hook{"task_kill", "hook_task_kill", "signal"},
    Hook{"ptrace_access_check", "hook_ptrace_access_check", "ptrace"},
    Hook{"sb_mount", "hook_sb_mount", "mounts"},
    Hook{"move_mount", "hook_move_mount", "mounts"},
    Hook{"sb_umount", "hook_sb_umount", "mounts"},
    Hook{"sb_remount", "hook_sb_remount", "mounts"},
    Hook{"sb_pivotroot", "hook_sb_pivotroot", "mounts"},
};

// Of uses.h, and the rights that nothing is seen of without it: two programs, at the hook and at its answer.
struct Use {
    const char* hook;
    const char* sees;
};

constexpr std::array uses = {
    Use{"file_open", "execute, read_file, read_dir, write_file"},
    Use{"path_truncate", "truncate"},
    Use{"file_truncate", "truncate"},
    Use{"file_ioctl", "ioctl_dev"},
    Use{"file_ioctl_compat", "ioctl_dev"},
    Use{"path_mkdir", "make_dir"},
    Use{"path_mknod", "make_reg and other make_*"},
    Use{"path_symlink", "make_sym"},
    Use{"path_unlink", "remove_file"},
    Use{"path_rmdir", "remove_dir"},
    Use{"path_link", "links"},
    Use{"path_rename", "renames"},
    Use{"socket_bind", "bind_tcp"},
    Use{"socket_connect", "connect_tcp"},
    Use{"unix_stream_connect", "abstract_unix_socket, resolve_unix"},
    Use{"unix_may_send", "abstract_unix_socket, resolve_unix"},
    Use{"task_kill", "signal"},
};
// Which children are in the same domain.
constexpr Use family = {"task_alloc", "children"};

constexpr std::array tracepoints = {"deny_access_fs", "deny_access_net", "deny_ptrace", "deny_scope_signal",
                                    "deny_scope_abstract_unix_socket"};
// In the place of file_open, where it cannot be attached.
constexpr std::array probes = {"file_open_begins", "file_open_ends"};

// Of maps.h; the object has no others of the selector's.
constexpr std::array pinnedMaps = {"containers", "tasks"};
constexpr std::array unusedMaps = {"node", "namespaces", "programs", "strays"};

// The kernel's own types.
class Types {
public:
    Types() : btf_(btf__load_vmlinux_btf(), btf__free)
    {
        if (!btf_) {
            throw sys::errnoError("/sys/kernel/btf/vmlinux");
        }
    }
    bool haveFunction(const char* name) const { return btf__find_by_name_kind(btf_.get(), name, BTF_KIND_FUNC) > 0; }
    bool haveTracepoint(const std::string& name) const
    {
        return btf__find_by_name_kind(btf_.get(), ("trace_event_raw_" + name).c_str(), BTF_KIND_STRUCT) > 0;
    }

private:
    std::unique_ptr<btf, decltype(&btf__free)> btf_;
};

// Functions that are not in the type information may still be probed, by their name.
bool kernelNames(const std::string& function)
{
    std::ifstream symbols("/proc/kallsyms");
    const std::string wanted = " " + function;
    for (std::string line; std::getline(symbols, line);) {
        if (line.ends_with(wanted)) {
            return true;
        }
    }
    return false;
}

bpf_program* programOf(const watch_bpf& skeleton, const char* name)
{
    return bpf_object__find_program_by_name(skeleton.obj, name);
}

bpf_map* mapOf(const watch_bpf& skeleton, const char* name)
{
    return bpf_object__find_map_by_name(skeleton.obj, name);
}

sys::Fd programBehind(const std::string& link)
{
    const sys::Fd file = sys::openPin(sys::pinned(link));
    bpf_link_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(file.get(), &info, &size) != 0) {
        throw sys::errnoError(sys::pinned(link));
    }
    sys::Fd program(bpf_prog_get_fd_by_id(info.prog_id));
    if (!program) {
        throw sys::errnoError(sys::pinned(link));
    }
    return program;
}

std::uint32_t idOf(int map)
{
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(map, &info, &size) != 0) {
        throw sys::errnoError(sys::pinned("containers"));
    }
    return info.id;
}

std::set<std::uint64_t> keysOf(int map)
{
    std::set<std::uint64_t> keys;
    std::uint64_t key = 0;
    // From the beginning again where the key has gone meanwhile.
    for (const void* previous = nullptr; bpf_map_get_next_key(map, previous, &key) == 0; previous = &key) {
        keys.insert(key);
    }
    if (errno != ENOENT) {
        throw sys::errnoError("read the keys of a BPF map");
    }
    return keys;
}

}  // namespace

std::string_view nameOf(Source source)
{
    return source == Source::tracepoints ? "tracepoints" : "hooks";
}

struct Watcher::Programs {
    struct Destroy {
        void operator()(watch_bpf* skeleton) const { watch_bpf__destroy(skeleton); }
        void operator()(bpf_link* link) const { bpf_link__destroy(link); }
        void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
    };
    template <typename Object>
    using Owned = std::unique_ptr<Object, Destroy>;

    Listener listener;
    std::chrono::steady_clock::time_point until;  // of the wait under way
    std::exception_ptr thrown;                    // by the listener: libbpf, which calls it, is no C++
    Source source = Source::hooks;
    std::vector<std::string> blind;
    sys::Fd containers, tasks;
    std::uint32_t containersId = 0;
    Owned<watch_bpf> skeleton;
    std::vector<Owned<bpf_link>> links;
    Owned<ring_buffer> ring;
    std::uint64_t lostBefore = 0;
    std::map<std::uint64_t, std::uint64_t> lostOf, unjudgedOf;  // by cgroup id, as told already

    void open(std::uint32_t share, Sight sight);
    void choose(Sight sight);
    void chooseDenials(const Types& types);
    void chooseAccesses(const Types& types, Sight sight);
    void cannotSee(const std::string& what);
    sys::Fd aimAt(const applier::Telling& telling);
    void enable(const char* name);
    void attach();
    std::uint64_t missed() const;
    int take(const void* data, std::size_t size);
};

void Watcher::Programs::open(std::uint32_t share, Sight sight)
{
    skeleton.reset(watch_bpf__open());
    if (!skeleton) {
        throw sys::errnoError("open BPF object");
    }
    skeleton->rodata->share_limit = share;
    skeleton->rodata->use_limit = sight == Sight::accesses ? share : share * accessesPerEvent;
    skeleton->rodata->learning = sight == Sight::accesses ? 1 : 0;
    for (const char* name : unusedMaps) {
        bpf_map__set_autocreate(mapOf(*skeleton, name), false);
    }
    const std::array kept = {containers.get(), tasks.get()};
    for (std::size_t i = 0; i < pinnedMaps.size(); ++i) {
        if (bpf_map__reuse_fd(mapOf(*skeleton, pinnedMaps[i]), kept[i]) != 0) {
            throw sys::errnoError(sys::pinned(pinnedMaps[i]));
        }
    }
}

void Watcher::Programs::enable(const char* name)
{
    bpf_program__set_autoload(programOf(*skeleton, name), true);
}

void Watcher::Programs::cannotSee(const std::string& what)
{
    if (std::ranges::find(blind, what) == blind.end()) {
        blind.push_back(what);
    }
}

void Watcher::Programs::choose(Sight sight)
{
    const Types types;
    if (sight == Sight::denials) {
        chooseDenials(types);
    }
    chooseAccesses(types, sight);
}

void Watcher::Programs::chooseAccesses(const Types& types, Sight sight)
{
    const bool all = sight == Sight::accesses;
    const std::string whose = all ? "" : "audited ";
    const auto have = [&types](const char* before, const Use& use) {
        return types.haveFunction((before + std::string(use.hook)).c_str());
    };
    const auto enableAt = [this](const char* before, const Use& use) {
        enable((before + std::string(use.hook)).c_str());
    };
    for (const Use& use : uses) {
        // What somebody else has refused, no entry had to deny.
        if (have("bpf_lsm_", use) && (!all || have("security_", use))) {
            enableAt("use_", use);
            if (all) {
                enableAt("refused_", use);
            }
        } else {
            cannotSee(whose + use.sees);
        }
    }
    have("bpf_lsm_", family) ? enableAt("use_", family) : cannotSee(whose + family.sees);
}

void Watcher::Programs::chooseDenials(const Types& types)
{
    if (std::ranges::all_of(tracepoints,
                            [&types](const std::string& name) { return types.haveTracepoint("landlock_" + name); })) {
        source = Source::tracepoints;
        std::ranges::for_each(tracepoints, [this](const char* name) { enable(name); });
        return;
    }
    for (const Hook& hook : hooks) {
        if (types.haveFunction(hook.function)) {
            enable(hook.program);
        } else if (hook.program == std::string_view("file_open") && kernelNames(hook.function)) {
            std::ranges::for_each(probes, [this](const char* name) { enable(name); });
        } else {
            cannotSee(hook.sees);
        }
    }
}

sys::Fd Watcher::Programs::aimAt(const applier::Telling& telling)
{
    sys::Fd target = telling.attached ? programBehind(telling.pin) : sys::openPin(sys::pinned(telling.pin));
    const std::string name = "at_" + telling.name;
    if (bpf_program__set_attach_target(programOf(*skeleton, name.c_str()), target.get(), "tell") != 0) {
        throw sys::Error(
            sys::errnoError("look on at " + telling.name).what() +
            std::string("; a selector that another version has loaded cannot be watched: unload it once no "
                        "container depends on it, or boot anew"));
    }
    enable(name.c_str());
    return target;
}

void Watcher::Programs::attach()
{
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj)
    {
        if (!bpf_program__autoload(program)) {
            continue;
        }
        Owned<bpf_link> link(bpf_program__attach(program));
        if (!link) {
            throw sys::Error(sys::errnoError(std::string("attach BPF program ") + bpf_program__name(program)).what() +
                             std::string(bpf_program__type(program) == BPF_PROG_TYPE_TRACEPOINT
                                             ? "; tracefs must be mounted at /sys/kernel/tracing"
                                             : ""));
        }
        links.push_back(std::move(link));
    }
}

// The kernel skips a program that is at work on the same processor already. Those that only tell of what was refused
// are left out: they are called for all that is not, too, by whatever process, and it cannot be known what was skipped.
std::uint64_t Watcher::Programs::missed() const
{
    std::uint64_t sum = 0;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj)
    {
        if (std::string_view(bpf_program__name(program)).starts_with("refused_")) {
            continue;
        }
        bpf_prog_info info{};
        std::uint32_t size = sizeof info;
        if (bpf_program__fd(program) >= 0 && bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0) {
            sum += info.recursion_misses;
        }
    }
    return sum;
}

int Watcher::Programs::take(const void* data, std::size_t size)
{
    try {
        std::uint32_t kind = 0;
        std::memcpy(&kind, data, sizeof kind);
        if (kind == OLL_SEEN_CONTAINER && size >= sizeof(oll_seen_container)) {
            listener.container(*static_cast<const oll_seen_container*>(data));
        } else if (kind != OLL_SEEN_CONTAINER && size >= sizeof(oll_seen)) {
            listener.event(*static_cast<const oll_seen*>(data));
        }
        // libbpf reads on for as long as there is anything.
        return std::chrono::steady_clock::now() < until ? 0 : -EAGAIN;
    } catch (...) {
        thrown = std::current_exception();
        return -ECANCELED;
    }
}

Watcher::Watcher(oll_applier applier, std::uint32_t share, Listener listener, Sight sight)
    : programs_(std::make_unique<Programs>())
{
    Programs& programs = *programs_;
    programs.listener = std::move(listener);
    programs.containers = sys::openPin(sys::pinned("containers"));
    programs.tasks = sys::openPin(sys::pinned("tasks"));
    programs.containersId = idOf(programs.containers.get());
    programs.open(share, sight);
    programs.choose(sight);
    // The targets must stay open until the load.
    std::vector<sys::Fd> targets;
    for (const applier::Telling& telling : applier::tellingPrograms(applier)) {
        targets.push_back(programs.aimAt(telling));
    }
    applier::loadBpf("load BPF programs that look on",
                     [&programs] { return watch_bpf__load(programs.skeleton.get()); });
    programs.ring.reset(ring_buffer__new(
        bpf_map__fd(programs.skeleton->maps.seen),
        [](void* self, void* data, std::size_t size) { return static_cast<Programs*>(self)->take(data, size); },
        &programs, nullptr));
    if (!programs.ring) {
        throw sys::errnoError("read what BPF programs tell");
    }
    programs.attach();
}

Watcher::~Watcher() = default;

Source Watcher::source() const
{
    return programs_->source;
}

const std::vector<std::string>& Watcher::blind() const
{
    return programs_->blind;
}

bool Watcher::wait(std::chrono::milliseconds timeout)
{
    programs_->until = std::chrono::steady_clock::now() + timeout;
    const int result = ring_buffer__poll(programs_->ring.get(), static_cast<int>(timeout.count()));
    if (programs_->thrown) {
        std::rethrow_exception(std::exchange(programs_->thrown, nullptr));
    }
    if (result < 0 && result != -EINTR && result != -EAGAIN) {
        throw sys::errnoError("read what BPF programs tell", -result);
    }
    return result == -EAGAIN;
}

std::vector<Lost> Watcher::lost(const std::set<std::uint64_t>& containers)
{
    std::vector<Lost> found;
    const int shares = bpf_map__fd(programs_->skeleton->maps.shares);
    for (const std::uint64_t id : keysOf(shares)) {
        const bool kept = id == 0 || containers.contains(id);
        oll_share share{};
        if ((kept ? bpf_map_lookup_elem(shares, &id, &share) : bpf_map_lookup_and_delete_elem(shares, &id, &share)) !=
            0) {
            throw sys::errnoError("read what was left out");
        }
        std::uint64_t& told = programs_->lostOf[id];
        if (share.lost > told) {
            found.push_back({id, share.lost - told, true, false});
            told = share.lost;
        }
        std::uint64_t& unjudged = programs_->unjudgedOf[id];
        if (share.unjudged > unjudged) {
            found.push_back({id, share.unjudged - unjudged, true, true});
            unjudged = share.unjudged;
        }
        if (!kept) {
            programs_->lostOf.erase(id);
            programs_->unjudgedOf.erase(id);
        }
    }
    const std::uint64_t full = programs_->skeleton->bss->lost + programs_->missed();
    if (full > programs_->lostBefore) {
        found.push_back({0, full - programs_->lostBefore, false, false});
        programs_->lostBefore = full;
    }
    return found;
}

std::set<std::uint64_t> Watcher::containers() const
{
    return keysOf(programs_->containers.get());
}

bool Watcher::describe(std::uint64_t cgroupId, oll_seen_container& container) const
{
    oll_container entry{};
    if (bpf_map_lookup_elem(programs_->containers.get(), &cgroupId, &entry) != 0) {
        return false;
    }
    container = {.kind = OLL_SEEN_CONTAINER,
                 .audited = entry.audited,
                 .cgroup_id = cgroupId,
                 .generation = entry.generation,
                 .record = entry.record};
    return true;
}

bool Watcher::current() const
{
    try {
        return idOf(sys::openPin(sys::pinned("containers")).get()) == programs_->containersId;
    } catch (const sys::Error&) {
        return false;
    }
}

}  // namespace watch
