// SPDX-License-Identifier: Apache-2.0
#include "watch/watcher.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "applier/programs.hpp"
#include "container/process.hpp"
#include "sys/bpf.hpp"
#include "sys/clock.hpp"
#include "sys/error.hpp"
#include "sys/places.hpp"
#include "sys/ring.hpp"
#include "watch.skel.h"
#include "watch/audit_denials.hpp"
#include "watch/sights.hpp"

namespace watch {

namespace {

// Of maps.h; the object has no others of the selector's.
constexpr std::array pinnedMaps = {"containers", "tasks"};
constexpr std::array unusedMaps = {"node", "namespaces", "programs", "strays"};

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

    std::optional<AuditDenials> records;
    std::map<std::uint64_t, std::uint32_t> named;  // by cgroup id, without a selector: entries of who is there

    void open(const Plan& plan);
    void choose(const Plan& plan);
    std::string chooseDenials(const std::optional<KernelTypes>& types, Source wanted, const std::string& without);
    void rule(Source out, const std::string& reason);
    void start(const Plan& plan);
    std::optional<Owner> ownerOf(pid_t pid) const;
    std::optional<Owner> launchedOwnerOf(pid_t pid) const;
    sys::Fd aimAt(const applier::Telling& telling);
    void enable(const char* name);
    void enableAll(const Sights& sights);
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

void Watcher::Programs::enableAll(const Sights& sights)
{
    std::ranges::for_each(sights.programs, [this](const std::string& name) { enable(name.c_str()); });
    for (const std::string& what : sights.blind) {
        if (std::ranges::find(blind, what) == blind.end()) {
            blind.push_back(what);
        }
    }
}

std::string Watcher::Programs::chooseDenials(const std::optional<KernelTypes>& types, Source wanted,
                                             const std::string& without)
{
    if (wanted == Source::audit) {
        return AuditSocket::obstacle();
    }
    if (!types) {
        return without;
    }
    const bool byTracepoints = wanted == Source::tracepoints;
    // libbpf says no more than "Invalid argument" then; and tracepoints are a newer kernel's.
    if (!byTracepoints && !types->haveFunction("bpf_task_from_pid")) {
        return "this kernel has no bpf_task_from_pid (Linux 6.2)";
    }
    const std::optional<Sights> found = byTracepoints ? denialsByTracepoints(*types) : denialsByHooks(*types);
    if (!found) {
        return byTracepoints ? "this kernel has no tracepoints of Landlock's (Linux 7.3)"
                             : "this kernel's type information names none of Landlock's hooks";
    }
    enableAll(*found);
    return "";
}

// The better ones first, but for those that were of no use.
void Watcher::Programs::choose(const Plan& plan)
{
    std::optional<KernelTypes> types;
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
            if (reason.empty()) {
                source = one;
            } else {
                rule(one, reason);
            }
        }
        if (source == Source::none && (selector || plan.source)) {
            throw sys::Error("denials cannot be seen here: " + why);
        }
        if (source == Source::none) {
            blind = {"denials"};
        }
    }
    if (types && selector) {
        enableAll(plan.sight == Sight::accesses ? accessesOfAll(*types) : accessesOfAudited(*types));
    }
}

// It is of no use here, for that reason.
void Watcher::Programs::rule(Source out, const std::string& reason)
{
    useless.insert(out);
    why += (why.empty() ? "" : "; ") + std::string(nameOf(out)) + ": " + reason;
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
        if (records && kind == OLL_SEEN_APPLIED) {
            records->applied(static_cast<pid_t>(event.tgid), {event.cgroup_id, event.entries & ~event.audited});
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

void Watcher::Programs::start(const Plan& plan)
{
    open(plan);
    choose(plan);
    if (source == Source::audit) {
        records.emplace(AuditJoin::Reader{.ownerOf = [this](pid_t pid) { return ownerOf(pid); },
                                          .denied = [this](const oll_seen& event) { listener.event(event); }},
                        plan.share);
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
    const auto began = static_cast<std::uint64_t>(sys::now(CLOCK_BOOTTIME));
    std::uint64_t recordsUntil = began;
    if (records >= 0) {
        // Who was restricted is to be known before what was denied to him is looked at.
        const bool allRead = programs_->records->read([this] {
            if (programs_->ring) {
                programs_->readRing();
            }
        });
        recordsUntil = allRead ? programs_->records->toldUntil(began) : programs_->toldUntil;
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
    if (programs_->records) {
        programs_->records->applied(init, {cgroupId, entries});
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
    std::erase_if(programs_->named, [&containers](const auto& one) { return !containers.contains(one.first); });
    std::vector<Lost> found = programs_->records ? programs_->records->lost(containers) : std::vector<Lost>();
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
            found.push_back({.cgroupId = id, .count = share.lost - told, .share = true});
            told = share.lost;
        }
        std::uint64_t& unjudged = programs_->unjudgedOf[id];
        if (share.unjudged > unjudged) {
            found.push_back({.cgroupId = id, .count = share.unjudged - unjudged, .share = true, .accesses = true});
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
        found.push_back({.count = full - programs_->lostBefore});
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
