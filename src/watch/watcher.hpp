// SPDX-License-Identifier: Apache-2.0
// Looks on while the selector and Landlock decide: BPF programs (bpf/watch.bpf.c) that live as long as this object, and
// that nothing waits for.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
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
};

std::string_view nameOf(Source source);

// What is told: denials, or every access that restricted processes make (OLL_SEEN_USED), each of them once.
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
    bool share = false;  // it was more than a share; else there was no room for it
};

class Watcher {
public:
    // `share`: of each container, events a second. Needs a loaded selector, root, and the kernel's type information.
    // Throws sys::Error.
    Watcher(oll_applier applier, std::uint32_t share, Listener listener, Sight sight = Sight::denials);
    ~Watcher();
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

    Source source() const;
    // What this kernel gives no sight of: "truncate", say. In the words of the rights.
    const std::vector<std::string>& blind() const;

    // Waits until something was told, or for `timeout`, and calls the listener for all of it; while ever more comes,
    // for as long at most. What that throws comes through. True: there is more to be read. Throws sys::Error.
    bool wait(std::chrono::milliseconds timeout);

    // Since it was asked last. What is kept of containers for that, is kept of these only from here on.
    std::vector<Lost> lost(const std::set<std::uint64_t>& containers);

    // The cgroup ids of the containers that have an entry.
    std::set<std::uint64_t> containers() const;
    // Its record; false: it has none any more.
    bool record(std::uint64_t cgroupId, oll_record& record) const;
    // False: somebody has unloaded the selector meanwhile, or loaded it anew.
    bool current() const;

private:
    struct Programs;
    std::unique_ptr<Programs> programs_;
};

}  // namespace watch
