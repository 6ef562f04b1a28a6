// SPDX-License-Identifier: Apache-2.0
#include "cli/outcome.hpp"

#include <syslog.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <utility>

#include "cli/report.hpp"
#include "sys/error.hpp"
#include "sys/json.hpp"
#include "sys/log.hpp"

namespace cli {

using nlohmann::json;

namespace {

// Of a line in the log, which a container writes at each start. What is longer than a few hundred KiB syslog drops.
constexpr std::size_t maxListBytes = 2000;
// Of a container. systemd's journal drops what its engine says next where there are thousands, of other containers too.
constexpr std::size_t mostObstaclesTold = 10;

// At most `most` of the list, and how many more there are.
void add(json& item, const char* field, const std::vector<std::string>& list, std::size_t most)
{
    for (std::size_t i = 0; i < list.size() && i < most; ++i) {
        item[field].push_back(list[i]);
    }
    if (list.size() > most) {
        item[field].push_back(std::to_string(list.size() - most) + " more");
    }
}

std::string_view enforcementOf(const profile::Entry& entry, bool allFound)
{
    const std::string_view asked = profile::enforcementOf(entry);
    return asked == "full" && !allFound ? "partial" : asked;
}

// The same of a list that is there already; how many are missing is counted beside it.
void shorten(nlohmann::ordered_json& item, const std::string& field, std::size_t most)
{
    const auto found = item.find(field);
    if (found != item.end() && found->size() > most) {
        const std::size_t left = found->size() - most;
        found->erase(found->begin() + static_cast<std::ptrdiff_t>(most), found->end());
        item[field + "LeftOut"] = left;
    }
}

std::string cut(const std::string& text, std::size_t most)
{
    return text.size() <= most ? text : text.substr(0, most) + "...";
}

// The entries of a report: with `most` of each list, or without them and all else that `status` can do without.
json inShort(const profile::Profile& profile, const Prepared& prepared, std::optional<std::size_t> most)
{
    json entries = json::array();
    for (std::size_t i = 0; i < profile.entries.size(); ++i) {
        const profile::Entry& entry = profile.entries[i];
        json item = {{"name", entry.name}, {"enforcement", enforcementOf(entry, prepared.skipped[i].empty())}};
        if (entry.mode == profile::Mode::audit) {
            item["mode"] = "audit";
        }
        if (most) {
            item["layers"] = entry.layers.size();
            std::vector<std::string> dropped;
            for (const profile::Dropped& one : entry.dropped) {
                dropped.push_back(one.what);
            }
            add(item, "dropped", dropped, *most);
            add(item, "missingPaths", prepared.skipped[i], *most);
            add(item, "links", prepared.led[i], *most);
            add(item, "obstacles", prepared.obstacles[i], *most);
        }
        entries.push_back(std::move(item));
    }
    return entries;
}

}  // namespace

std::string outcomeOf(const profile::Profile& profile, const Prepared& prepared)
{
    const auto text = [&](std::optional<std::size_t> most, std::size_t sourceBytes) {
        const json report = {{"profile", cut(profile.source, sourceBytes)},
                             {"entries", inShort(profile, prepared, most)}};
        return sys::oneLineOf(report);
    };
    for (const std::size_t most : {std::size_t{4096}, std::size_t{16}, std::size_t{4}, std::size_t{0}}) {
        if (std::string all = text(most, 200); all.size() < OLL_REPORT_SIZE) {
            return all;
        }
    }
    // The most entries with the longest names leave room for this many bytes, each an escape.
    return text(std::nullopt, 24);
}

// Names are of letters, digits and escapes: bytes that JSON lets stand, but for the backslash.
std::string aboutOf(const oci::Names& names, const profile::Profile& profile, const std::optional<std::string>& learn)
{
    for (std::size_t most = OLL_ABOUT_SIZE;; most /= 2) {
        json about = json::object();
        for (const auto& [key, name] : {std::pair{"namespace", names.nameSpace}, std::pair{"pod", names.pod},
                                        std::pair{"container", names.container}}) {
            if (!name.empty()) {
                about["names"][key] = cut(name, most);
            }
        }
        for (const auto& [key, digest] :
             {std::pair{"digest", profile.digest}, std::pair{"baselineDigest", profile.baselineDigest}}) {
            if (digest) {
                about[key] = sys::toText(*digest);
            }
        }
        if (learn) {
            about["learn"] = *learn;
        }
        std::string text = about.dump();
        if (text.size() < OLL_ABOUT_SIZE) {
            return text;
        }
    }
}

namespace {

using Ordered = nlohmann::ordered_json;

// An object to which more members are added. Most of a policy's bytes are rules, and those are written as text: as
// values of their own they took the hook nearly as long as their paths did.
std::string opened(const Ordered& object)
{
    std::string text = sys::oneLineOf(object);
    text.pop_back();
    return text;
}

std::string quoted(const std::string& text)
{
    const bool plain = std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
    return plain ? '"' + text + '"' : sys::oneLineOf(json(text));
}

// Those of one kind in one layer.
class RulesText {
public:
    RulesText(landlock::Kind kind, const char* field) : kind_(kind), field_(field) {}

