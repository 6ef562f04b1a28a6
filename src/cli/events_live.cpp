// SPDX-License-Identifier: Apache-2.0
#include "cli/events_live.hpp"

#include <sys/types.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <map>
#include <utility>

#include "cli/audit.hpp"
#include "cli/containers.hpp"
#include "cli/event.hpp"
#include "cli/events_metrics.hpp"
#include "cli/launched.hpp"
#include "cli/watching.hpp"
#include "node/policies.hpp"
#include "sys/clock.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"

namespace cli {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

// The kernel counts from the boot.
std::int64_t offsetToRealTime()
{
    return sys::now(CLOCK_REALTIME) - sys::now(CLOCK_BOOTTIME);
}

class Stream {
    static constexpr std::size_t mostStrangers = 65536;

public:
    // `metrics` null: nothing is counted.
    Stream(EventsWanted wanted, std::optional<oll_applier> applier, EventsMetrics* metrics)
        : wanted_(std::move(wanted)),
          metrics_(metrics),
          launched_(applier ? std::nullopt : std::optional<Launched>(std::in_place)),
          watcher_({.applier = applier, .share = wanted_.share, .source = wanted_.source},
                   {.event = [this](const oll_seen& event) { tell(event); },
                    .container = [this](const oll_seen_container& told) { learn(told); }})
    {
    }

    void run()
    {
        head();
        if (metrics_ != nullptr) {
            metrics_->begin(std::string(watch::nameOf(watcher_.source())));
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
                if (metrics_ != nullptr) {
                    metrics_->show();
                }
            }
            sys::flushOutput();
        }
        tellLost();
        sys::flushOutput();
    }

private:
    void head()
    {
        ordered_json event = {{"time", timeText(sys::now(CLOCK_REALTIME))},
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
        // Without a source "without denials" says it.
        if (watcher_.source() != watch::Source::none) {
            for (const std::string& one : watcher_.blind()) {
                unseen += (unseen.empty() ? "; this kernel does not show denials of " : "; ") + one;
            }
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
        ordered_json event = {{"time", timeText(sys::now(CLOCK_REALTIME))}, {"event", kind}};
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
                    ++unjudged_[id]["a container that stays in no cgroup of its own, of which no denials are seen"];
                }
            }
            if ((record.applied || !record.failure.empty()) && concluded_.insert(id).second) {
                conclude(id, record);
            }
        }
        if (const std::uint64_t missed = launched_->missed(); missed != 0) {
            unjudged_[0]["containers that had ended before they were looked at, with all that happened to them"] +=
                missed;
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
        event.time = static_cast<std::uint64_t>(sys::now(CLOCK_BOOTTIME));
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
            } else if (leaving_.emplace(known->first, sys::now(CLOCK_BOOTTIME)).first->second >=
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
        if (metrics_ != nullptr) {
            metrics_->forget(inStatus(known->first));
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
            ordered_json event = {{"time", timeText(sys::now(CLOCK_REALTIME))}, {"event", "lost"}};
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

    // Accesses of audited programs of which nobody knows whether they would be denied; with launch, what is not seen.
    void tellUnjudged()
    {
        for (const auto& [id, reasons] : std::exchange(unjudged_, {})) {
            for (const auto& [why, count] : reasons) {
                ordered_json event = {{"time", timeText(sys::now(CLOCK_REALTIME))}, {"event", "lost"}};
                if (const auto known = containers_.find(id); known != containers_.end()) {
                    event.update(known->second.name);
                }
                event["count"] = count;
                event["why"] = launched_ ? why : "accesses that cannot be judged: " + why;
                say(event, containers_.contains(id) ? id : 0);
            }
        }
    }

    // What EventCounts wants.
    std::uint64_t inStatus(std::uint64_t cgroupId) const
    {
        const auto init = inits_.find(cgroupId);
        return init == inits_.end() ? cgroupId : static_cast<std::uint64_t>(init->second.pid);
    }

    // `cgroupId` 0: of no container that is known.
    void say(const ordered_json& event, std::uint64_t cgroupId)
    {
        if (metrics_ != nullptr) {
            metrics_->count(inStatus(cgroupId), event);
        }
        if (!isWanted(wanted_, event) || enough()) {
            return;
        }
        ++printed_;
        if (wanted_.json) {
            print(event);
        } else {
            std::puts(eventText(event).c_str());
        }
    }

    static void print(const ordered_json& event) { std::puts(sys::oneLineOf(event).c_str()); }

    struct Judged {
        std::uint64_t generation = 0;
        std::optional<Audit> audit;
        std::string obstacle;
    };

    EventsWanted wanted_;
    EventsMetrics* metrics_;
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

}  // namespace

bool isWanted(const EventsWanted& wanted, const ordered_json& event)
{
    const std::string kind = event["event"].get<std::string>();
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

void tellEvents(const EventsWanted& wanted)
{
    const std::optional<oll_applier> applier = selectorOrLaunch();
    std::optional<EventsMetrics> metrics;
    if (!wanted.address.empty()) {
        metrics.emplace(wanted.address);
    }
    endOnSignals();
    Stream(wanted, applier, metrics ? &*metrics : nullptr).run();
}

}  // namespace cli
