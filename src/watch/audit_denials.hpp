// SPDX-License-Identifier: Apache-2.0
// Denials by the kernel's audit records: read, joined to containers, and told to the bounds of each container's share.
// What BPF programs tell, they bound and count themselves.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "watch/audit.hpp"

namespace watch {

struct Lost;  // watcher.hpp

class AuditDenials {
public:
    // `share`: of each container, events a second. Throws sys::Error.
    AuditDenials(AuditJoin::Reader reader, std::uint32_t share);
    AuditDenials(const AuditDenials&) = delete;
    AuditDenials& operator=(const AuditDenials&) = delete;

    // Readable when records have come.
    int fd() const { return socket_.fd(); }
    // As AuditJoin has it.
    void applied(pid_t pid, const Owner& owner) { join_.applied(pid, owner); }

    // Reads what there is, calls `before`, and takes what it has read. False: there are more. Throws sys::Error, and
    // what the reader throws.
    bool read(const std::function<void()>& before);
    // As AuditJoin has it.
    std::uint64_t toldUntil(std::uint64_t now) const { return join_.toldUntil(now); }

    // Since it was asked last. Of other containers nothing is kept from here on. Throws sys::Error.
    std::vector<Lost> lost(const std::set<std::uint64_t>& containers);

private:
    struct Told {
        std::uint64_t second = 0;  // since when: CLOCK_BOOTTIME, nanoseconds
        std::uint32_t told = 0;    // in it
        std::uint64_t lost = 0;    // since it was asked
    };
    // Counts that only grow, as told already.
    struct Before {
        std::uint64_t dropped = 0, nobodys = 0, strange = 0, overruns = 0;
    };

    void deny(const oll_seen& event);

    std::function<void(const oll_seen& event)> denied_;
    std::uint32_t share_;
    AuditSocket socket_;
    AuditJoin join_;
    std::map<std::uint64_t, Told> told_;  // by cgroup id
    Before before_;
};

}  // namespace watch
