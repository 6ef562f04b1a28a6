// SPDX-License-Identifier: Apache-2.0
#include "watch/audit.hpp"

#include <linux/audit.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "landlock/access.hpp"
#include "landlock/ruleset.hpp"
#include "sys/error.hpp"

namespace watch {

namespace {

// Of linux/audit.h, which is older on the build machine.
constexpr std::uint16_t landlockAccess = 1423;
constexpr std::uint16_t landlockDomain = 1424;

constexpr int receiveBytes = 1 << 25;
constexpr std::size_t longestRecord = 16384;
// What is kept of each container, and of domains that are nobody's.
constexpr std::size_t keptOfOne = 4096;
constexpr std::size_t longestQueue = 65536;
// The record of the call follows at its end, where audit has any rule; an access that waits takes longer to be denied.
constexpr std::uint64_t patience = 100'000'000;

template <typename Number>
bool readNumber(std::string_view text, Number& number, int base = 10)
{
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number, base);
    return error == std::errc() && rest == end;
}

bool isHex(std::string_view text)
{
    return !text.empty() && text.size() % 2 == 0 &&
           std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); });
}

std::string fromHex(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        unsigned byte = 0;
        readNumber(text.substr(i, 2), byte, 16);
        out += static_cast<char>(byte);
    }
    return out;
}

// What others have named: these come in quotes, or else as hex.
bool isName(std::string_view field)
{
    constexpr std::array names = {"path", "name", "comm", "exe", "ocomm"};
    return std::ranges::find(names, field) != names.end();
}

template <std::size_t size>
void copyWhole(char (&to)[size], const std::string* from)
{
    // Half a path is none.
    if (from != nullptr && from->size() < size) {
        std::memcpy(to, from->c_str(), from->size() + 1);
    }
}

bool addBlocker(oll_seen& event, std::string_view blocker)
{
    constexpr std::array kinds = {std::pair{"fs.", landlock::Kind::fs}, std::pair{"net.", landlock::Kind::net},
                                  std::pair{"scope.", landlock::Kind::scope}};
    if (blocker == "ptrace") {
        event.about = OLL_ABOUT_PTRACE;
        return true;
    }
    if (blocker == "fs.change_topology") {
        event.about = OLL_ABOUT_TOPOLOGY;
        return true;
    }
    for (const auto& [prefix, kind] : kinds) {
        if (!blocker.starts_with(prefix)) {
            continue;
        }
        for (const landlock::Right& right : landlock::rights) {
            if (right.kind == kind && right.name == blocker.substr(std::strlen(prefix))) {
                event.about = kind == landlock::Kind::fs    ? OLL_ABOUT_FS
                              : kind == landlock::Kind::net ? OLL_ABOUT_NET
                                                            : OLL_ABOUT_SCOPE;
                event.rights |= right.mask();
                return true;
            }
        }
    }
    return false;
}

sys::Fd openAudit()
{
    sys::Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT));
    if (!fd && errno == EPROTONOSUPPORT) {
        throw sys::Error("this kernel has no audit, or was booted with audit=0");
    }
    return fd;
}

// Throws sys::Error.
audit_status statusOf()
{
    const sys::Fd fd = openAudit();
    struct {
        nlmsghdr header;
    } request{};
    request.header = {.nlmsg_len = sizeof request,
                      .nlmsg_type = AUDIT_GET,
                      .nlmsg_flags = NLM_F_REQUEST,
                      .nlmsg_seq = 1,
                      .nlmsg_pid = 0};
    if (!fd || send(fd.get(), &request, sizeof request, 0) < 0) {
        throw sys::errnoError("ask the kernel whether audit is enabled");
    }
    alignas(nlmsghdr) std::array<char, 4096> answer{};
    pollfd ready{.fd = fd.get(), .events = POLLIN, .revents = 0};
    const ssize_t length =
        poll(&ready, 1, 1000) == 1 ? recv(fd.get(), answer.data(), answer.size(), MSG_DONTWAIT) : ssize_t{0};
    nlmsghdr header{};
    if (length < static_cast<ssize_t>(sizeof header)) {
        throw sys::Error("the kernel does not say whether audit is enabled");
    }
    std::memcpy(&header, answer.data(), sizeof header);
    const std::size_t size = static_cast<std::size_t>(length) - sizeof header;
    if (header.nlmsg_type == NLMSG_ERROR && size >= sizeof(nlmsgerr)) {
        nlmsgerr error{};
        std::memcpy(&error, answer.data() + sizeof header, sizeof error);
        throw sys::errnoError("ask the kernel whether audit is enabled", -error.error);
    }
    audit_status status{};
    if (header.nlmsg_type != AUDIT_GET || size == 0) {
        throw sys::Error("the kernel does not say whether audit is enabled");
    }
    // It has grown with the years.
    std::memcpy(&status, answer.data() + sizeof header, std::min(size, sizeof status));
    return status;
}

}  // namespace