    // `what` it is about, and `more` of it: members.
    void add(const std::string& what, std::uint64_t access, bool quiet, const std::string& more = "")
    {
        auto [rights, isNew] = rights_.try_emplace(access);
        if (isNew) {
            rights->second = rightNames(kind_, access).dump();
        }
        rules_ += (count_++ == 0 ? "{" : ",{") + what + ",\"allowedAccess\":" + rights->second +
                  (quiet ? ",\"quiet\":true" : "") + more + "}";
    }

    // A member for a layer that has so many of them in all.
    std::string member(std::size_t all) const
    {
        const std::string name = std::string(",\"") + field_;
        return name + "\":[" + rules_ + "]" + (count_ < all ? name + "LeftOut\":" + std::to_string(all - count_) : "");
    }

private:
    landlock::Kind kind_;
    const char* field_;
    std::string rules_;
    std::size_t count_ = 0;
    std::map<std::uint64_t, std::string> rights_;  // as they are written
};

// At most `most` of its rules of each kind, without those of which nothing is there; how many more it has is counted.
// `leads`: where the entry is audited, and those of this layer's paths begin at `place`.
std::string rulesOf(const profile::Layer& layer, const std::set<std::string>& missing, std::size_t most,
                    const std::vector<std::string>* leads, std::size_t place)
{
    const auto isMissing = [&](const profile::PathRule& rule) { return missing.contains(rule.path); };
    RulesText paths(landlock::Kind::fs, "pathBeneath");
    for (std::size_t i = 0; i < std::min(most, layer.paths.size()); ++i) {
        const profile::PathRule& rule = layer.paths[i];
        if (isMissing(rule)) {
            continue;
        }
        paths.add("\"path\":" + quoted(rule.path), rule.access, rule.quiet,
                  leads != nullptr ? ",\"leads\":" + quoted(leads->at(place + i)) : "");
    }
    RulesText ports(landlock::Kind::net, "netPort");
    for (const profile::PortRule& rule : std::span(layer.ports).first(std::min(most, layer.ports.size()))) {
        ports.add("\"port\":" + std::to_string(rule.port), rule.access, rule.quiet);
    }
    const auto found = static_cast<std::size_t>(std::ranges::count_if(layer.paths, std::not_fn(isMissing)));
    return (layer.paths.empty() ? "" : paths.member(found)) +
           (layer.ports.empty() ? "" : ports.member(layer.ports.size()));
}

// `most`: rules of each kind in each layer, and so many of each list.
std::string policyWith(const profile::Profile& profile, const Prepared& prepared, unsigned abi, std::size_t most)
{
    Ordered entries = reportOf(profile, 0);
    std::string out = opened({{"abi", abi}}) + ",\"entries\":[";
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const profile::Entry& whole = profile.entries[i];
        std::set<std::string> missing(prepared.skipped[i].begin(), prepared.skipped[i].end());
        Ordered& entry = entries[i];
        entry["enforcement"] = enforcementOf(whole, missing.empty());
        entry["skippedPaths"] = missing;
        missing.insert(prepared.absent[i].begin(), prepared.absent[i].end());
        entry["links"] = prepared.led[i];
        const bool audited = whole.mode == profile::Mode::audit;
        if (audited) {
            entry["obstacles"] = prepared.obstacles[i];
        }
        for (const char* list : {"skippedPaths", "links", "obstacles"}) {
            shorten(entry, list, most);
        }
        const Ordered layers = std::move(entry["layers"]);
        entry.erase("layers");
        out += (i == 0 ? "" : ",") + opened(entry) + ",\"layers\":[";
        std::size_t pathsBefore = 0;
        for (std::size_t l = 0; l < whole.layers.size(); ++l) {
            out += (l == 0 ? "" : ",") + opened(layers[l]) +
                   rulesOf(whole.layers[l], missing, most, audited ? &prepared.leads[i] : nullptr, pathsBefore) + "}";
            pathsBefore += whole.layers[l].paths.size();
        }
        out += "]}";
    }
    return out + "]}";
}

// No policy with so many rules in each layer takes less: most of the largest are never written out.
std::size_t leastBytes(const profile::Profile& profile, const Prepared& prepared, std::size_t most)
{
    constexpr std::size_t frame = std::string_view(R"({"path":"","allowedAccess":[]})").size();
    constexpr std::size_t shortestRight = std::string_view(R"("refer",)").size();
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < profile.entries.size(); ++i) {
        if (!prepared.skipped[i].empty() || !prepared.absent[i].empty()) {
            continue;
        }
        for (const profile::Layer& layer : profile.entries[i].layers) {
            for (const profile::PathRule& rule : std::span(layer.paths).first(std::min(most, layer.paths.size()))) {
                bytes +=
                    frame + rule.path.size() + shortestRight * static_cast<std::size_t>(std::popcount(rule.access));
            }
        }
    }
    return bytes;
}

}  // namespace

