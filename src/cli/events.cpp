// SPDX-License-Identifier: Apache-2.0
// `oci-landlock events`: what happens to the containers of this node, as it happens.
#include <sys/types.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cli/audit.hpp"
#include "cli/commands.hpp"
#include "cli/containers.hpp"
#include "cli/event.hpp"
#include "cli/event_counts.hpp"
#include "cli/events_kept.hpp"
#include "cli/launched.hpp"
#include "cli/metrics.hpp"
#include "cli/options.hpp"
#include "cli/settings.hpp"
#include "cli/status.hpp"
#include "cli/watching.hpp"
#include "node/policies.hpp"
#include "serve/page.hpp"
#include "sys/json.hpp"
#include "watch/watcher.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using nlohmann::json;
using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t usualShare = 1000;
constexpr std::uint32_t largestShare = 1'000'000;

struct Wanted {
    bool json = false;
    std::set<std::string> kinds;  // empty: all
    std::string container;        // empty: all
    std::uint64_t count = 0;      // 0: no end
    std::uint32_t share = usualShare;
    std::optional<watch::Source> source;  // none: the best
    std::string address;                  // where metrics are served; empty: nowhere
};

// The kernel counts from the boot.
std::int64_t offsetToRealTime()
{
    return now(CLOCK_REALTIME) - now(CLOCK_BOOTTIME);
}

bool isWanted(const Wanted& wanted, const ordered_json& event)
{
    const std::string kind = event["event"].get<std::string>();
    // Without them nobody could tell that there was nothing.
    if (!wanted.kinds.empty() && !wanted.kinds.contains(kind) && kind != "lost") {
        return false;
    }
    if (wanted.container.empty()) {
        return true;
    }
    if (!event.contains("container")) {
        return kind == "lost";
    }
    return isNamed(event, wanted.container);
}

// What `--listen` serves: what `status` knows, and what was told meanwhile.
class Counters {
public:
    explicit Counters(const std::string& address) : page_(address, {"/metrics", openMetrics}) {}

    void begin(watch::Source source)
    {
        counts_.emplace(std::string(watch::nameOf(source)));
        show();
    }
    void count(std::uint64_t cgroupId, const ordered_json& event) { counts_->count(cgroupId, event); }
    void forget(std::uint64_t cgroupId) { counts_->forget(cgroupId); }

    // Every few seconds, however often it is called.
    void show()
    {
        if (Clock::now() < next_) {
            return;
        }
        next_ = Clock::now() + renewal;
        std::string text, why;
        try {
            text = metricsOf(collectStatus(settings_, {kernel_, patience}), &*counts_);
        } catch (const sys::Error& error) {
            why = error.what();
        }
        why.empty() ? page_.show(text) : page_.showObstacle(why + "\n");
    }

private:
    static constexpr const char* openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    static constexpr std::chrono::seconds renewal{5};
    static constexpr std::chrono::seconds patience{1};  // events wait meanwhile

    serve::Page page_;
    Settings settings_ = readSettings();
    json kernel_ = kernelAtHand();
    std::optional<EventCounts> counts_;
    Clock::time_point next_;
};

class Stream {
    static constexpr std::size_t mostStrangers = 65536;

public:
    // `counters` null: nothing is counted.
    Stream(Wanted wanted, std::optional<oll_applier> applier, Counters* counters)
        : wanted_(std::move(wanted)),
          counters_(counters),
          launched_(applier ? std::nullopt : std::optional<Launched>(std::in_place)),
          watcher_({.applier = applier, .share = wanted_.share, .source = wanted_.source},
                   {.event = [this](const oll_seen& event) { tell(event); },
                    .container = [this](const oll_seen_container& told) { learn(told); }})
    {
    }

    void run()
    {
        head();
        if (counters_ != nullptr) {
            counters_->begin(watcher_.source());
        }
        lookAtContainers();
        Clock::time_point last = Clock::now();
        while (!ended() && !enough()) {
            watcher_.wait(lookAround, launched_ ? launched_->changes() : -1);
            if (launched_ && launched_->changed()) {
                lookAtLaunched();
            }
            if (Clock::now() - last >= lookAround) {
                last = Clock::now();
                offset_ = offsetToRealTime();
                lookAtContainers();
                tellLost();
                if (counters_ != nullptr) {
                    counters_->show();
                }
            }
            flush();
        }
        tellLost();
        flush();
    }

private:
    void head()
    {
        ordered_json event = {{"time", timeText(now(CLOCK_REALTIME))},
                              {"event", "watching"},
                              {"source", watch::nameOf(watcher_.source())},
                              {"unseen", watcher_.blind()}};
        if (!watcher_.why().empty()) {
            event["why"] = watcher_.why();
        }
        if (wanted_.json) {
            print(event);
            return;
        }
        std::string unseen;
        for (const std::string& one : watcher_.blind()) {
            unseen += (unseen.empty() ? "; this kernel does not show denials of " : "; ") + one;
        }
        constexpr std::array sources = {"Landlock's tracepoints", "what Landlock's hooks return",
                                        "Landlock's audit records", "records of launch, without denials"};
        std::fprintf(stderr, "watching by %s%s%s\n", sources[static_cast<std::size_t>(watcher_.source())],
                     watcher_.why().empty() ? "" : (", for want of " + watcher_.why()).c_str(), unseen.c_str());
    }

