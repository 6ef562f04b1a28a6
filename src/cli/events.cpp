// SPDX-License-Identifier: Apache-2.0
// `oci-landlock events`: what happens to the containers of this node, as it happens, or as it was kept.
#include <cstdio>
#include <limits>
#include <set>

#include "cli/commands.hpp"
#include "cli/event.hpp"
#include "cli/events_kept.hpp"
#include "cli/events_live.hpp"
#include "cli/options.hpp"
#include "sys/file.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using nlohmann::json;

constexpr std::uint32_t largestShare = 1'000'000;

// One that another version has written may not be what this one knows by its name.
std::string keptText(const KeptEvent& kept)
{
    try {
        return eventText(kept.event);
    } catch (const json::exception&) {
        return sys::printable(kept.line, kept.line.size());
    }
}

// What the service has kept. Where it began to look anew there may be something missing before.
void printKept(const EventsWanted& wanted, const std::string& since)
{
    std::uint64_t printed = 0;
    forEachKept(since, [&](const KeptEvent& kept) {
        const bool began = kept.event["event"] == "watching";
        if ((!began && !isWanted(wanted, kept.event)) || (wanted.count != 0 && printed == wanted.count)) {
            return;
        }
        printed += began ? 0 : 1;
        if (wanted.json) {
            std::puts(kept.line.c_str());
        } else if (began) {
            std::fprintf(stderr, "%s watching\n", sys::printable(kept.event["time"].get<std::string>()).c_str());
        } else {
            std::puts(keptText(kept).c_str());
        }
    });
    sys::flushOutput();
}

EventsWanted wantedFrom(const po::variables_map& given)
{
    static const std::set<std::string> kinds = {"applied", "audited", "created", "denied",   "failedClosed",
                                                "lost",    "partial", "removed", "wouldDeny"};
    EventsWanted wanted{.json = given.contains("json"), .count = given["count"].as<std::uint64_t>()};
    if (given.contains("since") &&
        (given.contains("listen") || given.contains("source") || !given["share"].defaulted())) {
        throw UsageError("events: --since goes with neither --listen, --share nor --source");
    }
    // -1 was taken for a large one.
    if (!given["count"].defaulted() &&
        (wanted.count == 0 || wanted.count > std::numeric_limits<std::uint64_t>::max() / 2)) {
        throw UsageError("events: --count wants a number from 1 on");
    }
    for (const std::string& kind : given["kind"].as<Arguments>()) {
        if (!kinds.contains(kind)) {
            throw UsageError("events: no kind of event is called " + sys::printable(kind) +
                             "; there are applied, audited, created, denied, failedClosed, lost, partial, removed and "
                             "wouldDeny");
        }
        wanted.kinds.insert(kind);
    }
    if (given.contains("container")) {
        wanted.container = given["container"].as<std::string>();
    }
    if (given.contains("listen")) {
        wanted.address = given["listen"].as<std::string>();
    }
    if (given.contains("source")) {
        const std::string name = given["source"].as<std::string>();
        for (const watch::Source one : {watch::Source::tracepoints, watch::Source::hooks, watch::Source::audit}) {
            if (name == watch::nameOf(one)) {
                wanted.source = one;
            }
        }
        if (!wanted.source) {
            throw UsageError("events: --source is tracepoints, hooks or audit");
        }
    }
    wanted.share = given["share"].as<std::uint32_t>();
    if (wanted.share == 0 || wanted.share > largestShare) {
        throw UsageError("events: --share must be between 1 and " + std::to_string(largestShare));
    }
    return wanted;
}

}  // namespace

int runEvents(const Arguments& arguments)
{
    po::options_description options;
    options.add_options()("json", "one JSON object a line");
    options.add_options()("container", po::value<std::string>()->value_name("ID|NAME"), "of this container only");
    options.add_options()("kind", po::value<Arguments>()->composing()->value_name("KIND")->default_value({}, "all"),
                          "of this kind only; may be given several times");
    options.add_options()("count", po::value<std::uint64_t>()->value_name("N")->default_value(0, "no end"),
                          "end after N events");
    options.add_options()("share", po::value<std::uint32_t>()->value_name("N")->default_value(EventsWanted::usualShare),
                          "events of each container in a second; what is more is counted");
    options.add_options()("source", po::value<std::string>()->value_name("SOURCE"),
                          "by tracepoints, hooks or audit; if not given, the first of these that the kernel has");
    options.add_options()("since", po::value<std::string>()->value_name("TIME"),
                          "instead of what happens, what the service has kept in the journal since then");
    options.add_options()("listen", po::value<std::string>()->value_name("ADDRESS:PORT"),
                          "serve metrics there, over HTTP, at /metrics");
    const auto given = parseOptions(
        "events",
        "Says what happens to the containers that have a sandbox, as it happens, a line each: created, partial,\n"
        "applied, denied (with the rule that would allow it), failedClosed, removed, lost; of audited entries, which\n"
        "are not enforced: audited, wouldDeny.\n"
        "Exit status: 0 ended by SIGINT or SIGTERM, or after as many as were asked for; 1 an error.",
        options, arguments);
    if (!given) {
        return exitOk;
    }
    const EventsWanted wanted = wantedFrom(*given);
    if (given->contains("since")) {
        printKept(wanted, (*given)["since"].as<std::string>());
        return exitOk;
    }
    tellEvents(wanted);
    return exitOk;
}

}  // namespace cli