const std::string* AuditRecord::find(std::string_view name) const
{
    const auto found = std::ranges::find_if(fields, [name](const auto& field) { return field.first == name; });
    return found == fields.end() ? nullptr : &found->second;
}

std::optional<AuditRecord> parseAudit(std::string_view text)
{
    constexpr std::string_view begin = "audit(";
    const std::size_t colon = text.find(':');
    const std::size_t close = text.find(')');
    AuditRecord record;
    if (!text.starts_with(begin) || colon == std::string_view::npos || close == std::string_view::npos ||
        close < colon || !readNumber(text.substr(colon + 1, close - colon - 1), record.serial)) {
        return std::nullopt;
    }
    text.remove_prefix(close + 1);
    while (!text.empty()) {
        const std::size_t start = text.find_first_not_of(std::string_view(": \n\0", 4));
        const std::size_t equals = text.find('=', start);
        if (start == std::string_view::npos || equals == std::string_view::npos) {
            break;
        }
        const std::string_view name = text.substr(start, equals - start);
        text.remove_prefix(equals + 1);
        const bool quoted = text.starts_with('"');
        const std::size_t end = quoted ? text.find('"', 1) : text.find_first_of(std::string_view(" \n\0", 3));
        if (quoted && end == std::string_view::npos) {
            return std::nullopt;
        }
        const std::string_view value = quoted ? text.substr(1, end - 1) : text.substr(0, end);
        record.fields.emplace_back(name, !quoted && isName(name) && isHex(value) ? fromHex(value) : std::string(value));
        text.remove_prefix(std::min(text.size(), quoted ? end + 1 : std::min(end, text.size())));
    }
    return record;
}

