// SPDX-License-Identifier: Apache-2.0
#include "watch/audit_denials.hpp"

#include <iterator>
#include <utility>

#include "sys/clock.hpp"
#include "watch/watcher.hpp"

namespace watch {

namespace {

constexpr std::uint64_t second = 1'000'000'000;  // nanoseconds
constexpr std::size_t recordsAtOnce = 4096;

std::uint64_t sinceBoot()
{
    return static_cast<std::uint64_t>(sys::now(CLOCK_BOOTTIME));
}

}  // namespace

AuditDenials::AuditDenials(AuditJoin::Reader reader, std::uint32_t share)
    : denied_(std::move(reader.denied)),
      share_(share),
      join_(AuditJoin::Reader{.ownerOf = std::move(reader.ownerOf),
                              .denied = [this](const oll_seen& event) { deny(event); }}),
      before_{.dropped = AuditSocket::dropped()}
{
}

void AuditDenials::deny(const oll_seen& event)
{
    Told& told = told_[event.cgroup_id];
    if (event.time - told.second >= second) {
        told.second = event.time;
        told.told = 0;
    }
    if (++told.told <= share_) {
        denied_(event);
    } else {
        ++told.lost;
    }
}

bool AuditDenials::read(const std::function<void()>& before)
{
    const std::vector<AuditSocket::Message> messages = socket_.read(recordsAtOnce);
    before();
    for (const AuditSocket::Message& message : messages) {
        join_.take(message.type, message.text, sinceBoot());
    }
    join_.settle(sinceBoot());
    return messages.size() < recordsAtOnce;
}

std::vector<Lost> AuditDenials::lost(const std::set<std::uint64_t>& containers)
{
    std::vector<Lost> found;
    for (auto one = told_.begin(); one != told_.end();) {
        if (one->second.lost != 0) {
            found.push_back({.cgroupId = one->first, .count = std::exchange(one->second.lost, 0), .share = true});
        }
        one = containers.contains(one->first) ? std::next(one) : told_.erase(one);
    }
    const auto add = [&found](std::uint64_t now, std::uint64_t& before, const char* why) {
        if (now > before) {
            found.push_back({.count = now - before, .why = why});
        }
        before = now;
    };
    add(AuditSocket::dropped(), before_.dropped,
        "records that audit says it has lost, of whatever they were, and be it to the kernel's log alone");
    add(join_.nobodys(), before_.nobodys, "denials by Landlock in a domain of which nothing says whose it is");
    add(join_.strange(), before_.strange, "audit records of Landlock that are not understood");
    add(socket_.overruns(), before_.overruns, "times that audit records came faster than they were read");
    join_.keepOnly(containers);
    return found;
}

}  // namespace watch
