// SPDX-License-Identifier: Apache-2.0
// `oci-landlock ps`: the processes of containers, and which entries restrict each.
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "cli/commands.hpp"
#include "cli/containers.hpp"
#include "cli/options.hpp"
#include "container/members.hpp"
#include "container/process.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"
#include "sys/user.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using nlohmann::ordered_json;

constexpr const char* launchNote =
    "the launch applier knows of the init alone: what comes from its entrypoint is restricted as well, exec sessions "
    "are not";

const char* cameAs(std::uint32_t origin)
{
    switch (origin) {
        case OLL_ORIGIN_INIT:
            return "init";
        case OLL_ORIGIN_SESSION:
            return "session";
        default:
            return "runtime";  // it has not executed anything inside
    }
}

std::string commandOf(const container::Process& process)
{
    const sys::Fd file = process.open("comm", O_RDONLY);
    const std::string name = sys::readAll(file.get(), 64, "comm");
    return sys::printable(name.substr(0, name.rfind('\n')));
}

// By the selector's own storage of the task, which the kernel inherits at each fork.
void addVerdict(ordered_json& item, const Known& known, const std::optional<oll_task>& task)
{
    const oll_membership* member = nullptr;
    for (std::size_t i = 0; task && i < OLL_MAX_MEMBERSHIPS; ++i) {
        if (task->of[i].generation == known.standing->entry.generation) {
            member = &task->of[i];
        }
    }
    // Owed: it stands before its first instruction until its tracer has seen to it.
    const std::uint32_t selected = member == nullptr ? 0 : member->applied & ~member->owed;
    const std::uint32_t applied = member == nullptr ? 0 : selected & ~member->audited;
    item["from"] = cameAs(member == nullptr ? std::uint32_t{OLL_ORIGIN_NONE} : member->origin);
    item["restricted"] = applied != 0 ? "yes" : "no";
    item["entries"] = entryNames(known.report, applied);
    if (selected != applied) {
        item["audited"] = entryNames(known.report, selected & ~applied);
    }
    if (member != nullptr && member->owed != 0) {
        item["owed"] = entryNames(known.report, member->owed);
    }
}

bool isGone(pid_t pid)
{
    const sys::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) {
        return errno == ESRCH;
    }
    pollfd ended{pidfd.get(), POLLIN, 0};
    return poll(&ended, 1, 0) > 0;
}

// std::nullopt: it has ended. What cannot be known is not "no".
std::optional<ordered_json> describeProcess(const Known& known, const node::Node& node,
                                            const container::Members& members, pid_t pid)
{
    ordered_json item = {{"pid", pid}};
    try {
        const container::Process process(pid);
        const std::optional<oll_task> task = node.task(process.pidfd());
        // The number may be another's by now. And whoever is there still was there when its storage was asked for.
        if (!members.cgroups.contains(container::Cgroup::of(process).id)) {
            return std::nullopt;
        }
        item["command"] = commandOf(process);
        addVerdict(item, known, task);
    } catch (const sys::Error& error) {
        if (isGone(pid)) {
            return std::nullopt;
        }
        item["restricted"] = "unknown";
        item["entries"] = ordered_json::array();
        item["why"] = error.what();
    }
    return std::make_optional<ordered_json>(std::move(item));
}

void addSelected(ordered_json& out, const Known& known, const node::Node& node)
{
    const sys::Fd cgroup = container::openCgroup(known.standing->cgroupId);
    out["processes"] = ordered_json::array();
    if (!cgroup) {
        out["incomplete"] = "its cgroup is gone, and its init has left it";
        return;
    }
    const container::Members members = container::membersOf(cgroup.get(), sys::inInitialPidNamespace());
    for (const pid_t pid : members.pids) {
        if (auto item = describeProcess(known, node, members, pid)) {
            out["processes"].push_back(std::move(*item));
        }
    }
    if (!members.incomplete.empty()) {
        out["incomplete"] = members.incomplete;
    }
}

void addLaunched(ordered_json& out, const Known& known)
{
    const applier::launch::Record& record = *known.launched;
    ordered_json item = {{"pid", record.init.pid}};
    try {
        item["command"] = commandOf(container::Process(record.init.pid));
    } catch (const sys::Error&) {
        item["command"] = "";
    }
    item["from"] = "init";
    item["restricted"] = record.applied ? "yes" : "no";
    const std::size_t entries = known.report.value("entries", nlohmann::json::array()).size();
    item["entries"] = entryNames(known.report, record.applied ? (1U << std::min<std::size_t>(entries, 16)) - 1 : 0);
    out["processes"] = ordered_json::array({std::move(item)});
    out["incomplete"] = launchNote;
}

ordered_json collect()
{
    const AllKnown all = knownContainers();
    ordered_json containers = ordered_json::array();
    for (const Known& known : all.containers) {
        ordered_json out = {{"id", sys::printable(known.id, OLL_ID_SIZE)}};
        if (known.about.contains("names")) {
            out["names"] = known.about["names"];
        }
        known.launched ? addLaunched(out, known) : addSelected(out, known, *all.node);
        containers.push_back(std::move(out));
    }
    return {{"applier", all.applier}, {"containers", std::move(containers)}};
}

std::string padded(const std::string& text, std::size_t width)
{
    return text + std::string(std::max(width, text.size() + 1) - text.size(), ' ');
}

std::string listOf(const ordered_json& names)
{
    std::string out;
    for (const ordered_json& name : names) {
        out += (out.empty() ? "" : ", ") + sys::printable(name.get<std::string>());
    }
    return out;
}

std::string verdictText(const ordered_json& process)
{
    if (process["restricted"] == "unknown") {
        return "unknown: " + sys::printable(process["why"].get<std::string>(), 1000);
    }
    const std::string entries = listOf(process["entries"]);
    return (entries.empty() ? "nothing" : entries) +
           (process.contains("audited") ? "; NOT ENFORCED, audit: " + listOf(process["audited"]) : "") +
           (process.contains("owed") ? "; waits for " + listOf(process["owed"]) : "");
}

std::string tableOf(const ordered_json& found)
{
    std::string out;
    for (const ordered_json& item : found["containers"]) {
        const std::string name = nameOf(item);
        out += (out.empty() ? "" : "\n") + item["id"].get<std::string>() + (name.empty() ? "" : " (" + name + ")") +
               "\n  PID       FROM     COMMAND          RESTRICTED BY\n";
        for (const ordered_json& process : item["processes"]) {
            out += "  " + padded(process["pid"].dump(), 10) + padded(process.value("from", "?"), 9) +
                   padded(process.value("command", "?"), 17) + verdictText(process) + "\n";
        }
        if (item.contains("incomplete")) {
            out += "  There may be more: " + sys::printable(item["incomplete"].get<std::string>(), 1000) + ".\n";
        }
    }
    return out;
}

}  // namespace

int runPs(const Arguments& arguments)
{
    po::options_description options;
    options.add_options()("json", "print JSON");
    const auto given = parseOptions("ps",
                                    "Lists the containers that have a sandbox, their processes, and which entries of "
                                    "the profile restrict\neach of them.\n"
                                    "Exit status: 0 listed, 1 an error.",
                                    options, arguments);
    if (!given) {
        return exitOk;
    }
    const ordered_json found = collect();
    if (given->contains("json")) {
        std::puts(sys::prettyOf(found).c_str());
    } else {
        std::fputs(tableOf(found).c_str(), stdout);
    }
    return exitOk;
}

}  // namespace cli
