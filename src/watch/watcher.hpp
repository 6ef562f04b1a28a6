// SPDX-License-Identifier: Apache-2.0
// Looks on while the selector and Landlock decide: BPF programs (bpf/watch.bpf.c) that live as long as this object, and
// that nothing waits for.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/seen.h"

namespace watch {

// Where denials are seen.
enum class Source : std::uint8_t {
    tracepoints,  // Landlock's own: Linux 7.3
    hooks,        // what Landlock's hooks return
    audit,        // Landlock's records in the kernel's audit: Linux 6.15
    none,         // nowhere: without a selector only
};

std::string_view nameOf(Source source);

// What is told: denials, and the accesses of those whom audited entries select (OLL_SEEN_USED); or the accesses of all
// restricted processes. Each access is told once.
enum class Sight : std::uint8_t { denials, accesses };

struct Listener {
    std::function<void(const oll_seen& event)> event;
    // Comes before a container's first event, perhaps more than once.
    std::function<void(const oll_seen_container& container)> container;
};

// What was not told.
struct Lost {
    std::uint64_t cgroupId = 0;  // 0: of no container that is there, or whose it was is not known
    std::uint64_t count = 0;
    bool share = false;     // it was more than a share; else there was no room for it
    bool accesses = false;  // of accesses, which have a share of their own
    std::string why = {};   // another reason than those
};

// A container's share of accesses, which are judged one by one, where it has another of what is told of it.
inline constexpr std::uint32_t accessesPerEvent = 4;

struct Plan {
    std::optional<oll_applier> applier;  // whose selector tells; none: launch, where nothing does
    std::uint32_t share = 0;             // of each container, events a second
    Sight sight = Sight::denials;
    std::optional<Source> source = {};  // none: the best that there is
};

class Watcher {
public:
    // Needs root, the selector of the plan loaded, and the kernel's type information, but for audit without a
    // selector. Throws sys::Error.
    Watcher(const Plan& plan, Listener listener);
    ~Watcher();
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

    Source source() const;
    // Why no better one; empty: there is none.
    const std::string& why() const;
    // What this kernel gives no sight of: "truncate", say. In the words of the rights.
    const std::vector<std::string>& blind() const;

    // Waits until something was told, or for `timeout`, and calls the listener for all of it; while ever more comes,
    // for as long at most. What that throws comes through. Ends early, too, when `other` has something to be read.
    // True: there is more of ours. Throws sys::Error.
    bool wait(std::chrono::milliseconds timeout, int other = -1);

    // What happened before has been told, or is lost: CLOCK_BOOTTIME, nanoseconds.
    std::uint64_t toldUntil() const;

    // Without a selector: the container with this cgroup has got its sandbox, by this process. What is told of a cgroup
    // that nobody has named has the id of the very cgroup that the process was in.
    void name(std::uint64_t cgroupId, pid_t init, std::uint32_t entries);

    // Since it was asked last. What is kept of containers for that, is kept of these only from here on.
    std::vector<Lost> lost(const std::set<std::uint64_t>& containers);

    // What follows is for where there is a selector. The cgroup ids of the containers that have an entry.
    std::set<std::uint64_t> containers() const;
    // What `container` of the listener is told of it; false: it has no entry any more.
    bool describe(std::uint64_t cgroupId, oll_seen_container& container) const;
    // False: somebody has unloaded the selector meanwhile, or loaded it anew.
    bool current() const;

private:
    struct Programs;
    std::unique_ptr<Programs> programs_;
};

}  // namespace watch
