// SPDX-License-Identifier: Apache-2.0
#include "cli/launched.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "container/process.hpp"
#include "sys/error.hpp"
#include "sys/log.hpp"

namespace cli {

namespace {

using applier::launch::Record;

constexpr std::uint64_t noCgroup = std::uint64_t{1} << 63;

}  // namespace

std::string commandOf(const applier::launch::Identity& process)
{
    const sys::Fd file(open(("/proc/" + std::to_string(process.pid) + "/comm").c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 64> text{};
    const ssize_t length = file ? read(file.get(), text.data(), text.size()) : -1;
    return length > 0 && process.alive() ? std::string(text.data(), static_cast<std::size_t>(length) - 1) : "";
}

Launched::Launched() : notify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC))
{
    const std::string directory = applier::launch::recordDirectory();
    if (!notify_ || inotify_add_watch(notify_.get(), directory.c_str(), IN_MOVED_TO | IN_MODIFY) < 0) {
        // There are few for each user, and root of many a container is the same one: it can leave us none.
        sys::tell(LOG_WARNING, sys::errnoError("watch " + directory).what() +
                                   std::string("; containers are looked for once a second, and those that last no "
                                               "longer may not be told of"));
        notify_.reset();
    }
    own_ = container::Cgroup::of(container::Process(getpid())).id;
}

bool Launched::changed() const
{
    pollfd told{notify_.get(), POLLIN, 0};
    return !notify_ || poll(&told, 1, 0) != 0;
}

// Others are to be told of whatever a container does: its init may go from cgroup to cgroup, or end, while one looks.
std::uint64_t Launched::keyOf(const Record& record) const
{
    const std::uint64_t none = noCgroup | static_cast<std::uint64_t>(record.init.pid);
    try {
        const container::Process init(record.init.pid);
        const container::Cgroup cgroup = container::Cgroup::of(init);
        // What is told of a cgroup that it shares could be anybody's.
        const bool shared = cgroup.level == 0 || cgroup.id == own_ || containers_.contains(cgroup.id);
        return shared ? none : cgroup.id;
    } catch (const sys::Error&) {
        return none;
    }
}

const std::map<std::uint64_t, Launched::Container>& Launched::look()
{
    std::vector<applier::launch::Identity> arrived = arrivals();
    // One may have been seen the last time before it was heard of.
    std::erase_if(arrived, [this](const auto& init) { return knows(init); });
    std::vector<Record> there = records_.all();
    const auto isOf = [](const Record& record) {
        return [&record](const auto& one) { return one.second.record.init == record.init; };
    };
    std::erase_if(containers_, [&](const auto& one) {
        return std::ranges::none_of(there, [&](const Record& record) { return isOf(record)(one); });
    });
    for (Record& record : there) {
        const auto known = std::ranges::find_if(containers_, isOf(record));
        if (known != containers_.end()) {
            known->second.record = std::move(record);
            continue;
        }
        const std::uint64_t key = keyOf(record);
        const applier::launch::Identity init = record.init;
        // Who had that cgroup was it.
        if (init.alive()) {
            containers_.emplace(key, Container{std::move(record), (key & noCgroup) == 0});
        }
    }
    missed_ +=
        static_cast<std::uint64_t>(std::ranges::count_if(arrived, [this](const auto& init) { return !knows(init); }));
    return containers_;
}

// Since the last time.
std::vector<applier::launch::Identity> Launched::arrivals()
{
    std::vector<applier::launch::Identity> found;
    alignas(inotify_event) std::array<char, 4096> changes{};
    ssize_t length = 0;
    while (notify_ && (length = read(notify_.get(), changes.data(), changes.size())) > 0) {
        for (ssize_t at = 0; at < length;) {
            const auto* const change = reinterpret_cast<const inotify_event*>(&changes[static_cast<std::size_t>(at)]);
            const auto init =
                (change->mask & IN_MOVED_TO) != 0 ? applier::launch::initOfRecord(change->name) : std::nullopt;
            if (init) {
                found.push_back(*init);
            }
            // The system had no room for more: one at least is not told.
            missed_ += (change->mask & IN_Q_OVERFLOW) != 0 ? 1 : 0;
            at += static_cast<ssize_t>(sizeof *change + change->len);
        }
    }
    return found;
}

bool Launched::knows(const applier::launch::Identity& init) const
{
    return std::ranges::any_of(containers_, [&init](const auto& one) { return one.second.record.init == init; });
}

}  // namespace cli
