// SPDX-License-Identifier: Apache-2.0
// What Landlock says of denials in the kernel's audit records, from Linux 6.15 on; and whose they are, by the process
// that made the domain. The operator has to have enabled audit: nothing here does.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpf/seen.h"
#include "sys/fd.hpp"

namespace watch {

// A record as the kernel writes it: "audit(SECONDS.MILLISECONDS:SERIAL): name=value …".
struct AuditRecord {
    std::uint64_t serial = 0;                                 // of the event that it belongs to
    std::vector<std::pair<std::string, std::string>> fields;  // what is written as hex, as it was

    const std::string* find(std::string_view name) const;
};

// std::nullopt: it is none. Whatever is in it, what comes of it is no longer than it.
std::optional<AuditRecord> parseAudit(std::string_view text);

// What was denied, of a record of Landlock's; std::nullopt: it is not understood. Time, process and container are left
// to others.
std::optional<oll_seen> deniedOf(const AuditRecord& record);

// The netlink socket that the kernel tells records by. What it says is read without root of any container.
class AuditSocket {
public:
    // Why there are no records to be had here: audit is not enabled, say; empty: there are.
    static std::string obstacle();

    // Throws sys::Error.
    AuditSocket();

    int fd() const { return socket_.get(); }
    struct Message {
        std::uint16_t type = 0;
        std::string text;
    };
    // What there is, at most `limit`. Throws sys::Error. What the socket had no room for is counted as overruns().
    std::vector<Message> read(std::size_t limit);
    std::uint64_t overruns() const { return overruns_; }
    // How many records audit itself has dropped since the boot: of its backlog or rate limit. Throws sys::Error.
    static std::uint64_t dropped();

private:
    sys::Fd socket_;
    std::uint64_t overruns_ = 0;
};

struct Owner {
    std::uint64_t cgroupId = 0;  // 0: of no container of ours
    std::uint32_t entries = 0;
};

// Joins records to containers. Keeps as much for each container as the kernel lets it have in a second, and no more.
class AuditJoin {
public:
    struct Reader {
        // Of a process that lives; std::nullopt: it cannot be said.
        std::function<std::optional<Owner>(pid_t pid)> ownerOf;
        std::function<void(const oll_seen& event)> denied;
    };
    explicit AuditJoin(Reader reader) : reader_(std::move(reader)) {}

    // These entries were applied to the process, which is so before anything is denied to it.
    void applied(pid_t pid, const Owner& owner);
    // Other containers are gone.
    void keepOnly(const std::set<std::uint64_t>& containers);

    // `now`: CLOCK_BOOTTIME, nanoseconds, as the time of the event.
    void take(std::uint16_t type, std::string_view text, std::uint64_t now);
    // What waits for who did it no longer than it should.
    void settle(std::uint64_t now);

    // What was taken from before that time does not wait any more; `now` at most.
    std::uint64_t toldUntil(std::uint64_t now) const;

    // Denials of which it is not known whose they are; records of Landlock's that are not understood.
    std::uint64_t nobodys() const { return nobodys_; }
    std::uint64_t strange() const { return strange_; }

private:
    struct Pending {
        std::uint64_t serial = 0;
        oll_seen event{};
        bool acted = false;  // who did it is known
    };

    void takeDomain(const AuditRecord& record);
    void takeCall(const AuditRecord& record);
    void tell(Pending& pending);
    std::optional<Owner> ownerOf(const Pending& pending) const;
    void keepDomain(std::uint64_t domain, const Owner& owner);

    Reader reader_;
    std::map<pid_t, Owner> makers_;
    std::map<std::uint64_t, Owner> domains_;
    std::map<std::uint64_t, std::deque<pid_t>> makersOf_;           // by cgroup id, the oldest first
    std::map<std::uint64_t, std::deque<std::uint64_t>> domainsOf_;  // likewise
    std::deque<Pending> pending_;
    std::uint64_t nobodys_ = 0, strange_ = 0;
};

}  // namespace watch
