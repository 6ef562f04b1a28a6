// SPDX-License-Identifier: Apache-2.0
#include "watch/watcher.hpp"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <utility>

#include "applier/programs.hpp"
#include "container/process.hpp"
#include "sys/bpf.hpp"
#include "sys/error.hpp"
#include "sys/places.hpp"
#include "sys/ring.hpp"
#include "watch.skel.h"
#include "watch/audit.hpp"

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

constexpr std::uint64_t nanoseconds = 1'000'000'000;
constexpr std::size_t recordsAtOnce = 4096;

std::uint64_t sinceBoot()
{
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * nanoseconds + static_cast<std::uint64_t>(time.tv_nsec);
}

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
    constexpr std::array names = {"tracepoints", "hooks", "audit", "none"};
    return names[static_cast<std::size_t>(source)];
}

struct Watcher::Programs {
    struct Destroy {
        void operator()(watch_bpf* skeleton) const { watch_bpf__destroy(skeleton); }
        void operator()(bpf_link* link) const { bpf_link__destroy(link); }
    };
    template <typename Object>
    using Owned = std::unique_ptr<Object, Destroy>;

    Listener listener;
    std::chrono::steady_clock::time_point until;  // of the wait under way
    std::uint64_t toldUntil = 0, lastEvent = 0;
    Source source = Source::hooks;
    std::string why;
    std::set<Source> useless;  // which `why` is about
    std::vector<std::string> blind;
    bool selector = true;
    sys::Fd containers, tasks;
    std::uint32_t containersId = 0;
    Owned<watch_bpf> skeleton;
    std::vector<Owned<bpf_link>> links;
    std::optional<sys::Ring> ring;
    std::uint64_t lostBefore = 0;
    std::map<std::uint64_t, std::uint64_t> lostOf, unjudgedOf;  // by cgroup id, as told already

    // Of audit; what BPF programs tell, they count themselves.
    struct Told {
        std::uint64_t second = 0;
        std::uint32_t told = 0;
        std::uint64_t lost = 0;  // since it was asked
    };
    std::uint32_t share = 0;
    std::optional<AuditSocket> records;
    std::optional<AuditJoin> join;
    std::map<std::uint64_t, Told> toldOf;          // by cgroup id
    std::map<std::uint64_t, std::uint32_t> named;  // likewise, without a selector: entries of who is there
    std::uint64_t droppedBefore = 0, nobodysBefore = 0, strangeBefore = 0, overrunsBefore = 0;

    void open(const Plan& plan);
    void choose(const Plan& plan);
    std::string chooseDenials(const std::optional<Types>& types, Source wanted, const std::string& without);
    bool enableTracepoints(const Types& types);
    bool enableHooks(const Types& types);
    void rule(Source out, const std::string& reason);
    void start(const Plan& plan);
    void openRecords();
    void deny(const oll_seen& event);
    std::optional<Owner> ownerOf(pid_t pid) const;
    std::optional<Owner> launchedOwnerOf(pid_t pid) const;
    bool readRecords();
    void addLostRecords(std::vector<Lost>& found, const std::set<std::uint64_t>& containers);
    void chooseAccesses(const Types& types, Sight sight);
    void cannotSee(const std::string& what);
    sys::Fd aimAt(const applier::Telling& telling);
    void enable(const char* name);
    void attach();
    std::uint64_t missed() const;
    // False: there is no more time.
    bool take(const void* data, std::size_t size);
    bool readRing();
};