std::optional<oll_seen> deniedOf(const AuditRecord& record)
{
    const std::string* const domain = record.find("domain");
    const std::string* const blockers = record.find("blockers");
    oll_seen event{};
    event.kind = OLL_SEEN_DENIED;
    event.exact = 1;
    if (domain == nullptr || blockers == nullptr || !readNumber(*domain, event.domain, 16)) {
        return std::nullopt;
    }
    for (std::string_view rest = *blockers; !rest.empty();) {
        const std::size_t end = std::min(rest.find(','), rest.size());
        // One that we do not know may be all that was missing.
        if (!addBlocker(event, rest.substr(0, end))) {
            return std::nullopt;
        }
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (event.about == OLL_ABOUT_FS) {
        copyWhole(event.path, record.find("path"));
    }
    for (const char* field : {"src", "dest"}) {
        const std::string* const port = record.find(field);
        std::uint16_t number = 0;
        if (event.about == OLL_ABOUT_NET && port != nullptr && readNumber(*port, number)) {
            event.port = number;
        }
    }
    return event.about == 0 ? std::nullopt : std::optional(event);
}

std::string AuditSocket::obstacle()
{
    // The records came with the flags of what is to be in them.
    if (landlock::kernelAbi() < landlock::logFlagsAbi) {
        return "this kernel writes no audit records of Landlock's (Linux " +
               std::string(landlock::kernelRelease(landlock::logFlagsAbi)) + ")";
    }
    try {
        if (statusOf().enabled == 0) {
            return "audit is not enabled (`auditctl -e 1`, or audit=1 in the boot line)";
        }
        const AuditSocket socket;
    } catch (const sys::Error& error) {
        return error.what();
    }
    return "";
}

AuditSocket::AuditSocket() : socket_(openAudit())
{
    const int size = receiveBytes;
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = 1U << (AUDIT_NLGRP_READLOG - 1);
    if (!socket_ || setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0 ||
        bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        throw sys::errnoError("read audit records");
    }
}

std::vector<AuditSocket::Message> AuditSocket::read(std::size_t limit)
{
    std::vector<Message> found;
    alignas(nlmsghdr) std::array<char, longestRecord> buffer{};
    while (found.size() < limit) {
        sockaddr_nl from{};
        socklen_t size = sizeof from;
        const ssize_t length = recvfrom(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT,
                                        reinterpret_cast<sockaddr*>(&from), &size);
        if (length < 0 && errno == ENOBUFS) {
            ++overruns_;
            continue;
        }
        if (length < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        }
        if (length < 0) {
            throw sys::errnoError("read audit records");
        }
        nlmsghdr header{};
        // Others may send to a group, too.
        if (from.nl_pid != 0 || length < static_cast<ssize_t>(sizeof header)) {
            continue;
        }
        std::memcpy(&header, buffer.data(), sizeof header);
        found.push_back({header.nlmsg_type,
                         std::string(buffer.data() + sizeof header, static_cast<std::size_t>(length) - sizeof header)});
    }
    return found;
}

std::uint64_t AuditSocket::dropped()
{
    return statusOf().lost;
}

void AuditJoin::applied(pid_t pid, const Owner& owner)
{
    auto [known, isNew] = makers_.try_emplace(pid, owner);
    if (!isNew && known->second.cgroupId != owner.cgroupId) {
        // The number is used again, or the process is in both: whose a domain of it is cannot be said.
        known->second = {};
        return;
    }
    known->second.entries |= owner.entries;
    if (isNew) {
        std::deque<pid_t>& kept = makersOf_[owner.cgroupId];
        kept.push_back(pid);
        if (kept.size() > keptOfOne) {
            makers_.erase(kept.front());
            kept.pop_front();
        }
    }
}

void AuditJoin::keepDomain(std::uint64_t domain, const Owner& owner)
{
    if (!domains_.insert_or_assign(domain, owner).second) {
        return;
    }
    std::deque<std::uint64_t>& kept = domainsOf_[owner.cgroupId];
    kept.push_back(domain);
    if (kept.size() > keptOfOne) {
        domains_.erase(kept.front());
        kept.pop_front();
    }
}

void AuditJoin::keepOnly(const std::set<std::uint64_t>& containers)
{
    const auto gone = [&containers](const auto& one) { return one.first != 0 && !containers.contains(one.first); };
    for (const auto& [id, makers] : makersOf_) {
        if (id != 0 && !containers.contains(id)) {
            std::ranges::for_each(makers, [this](pid_t pid) { makers_.erase(pid); });
        }
    }
    std::erase_if(makersOf_, gone);
    for (const auto& [id, domains] : domainsOf_) {
        if (id != 0 && !containers.contains(id)) {
            std::ranges::for_each(domains, [this](std::uint64_t domain) { domains_.erase(domain); });
        }
    }
    std::erase_if(domainsOf_, gone);
}

// Comes once for each domain, with the first denial of it that is logged, and names the process that made it. That may
// have gone meanwhile, so that it is looked for among those that we were told of first.
void AuditJoin::takeDomain(const AuditRecord& record)
{
    const std::string* const status = record.find("status");
    const std::string* const domain = record.find("domain");
    const std::string* const pid = record.find("pid");
    std::uint64_t id = 0;
    pid_t maker = 0;
    if (domain == nullptr || !readNumber(*domain, id, 16) || status == nullptr || *status != "allocated") {
        return;
    }
    if (pid == nullptr || !readNumber(*pid, maker)) {
        ++strange_;
        return;
    }
    if (const auto known = makers_.find(maker); known != makers_.end()) {
        if (known->second.cgroupId != 0) {
            keepDomain(id, known->second);
        }
    } else if (const auto owner = reader_.ownerOf(maker)) {
        keepDomain(id, *owner);
    }
}

// The record of the system call: who did it.
void AuditJoin::takeCall(const AuditRecord& record)
{
    for (Pending& pending : pending_) {
        const std::string* const pid = record.find("pid");
        if (pending.serial != record.serial || pending.acted || pid == nullptr ||
            !readNumber(*pid, pending.event.tgid)) {
            continue;
        }
        pending.acted = true;
        copyWhole(pending.event.comm, record.find("comm"));
        copyWhole(pending.event.program, record.find("exe"));
    }
}

void AuditJoin::take(std::uint16_t type, std::string_view text, std::uint64_t now)
{
    if (type != landlockAccess && type != landlockDomain && type != AUDIT_SYSCALL) {
        return;
    }
    const auto record = parseAudit(text);
    if (!record) {
        strange_ += type == AUDIT_SYSCALL ? 0 : 1;
        return;
    }
    if (type == landlockDomain) {
        takeDomain(*record);
        return;
    }
    if (type == AUDIT_SYSCALL) {
        takeCall(*record);
        return;
    }
    auto event = deniedOf(*record);
    if (!event) {
        ++strange_;
        return;
    }
    event->time = now;
    pending_.push_back({.serial = record->serial, .event = *event});
    if (pending_.size() > longestQueue) {
        tell(pending_.front());
        pending_.pop_front();
    }
}

std::optional<Owner> AuditJoin::ownerOf(const Pending& pending) const
{
    if (const auto known = domains_.find(pending.event.domain); known != domains_.end()) {
        return known->second;
    }
    // A domain of before: the one who was denied is in it, if he is still there.
    return pending.acted ? reader_.ownerOf(static_cast<pid_t>(pending.event.tgid)) : std::nullopt;
}

void AuditJoin::tell(Pending& pending)
{
    const auto owner = ownerOf(pending);
    if (!owner) {
        ++nobodys_;
        return;
    }
    if (owner->cgroupId != 0) {
        pending.event.cgroup_id = owner->cgroupId;
        pending.event.entries = owner->entries;
        reader_.denied(pending.event);
    }
}

std::uint64_t AuditJoin::toldUntil(std::uint64_t now) const
{
    return pending_.empty() ? now : pending_.front().event.time;
}

void AuditJoin::settle(std::uint64_t now)
{
    while (!pending_.empty() && (pending_.front().acted || now - pending_.front().event.time >= patience)) {
        tell(pending_.front());
        pending_.pop_front();
    }
}

}  // namespace watch