std::string policyOf(const profile::Profile& profile, const Prepared& prepared, unsigned abi)
{
    for (std::size_t most = profile::maxPaths;; most /= 4) {
        if (leastBytes(profile, prepared, most) <= maxPolicyBytes) {
            std::string text = policyWith(profile, prepared, abi, most);
            if (text.size() <= maxPolicyBytes) {
                return text;
            }
        }
        if (most == 0) {
            return "{}";
        }
    }
}

std::string labelOf(const std::string& id, const oci::Names& names)
{
    const std::string name = joined(names);
    const std::string label = name.empty() ? id : id + " (" + name + ")";
    return label.size() < OLL_ID_SIZE ? label : label.substr(0, OLL_ID_SIZE - 4) + "...";
}

std::string partialLine(const profile::Entry& entry, const std::vector<std::string>& skipped)
{
    std::string what;
    for (const profile::Dropped& dropped : entry.dropped) {
        what += (what.empty() ? "" : ", ") + sys::printable(dropped.what);
        what += !dropped.why.empty() ? " (" + sys::printable(dropped.why) + ")"
                : dropped.abi == 0   ? " (unknown)"
                                     : " (needs Landlock ABI " + std::to_string(dropped.abi) + ")";
    }
    for (const std::string& path : skipped) {
        what += (what.empty() ? "" : ", ") + sys::printable(path) + " (missing)";
    }
    return what.empty()
               ? ""
               : "entry " + sys::printable(entry.name) + (entry.mode == profile::Mode::audit ? " would be" : " is") +
                     " enforced partially, without " + what;
}

std::string auditLine(const profile::Entry& entry)
{
    return entry.mode == profile::Mode::audit
               ? "entry " + sys::printable(entry.name) +
                     " is NOT ENFORCED (audit): it protects nothing, and what it would deny is told by "
                     "`oci-landlock events`, while that runs"
               : "";
}

void tellPartial(const std::string& label, const profile::Profile& profile, const Prepared& prepared)
{
    std::size_t obstacles = 0;
    for (std::size_t i = 0; i < profile.entries.size(); ++i) {
        if (const std::string audit = auditLine(profile.entries[i]); !audit.empty()) {
            sys::tell(LOG_WARNING, label, audit);
        }
        for (const std::string& obstacle : prepared.obstacles[i]) {
            if (++obstacles > mostObstaclesTold) {
                continue;
            }
            sys::tell(LOG_WARNING, label,
                      "entry " + sys::printable(profile.entries[i].name) +
                          ", enforced, would keep the container from starting: " +
                          sys::printable(obstacle, maxListBytes));
        }
        const std::string partial = partialLine(profile.entries[i], prepared.skipped[i]);
        if (!partial.empty()) {
            sys::tell(LOG_NOTICE, label, sys::printable(partial, maxListBytes));
        }
        std::string links;
        for (const std::string& led : prepared.led[i]) {
            links += (links.empty() ? "" : ", ") + led;
        }
        if (!links.empty()) {
            sys::tell(LOG_NOTICE, label,
                      "entry " + sys::printable(profile.entries[i].name) + ": by symbolic links of the image, " +
                          sys::printable(links, maxListBytes));
        }
    }
    if (obstacles > mostObstaclesTold) {
        sys::tell(LOG_WARNING, label,
                  std::to_string(obstacles - mostObstaclesTold) +
                      " more such obstacles; `oci-landlock inspect` lists them");
    }
}

}  // namespace cli