    bool enough() const { return wanted_.count != 0 && printed_ >= wanted_.count; }

    void tell(const oll_seen& event)
    {
        if (event.kind == OLL_SEEN_USED) {
            judge(event);
            return;
        }
        oll_seen part = event;
        if (event.kind == OLL_SEEN_APPLIED && (event.entries & event.audited) != 0) {
            part.kind = OLL_SEEN_AUDITED;
            part.entries = event.entries & event.audited;
            tellOne(part);
            part = event;
            part.entries = event.entries & ~event.audited;
            if (part.entries == 0) {
                return;
            }
        }
        tellOne(part);
    }

    void tellOne(const oll_seen& event)
    {
        if (launched_ && !isOfLaunched(event.cgroup_id)) {
            return;
        }
        const auto known = containers_.find(event.cgroup_id);
        const bool isKnown = known != containers_.end();
        // What comes late is counted for nobody: it would be kept for ever.
        say(describe(event, isKnown ? &known->second : nullptr, offset_), isKnown ? event.cgroup_id : 0);
    }

    void judge(const oll_seen& used)
    {
        try {
            for (const oll_seen& one : auditOf(used.cgroup_id, used.generation).judge(used)) {
                tellOne(one);
            }
        } catch (const sys::Error& error) {
            ++unjudged_[used.cgroup_id][error.what()];
        }
    }

    // Throws sys::Error when the container's policy is not there, or no policy to judge by.
    Audit& auditOf(std::uint64_t cgroupId, std::uint64_t generation)
    {
        Judged& judged = audits_[cgroupId];
        if (judged.generation != generation) {
            judged = {.generation = generation, .audit = {}, .obstacle = {}};
            try {
                const auto policy = node::policies::read({cgroupId, generation});
                if (!policy) {
                    throw sys::Error("the container was gone before its policy was read");
                }
                judged.audit.emplace(*policy);
            } catch (const sys::Error& error) {
                judged.obstacle = error.what();
            }
        }
        if (!judged.audit) {
            throw sys::Error(judged.obstacle);
        }
        return *judged.audit;
    }

    // Whatever the order in which it comes to be known.
    void learn(const oll_seen_container& told)
    {
        if (told.audited != 0) {
            try {
                auditOf(told.cgroup_id, told.generation);  // as long as it is there
            } catch (const sys::Error& error) {
                ++unjudged_[told.cgroup_id][error.what()];
            }
        }
        if (!containers_.contains(told.cgroup_id)) {
            introduce(told.cgroup_id, named(told.record), told.record.created, told.audited);
        }
    }

