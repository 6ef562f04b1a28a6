// SPDX-License-Identifier: Apache-2.0
#include "cli/event_counts.hpp"

#include "sys/json.hpp"

namespace cli {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

// Of each container from the beginning: how fast something grows can only be told when it was seen to be nothing.
constexpr const char* countedKinds[] = {"applied", "audited", "denied", "failedClosed", "wouldDeny"};

// Series of a container, of each kind of access. What it does not let a program do is the container's choice, and so is
// what that tries; all containers of the node share one text.
constexpr std::size_t mostSeries = 64;

}  // namespace

void EventCounts::count(std::uint64_t container, const ordered_json& event)
{
    const std::string kind = sys::stringIn(event, "event");
    Counts& counts = containers_[container];
    if (kind == "lost") {
        counts.lost += event.at("count").get<std::uint64_t>();
        return;
    }
    ++counts.kinds[kind];
    if (kind != "denied" && kind != "wouldDeny") {
        return;
    }
    Accesses& accesses = kind == "denied" ? counts.denied : counts.wouldDeny;
    for (const ordered_json& entry : event.at("entries")) {
        for (const ordered_json& right : event.at("rights")) {
            std::pair of{entry.get<std::string>(), right.get<std::string>()};
            if (accesses.size() >= mostSeries && !accesses.contains(of)) {
                of = {};
            }
            ++accesses[std::move(of)];
        }
    }
}

void EventCounts::addAccesses(Exposition& out, const Labelled& all, Accesses Counts::*accesses)
{
    for (const auto& [labels, counts] : all) {
        for (const auto& [of, count] : counts->*accesses) {
            Labels these = labels;
            these.emplace_back("entry", of.first);
            these.emplace_back("right", of.second);
            out.sample(these, count, "_total");
        }
    }
}

void EventCounts::addTo(Exposition& out, const json& containers) const
{
    static const Counts none;
    Labelled all;
    for (const json& item : containers) {
        const auto found =
            containers_.find(item.at(item.contains("cgroupId") ? "cgroupId" : "pid").get<std::uint64_t>());
        all.emplace_back(labelsOf(item), found == containers_.end() ? &none : &found->second);
    }
    out.family("events_source_info", "gauge", "What denials are seen by.");
    out.sample({{"source", source_}}, 1);
    out.family("events", "counter", "Events of the container, by kind.");
    for (const auto& [labels, counts] : all) {
        for (const char* kind : countedKinds) {
            Labels these = labels;
            these.emplace_back("kind", kind);
            const auto found = counts->kinds.find(kind);
            out.sample(these, found == counts->kinds.end() ? 0 : found->second, "_total");
        }
    }
    out.family("accesses_denied", "counter", "Accesses that Landlock has denied, by a right that they needed.");
    addAccesses(out, all, &Counts::denied);
    out.family("accesses_audited", "counter", "Accesses that audited entries would have denied, by right; each once.");
    addAccesses(out, all, &Counts::wouldDeny);
    out.family("container_events_lost", "counter", "Events of the container that were not told.");
    for (const auto& [labels, counts] : all) {
        out.sample(labels, counts->lost, "_total");
    }
    out.family("events_lost", "counter", "Events that were not told, and whose they were is not known.");
    const auto nobodys = containers_.find(0);
    out.sample({}, nobodys == containers_.end() ? 0 : nobodys->second.lost, "_total");
}

}  // namespace cli