void Watcher::Programs::open(const Plan& plan)
{
    skeleton.reset(watch_bpf__open());
    if (!skeleton) {
        throw sys::errnoError("open BPF object");
    }
    skeleton->rodata->share_limit = plan.share;
    skeleton->rodata->use_limit = plan.sight == Sight::accesses ? plan.share : plan.share * accessesPerEvent;
    skeleton->rodata->learning = plan.sight == Sight::accesses ? 1 : 0;
    skeleton->rodata->without_selector = selector ? 0 : 1;
    for (const char* name : unusedMaps) {
        bpf_map__set_autocreate(mapOf(*skeleton, name), false);
    }
    const std::array kept = {containers.get(), tasks.get()};
    for (std::size_t i = 0; i < pinnedMaps.size(); ++i) {
        bpf_map* const map = mapOf(*skeleton, pinnedMaps[i]);
        if (selector && bpf_map__reuse_fd(map, kept[i]) != 0) {
            throw sys::errnoError(sys::pinned(pinnedMaps[i]));
        }
    }
    if (!selector) {
        bpf_map__set_max_entries(skeleton->maps.containers, 1);  // an empty one of our own, as that of tasks
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

std::string Watcher::Programs::chooseDenials(const std::optional<Types>& types, Source wanted,
                                             const std::string& without)
{
    if (wanted == Source::audit) {
        return AuditSocket::obstacle();
    }
    if (!types) {
        return without;
    }
    if (wanted == Source::tracepoints) {
        return enableTracepoints(*types) ? "" : "this kernel has no tracepoints of Landlock's (Linux 7.3)";
    }
    // libbpf says no more than "Invalid argument" then.
    if (!types->haveFunction("bpf_task_from_pid")) {
        return "this kernel has no bpf_task_from_pid (Linux 6.2)";
    }
    return enableHooks(*types) ? "" : "this kernel's type information names none of Landlock's hooks";
}

// The better ones first, but for those that were of no use.
void Watcher::Programs::choose(const Plan& plan)
{
    std::optional<Types> types;
    std::string without;
    try {
        types.emplace();
    } catch (const sys::Error& error) {
        if (selector) {
            throw;
        }
        without = error.what();
    }
    if (plan.sight == Sight::denials) {
        source = Source::none;
        for (const Source one : {Source::tracepoints, Source::hooks, Source::audit}) {
            if (source != Source::none || (plan.source && *plan.source != one) || useless.contains(one)) {
                continue;
            }
            const std::string reason = chooseDenials(types, one, without);
            reason.empty() ? static_cast<void>(source = one) : rule(one, reason);
        }
        if (source == Source::none && (selector || plan.source)) {
            throw sys::Error("denials cannot be seen here: " + why);
        }
        if (source == Source::none) {
            blind = {"denials"};
        }
    }
    if (types && selector) {
        chooseAccesses(*types, plan.sight);
    }
}

// It is of no use here, for that reason.
void Watcher::Programs::rule(Source out, const std::string& reason)
{
    useless.insert(out);
    why += (why.empty() ? "" : "; ") + std::string(nameOf(out)) + ": " + reason;
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

bool Watcher::Programs::enableTracepoints(const Types& types)
{
    if (!std::ranges::all_of(tracepoints,
                             [&types](const std::string& name) { return types.haveTracepoint("landlock_" + name); })) {
        return false;
    }
    std::ranges::for_each(tracepoints, [this](const char* name) { enable(name); });
    return true;
}

bool Watcher::Programs::enableHooks(const Types& types)
{
    bool any = false;
    for (const Hook& hook : hooks) {
        if (types.haveFunction(hook.function)) {
            any = true;
            enable(hook.program);
        } else if (hook.program == std::string_view("file_open") && kernelNames(hook.function)) {
            std::ranges::for_each(probes, [this](const char* name) { enable(name); });
        } else {
            cannotSee(hook.sees);
        }
    }
    return any;
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

bool Watcher::Programs::take(const void* data, std::size_t size)
{
    std::uint32_t kind = 0;
    std::memcpy(&kind, data, sizeof kind);
    if (kind == OLL_SEEN_CONTAINER && size >= sizeof(oll_seen_container)) {
        listener.container(*static_cast<const oll_seen_container*>(data));
    } else if (kind != OLL_SEEN_CONTAINER && size >= sizeof(oll_seen)) {
        const auto& event = *static_cast<const oll_seen*>(data);
        lastEvent = event.time;
        if (join && kind == OLL_SEEN_APPLIED) {
            join->applied(static_cast<pid_t>(event.tgid), {event.cgroup_id, event.entries & ~event.audited});
        }
        listener.event(event);
    }
    return std::chrono::steady_clock::now() < until;
}

bool Watcher::Programs::readRing()
{
    return ring->read([this](const void* data, std::size_t size) { return take(data, size); });
}

// By the cgroup of the process, or one above it; std::nullopt: it is gone.
std::optional<Owner> Watcher::Programs::launchedOwnerOf(pid_t pid) const
{
    try {
        const container::Process process(pid);
        const container::Cgroup cgroup = container::Cgroup::of(process);
        sys::Fd directory(dup(cgroup.directory.get()));
        for (unsigned level = cgroup.level; level > 0; --level) {
            struct stat st {};
            if (fstat(directory.get(), &st) != 0) {
                return std::nullopt;
            }
            if (const auto found = named.find(st.st_ino); found != named.end()) {
                return Owner{found->first, found->second};
            }
            directory = sys::Fd(openat(directory.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        }
        return Owner{};
    } catch (const sys::Error&) {
        return std::nullopt;
    }
}

std::optional<Owner> Watcher::Programs::ownerOf(pid_t pid) const
{
    if (!selector) {
        return launchedOwnerOf(pid);
    }
    const sys::Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    const int key = process.get();
    oll_task task{};
    if (!process) {
        return std::nullopt;
    }
    Owner owner;
    if (bpf_map_lookup_elem(tasks.get(), &key, &task) == 0) {
        for (const oll_membership& member : task.of) {
            const std::uint32_t entries = member.applied & ~(member.owed | member.audited);
            if (member.generation != 0 && entries != 0) {
                owner = {member.cgroup_id, entries};
            }
        }
    } else if (errno != ENOENT) {
        return std::nullopt;
    }
    return owner;
}

// To the bounds of its container's share.
void Watcher::Programs::deny(const oll_seen& event)
{
    Told& told = toldOf[event.cgroup_id];
    if (event.time - told.second >= nanoseconds) {
        told.second = event.time;
        told.told = 0;
    }
    ++told.told <= share ? listener.event(event) : static_cast<void>(++told.lost);
}

void Watcher::Programs::openRecords()
{
    records.emplace();
    droppedBefore = AuditSocket::dropped();
    join.emplace(AuditJoin::Reader{.ownerOf = [this](pid_t pid) { return ownerOf(pid); },
                                   .denied = [this](const oll_seen& event) { deny(event); }});
}

// What the selector tells is read between, so that who was restricted is known before what was denied to him is looked
// at. False: there are more.
bool Watcher::Programs::readRecords()
{
    const std::vector<AuditSocket::Message> read = records->read(recordsAtOnce);
    if (ring) {
        readRing();
    }
    for (const AuditSocket::Message& message : read) {
        join->take(message.type, message.text, sinceBoot());
    }
    join->settle(sinceBoot());
    return read.size() < recordsAtOnce;
}

void Watcher::Programs::addLostRecords(std::vector<Lost>& found, const std::set<std::uint64_t>& containers)
{
    for (auto one = toldOf.begin(); one != toldOf.end();) {
        if (one->second.lost != 0) {
            found.push_back({.cgroupId = one->first, .count = std::exchange(one->second.lost, 0), .share = true});
        }
        one = containers.contains(one->first) ? std::next(one) : toldOf.erase(one);
    }
    const auto add = [&found](std::uint64_t now, std::uint64_t& before, const char* why) {
        if (now > before) {
            found.push_back({.count = now - before, .why = why});
        }
        before = now;
    };
    add(AuditSocket::dropped(), droppedBefore,
        "records that audit says it has lost, of whatever they were, and be it to the kernel's log alone");
    add(join->nobodys(), nobodysBefore, "denials by Landlock in a domain of which nothing says whose it is");
    add(join->strange(), strangeBefore, "audit records of Landlock that are not understood");
    add(records->overruns(), overrunsBefore, "times that audit records came faster than they were read");
}

void Watcher::Programs::start(const Plan& plan)
{
    open(plan);
    choose(plan);
    if (source == Source::audit) {
        openRecords();
    }
    if (!selector && (source == Source::audit || source == Source::none)) {
        skeleton.reset();
        return;
    }
    // The targets must stay open until the load.
    std::vector<sys::Fd> targets;
    if (selector) {
        for (const applier::Telling& telling : applier::tellingPrograms(*plan.applier)) {
            targets.push_back(aimAt(telling));
        }
    }
    applier::loadBpf("load BPF programs that look on", [this] { return watch_bpf__load(skeleton.get()); });
    ring.emplace(bpf_map__fd(skeleton->maps.seen), OLL_SEEN_RING, "read what BPF programs tell");
    attach();
}

Watcher::Watcher(const Plan& plan, Listener listener) : programs_(std::make_unique<Programs>())
{
    Programs& programs = *programs_;
    programs.listener = std::move(listener);
    programs.share = plan.share;
    programs.selector = plan.applier.has_value();
    if (programs.selector) {
        programs.containers = sys::openPin(sys::pinned("containers"));
        programs.tasks = sys::openPin(sys::pinned("tasks"));
        programs.containersId = idOf(programs.containers.get());
    }
    for (bool started = false; !started;) {
        try {
            programs.start(plan);
            started = true;
        } catch (const sys::Error& error) {
            // Without a selector there may be no BPF at all.
            if (programs.selector || plan.source || programs.source == Source::none ||
                programs.useless.contains(programs.source)) {
                throw;
            }
            const std::string_view said = error.what();
            programs.rule(programs.source, std::string(said.substr(0, said.find('\n'))));
            programs.blind.clear();
            programs.links.clear();
            programs.ring.reset();
            programs.skeleton.reset();
        }
    }
}

Watcher::~Watcher() = default;

Source Watcher::source() const
{
    return programs_->source;
}

const std::string& Watcher::why() const
{
    return programs_->why;
}

const std::vector<std::string>& Watcher::blind() const
{
    return programs_->blind;
}

bool Watcher::wait(std::chrono::milliseconds timeout, int other)
{
    programs_->until = std::chrono::steady_clock::now() + timeout;
    const int records = programs_->records ? programs_->records->fd() : -1;
    const int ring = programs_->ring ? bpf_map__fd(programs_->skeleton->maps.seen) : -1;
    std::array<pollfd, 3> polled{pollfd{ring, POLLIN, 0}, pollfd{records, POLLIN, 0}, pollfd{other, POLLIN, 0}};
    // Records wait a little for who did it.
    const auto most = records < 0 ? timeout : std::min(timeout, std::chrono::milliseconds(100));
    if (poll(polled.data(), polled.size(), static_cast<int>(most.count())) < 0 && errno != EINTR) {
        throw sys::errnoError("wait for what is told");
    }
    if (polled[2].revents != 0) {
        return false;  // what the caller learns there may be about what waits here
    }
    const std::uint64_t began = sinceBoot();
    std::uint64_t recordsUntil = began;
    if (records >= 0) {
        recordsUntil = programs_->readRecords() ? programs_->join->toldUntil(began) : programs_->toldUntil;
    }
    if (!programs_->ring) {
        programs_->toldUntil = recordsUntil;
        return false;
    }
    const bool all = programs_->readRing();
    programs_->toldUntil = std::min(recordsUntil, all ? began : programs_->lastEvent);
    return !all;
}

std::uint64_t Watcher::toldUntil() const
{
    return programs_->toldUntil;
}

void Watcher::name(std::uint64_t cgroupId, pid_t init, std::uint32_t entries)
{
    if (programs_->join) {
        programs_->join->applied(init, {cgroupId, entries});
    }
    programs_->named.insert_or_assign(cgroupId, entries);
    const std::uint32_t one = 1;
    if (programs_->skeleton &&
        bpf_map_update_elem(bpf_map__fd(programs_->skeleton->maps.launched), &cgroupId, &one, BPF_ANY) != 0) {
        throw sys::errnoError("name a container to what looks on");
    }
}

std::vector<Lost> Watcher::lost(const std::set<std::uint64_t>& containers)
{
    std::vector<Lost> found;
    std::erase_if(programs_->named, [&containers](const auto& one) { return !containers.contains(one.first); });
    if (programs_->join) {
        programs_->addLostRecords(found, containers);
        programs_->join->keepOnly(containers);
    }
    if (!programs_->skeleton) {
        return found;
    }
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
    for (const std::uint64_t id : keysOf(bpf_map__fd(programs_->skeleton->maps.launched))) {
        if (!containers.contains(id)) {
            bpf_map_delete_elem(bpf_map__fd(programs_->skeleton->maps.launched), &id);
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