    void introduce(std::uint64_t id, Named named, std::uint64_t created, std::uint32_t audited)
    {
        const Named& container = containers_.emplace(id, std::move(named)).first->second;
        ordered_json event = begin("created", container);
        event["created"] = timeText(static_cast<std::int64_t>(created) * 1'000'000'000);
        event["entries"] = ordered_json::array();
        const json entries = container.report.value("entries", json::array());
        for (std::size_t i = 0; i < entries.size(); ++i) {
            event["entries"].push_back(entryName(container.report, static_cast<unsigned>(i)));
        }
        if (audited != 0) {
            const std::uint32_t all = (1U << entries.size()) - 1;
            event["audited"] = entryNames(container.report, entries.empty() ? audited : audited & all);
        }
        say(event, id);
        for (const json& entry : entries) {
            if (entry.value("enforcement", "") == "partial") {
                ordered_json partial = begin("partial", container);
                partial["entry"] = entry.value("name", "");
                partial["without"] = withoutWhat(entry);
                say(partial, id);
            }
        }
    }

    static ordered_json withoutWhat(const json& entry)
    {
        ordered_json list = ordered_json::array();
        for (const char* member : {"dropped", "missingPaths"}) {
            for (const json& one : entry.value(member, json::array())) {
                list.push_back(ordered_json(one));
            }
        }
        return list;
    }

    static ordered_json begin(const char* kind, const Named& container)
    {
        ordered_json event = {{"time", timeText(now(CLOCK_REALTIME))}, {"event", kind}};
        event.update(container.name);
        return event;
    }

    // Without a selector all denials of the node are told, and of which containers there are the records tell. That of
    // a container is there before anything is denied to it.
    bool isOfLaunched(std::uint64_t id)
    {
        if (strangers_.contains(id)) {
            return false;
        }
        // Whoever is none may come from ever new cgroups.
        if (!concluded_.contains(id) && launched_->changed()) {
            lookAtLaunched();
        }
        if (!containers_.contains(id)) {
            if (strangers_.size() == mostStrangers) {
                strangers_.clear();
            }
            strangers_.insert(id);
            return false;
        }
        return true;
    }

    std::set<std::uint64_t> lookAtLaunched()
    {
        std::set<std::uint64_t> there;
        for (const auto& [id, one] : launched_->look()) {
            const applier::launch::Record& record = one.record;
            there.insert(id);
            // One that is in the cgroup of another that has ended. What was told of that one, and is on its way still,
            // is taken for the new one's: no more than came since the last look.
            if (const auto known = containers_.find(id); known != containers_.end() && inits_[id] != record.init) {
                forget(known);
            }
            if (!containers_.contains(id)) {
                inits_[id] = record.init;
                strangers_.erase(id);
                Named container = named(record.id, record.about, record.report);
                watcher_.name(id, record.init.pid, allEntries(container));
                introduce(id, std::move(container), record.created, 0);
                if (!one.ownCgroup && watcher_.source() < watch::Source::audit) {
                    ++unjudged_[id]["a container without a cgroup of its own, of which no denials are seen"];
                }
            }
            if ((record.applied || !record.failure.empty()) && concluded_.insert(id).second) {
                conclude(id, record);
            }
        }
        return there;
    }

    // Each is for the entrypoint.
    static std::uint32_t allEntries(const Named& container)
    {
        const std::size_t count = container.report.value("entries", json::array()).size();
        return (1U << std::min<std::size_t>(count, OLL_MAX_ENTRIES)) - 1;
    }

    void conclude(std::uint64_t id, const applier::launch::Record& record)
    {
        const Named& container = containers_.at(id);
        oll_seen event{};
        event.kind = record.applied ? OLL_SEEN_APPLIED : OLL_SEEN_FAILED_CLOSED;
        event.time = static_cast<std::uint64_t>(now(CLOCK_BOOTTIME));
        event.cgroup_id = id;
        event.entries = allEntries(container);
        event.tgid = static_cast<std::uint32_t>(record.init.pid);
        ordered_json said = describe(event, &container, offset_);
        said["command"] = commandOf(record.init);
        if (!record.applied) {
            said["reason"] = record.failure;
            said.erase("errno");
        }
        say(said, id);
    }

    void lookAtContainers()
    {
        if (launched_) {
            forgetOthers(lookAtLaunched());
            return;
        }
        if (!watcher_.current()) {
            throw sys::Error(
                "the selector was unloaded, and nothing is seen any more; start this again once it is "
                "loaded");
        }
        const std::set<std::uint64_t> there = watcher_.containers();
        for (const std::uint64_t id : there) {
            oll_seen_container container{};
            if (!containers_.contains(id) && watcher_.describe(id, container)) {
                learn(container);
            }
        }
        forgetOthers(there);
    }

    void forgetOthers(const std::set<std::uint64_t>& there)
    {
        std::erase_if(audits_,
                      [&](const auto& one) { return !there.contains(one.first) && !containers_.contains(one.first); });
        // What was told of it may be on its way still.
        for (auto known = containers_.begin(); known != containers_.end();) {
            if (there.contains(known->first)) {
                ++known;
            } else if (leaving_.emplace(known->first, now(CLOCK_BOOTTIME)).first->second >=
                       static_cast<std::int64_t>(watcher_.toldUntil())) {
                ++known;
            } else {
                known = forget(known);
            }
        }
    }

    // The one after it.
    std::map<std::uint64_t, Named>::iterator forget(std::map<std::uint64_t, Named>::iterator known)
    {
        tellUnjudged();
        say(begin("removed", known->second), known->first);
        if (counters_ != nullptr) {
            counters_->forget(known->first);
        }
        leaving_.erase(known->first);
        audits_.erase(known->first);
        concluded_.erase(known->first);
        inits_.erase(known->first);
        return containers_.erase(known);
    }

    void tellLost()
    {
        std::set<std::uint64_t> kept;
        for (const auto& [id, container] : containers_) {
            kept.insert(id);
        }
        for (const watch::Lost& lost : watcher_.lost(kept)) {
            const auto known = containers_.find(lost.cgroupId);
            if (launched_ && lost.cgroupId != 0 && known == containers_.end()) {
                continue;  // of who is none of ours
            }
            ordered_json event = {{"time", timeText(now(CLOCK_REALTIME))}, {"event", "lost"}};
            if (known != containers_.end()) {
                event.update(known->second.name);
            }
            event["count"] = lost.count;
            const std::uint32_t share = wanted_.share * (lost.accesses ? watch::accessesPerEvent : 1);
            event["why"] = !lost.why.empty() ? lost.why
                           : !lost.share
                               ? "they came faster than they were read, or where the kernel could not tell of them"
                               : std::string(lost.accesses ? "accesses to be judged, " : "") + "more than a share of " +
                                     std::to_string(share) + " a second";
            say(event, known == containers_.end() ? 0 : lost.cgroupId);
        }
        tellUnjudged();
    }

    // Accesses of audited programs of which nobody knows whether they would be denied.
    void tellUnjudged()
    {
        for (const auto& [id, reasons] : std::exchange(unjudged_, {})) {
            for (const auto& [why, count] : reasons) {
                ordered_json event = {{"time", timeText(now(CLOCK_REALTIME))}, {"event", "lost"}};
                if (const auto known = containers_.find(id); known != containers_.end()) {
                    event.update(known->second.name);
                }
                event["count"] = count;
                event["why"] = launched_ ? why : "accesses that cannot be judged: " + why;
                say(event, containers_.contains(id) ? id : 0);
            }
        }
    }

    // `cgroupId` 0: of no container that is known.
    void say(const ordered_json& event, std::uint64_t cgroupId)
    {
        if (counters_ != nullptr) {
            counters_->count(cgroupId, event);
        }
        if (!isWanted(wanted_, event) || enough()) {
            return;
        }
        ++printed_;
        wanted_.json ? print(event) : static_cast<void>(std::puts(eventText(event).c_str()));
    }

    static void print(const ordered_json& event) { std::puts(sys::oneLineOf(event).c_str()); }

    static void flush()
    {
        if (std::fflush(stdout) != 0) {
            throw sys::errnoError("write events");
        }
    }

    struct Judged {
        std::uint64_t generation = 0;
        std::optional<Audit> audit;
        std::string obstacle;
    };

    Wanted wanted_;
    Counters* counters_;
    std::int64_t offset_ = offsetToRealTime();
    std::map<std::uint64_t, Named> containers_;                 // by cgroup id
    std::map<std::uint64_t, std::int64_t> leaving_;             // by cgroup id: since when, CLOCK_BOOTTIME
    std::optional<Launched> launched_;                          // without a selector
    std::set<std::uint64_t> concluded_;                         // of them, by cgroup id: whether it was applied is told
    std::map<std::uint64_t, applier::launch::Identity> inits_;  // of them, likewise
    std::set<std::uint64_t> strangers_;                         // cgroups of others
    std::map<std::uint64_t, Judged> audits_;                    // by cgroup id
    std::map<std::uint64_t, std::map<std::string, std::uint64_t>> unjudged_;  // by cgroup id and reason
    std::uint64_t printed_ = 0;
    watch::Watcher watcher_;
};

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
void printKept(const Wanted& wanted, const std::string& since)
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
    if (std::fflush(stdout) != 0) {
        throw sys::errnoError("write events");
    }
}

Wanted wantedFrom(const po::variables_map& given)
{
    static const std::set<std::string> kinds = {"applied", "audited", "created", "denied",   "failedClosed",
                                                "lost",    "partial", "removed", "wouldDeny"};
    Wanted wanted{.json = given.contains("json"), .count = given["count"].as<std::uint64_t>()};
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
        if (wanted.container.empty()) {
            throw UsageError("events: --container needs an id or a name");
        }
    }
    if (given.contains("listen")) {
        wanted.address = given["listen"].as<std::string>();
        if (wanted.address.empty() || given.contains("since")) {
            throw UsageError("events: --listen needs an address, and goes not with --since");
        }
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
    options.add_options()("share", po::value<std::uint32_t>()->value_name("N")->default_value(usualShare),
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
    const Wanted wanted = wantedFrom(*given);
    if (given->contains("since")) {
        printKept(wanted, (*given)["since"].as<std::string>());
        return exitOk;
    }
    const std::optional<oll_applier> applier = selectorOrLaunch();
    std::optional<Counters> counters;
    if (!wanted.address.empty()) {
        counters.emplace(wanted.address);
    }
    endOnSignals();
    Stream(wanted, applier, counters ? &*counters : nullptr).run();
    return exitOk;
}

}  // namespace cli
