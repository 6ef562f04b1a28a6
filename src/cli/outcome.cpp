// SPDX-License-Identifier: Apache-2.0
#include "cli/outcome.hpp"

#include <syslog.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "cli/report.hpp"
#include "sys/error.hpp"
#include "sys/log.hpp"

namespace cli {

using nlohmann::json;

namespace {

constexpr std::size_t maxLinksBytes = 2000;

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
        const std::string counter = field + "LeftOut";
        item[counter] = item.value(counter, std::size_t{0}) + left;
    }
}

}  // namespace

std::string outcomeOf(const profile::Profile& profile, const Prepared& prepared)
{
    for (const std::size_t most : {std::size_t{4096}, std::size_t{16}, std::size_t{4}, std::size_t{0}}) {
        json entries = json::array();
        for (std::size_t i = 0; i < profile.entries.size(); ++i) {
            const profile::Entry& entry = profile.entries[i];
            json item = {{"name", entry.name},
                         {"layers", entry.layers.size()},
                         {"enforcement", enforcementOf(entry, prepared.skipped[i].empty())}};
            if (entry.mode == profile::Mode::audit) {
                item["mode"] = "audit";
            }
            std::vector<std::string> dropped;
            for (const profile::Dropped& one : entry.dropped) {
                dropped.push_back(one.what);
            }
            add(item, "dropped", dropped, most);
            add(item, "missingPaths", prepared.skipped[i], most);
            add(item, "links", prepared.led[i], most);
            add(item, "obstacles", prepared.obstacles[i], most);
            entries.push_back(std::move(item));
        }
        const json report = {{"profile", profile.source.substr(0, 200)}, {"entries", entries}};
        std::string text = report.dump(-1, ' ', true, json::error_handler_t::replace);
        if (text.size() < OLL_REPORT_SIZE) {
            return text;
        }
    }
    return "{}";
}

namespace {

// `names` are of letters, digits and escapes: bytes that JSON lets stand, but for the backslash.
std::string cut(const std::string& name, std::size_t most)
{
    return name.size() <= most ? name : name.substr(0, most) + "...";
}

}  // namespace

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

std::string policyOf(const profile::Profile& profile, const Prepared& prepared, unsigned abi)
{
    using Ordered = nlohmann::ordered_json;
    Ordered document{{"abi", abi}, {"entries", reportOf(profile)}};
    Ordered& entries = document["entries"];
    for (std::size_t i = 0; i < entries.size(); ++i) {
        std::set<std::string> missing(prepared.skipped[i].begin(), prepared.skipped[i].end());
        Ordered& entry = entries[i];
        entry["enforcement"] = enforcementOf(profile.entries[i], missing.empty());
        entry["skippedPaths"] = missing;
        missing.insert(prepared.absent[i].begin(), prepared.absent[i].end());
        entry["links"] = prepared.led[i];
        const bool audited = profile.entries[i].mode == profile::Mode::audit;
        if (audited) {
            entry["obstacles"] = prepared.obstacles[i];
        }
        std::size_t rulesBefore = 0;
        for (Ordered& layer : entry["layers"]) {
            for (const char* field : {"pathBeneath", "netPort"}) {
                const auto found = layer.find(field);
                if (found == layer.end()) {
                    continue;
                }
                Ordered rules = Ordered::array();
                for (Ordered& rule : *found) {
                    if (audited && rule.contains("path")) {
                        rule["leads"] = prepared.leads[i].at(rulesBefore++);
                    }
                    if (!rule.contains("path") || !missing.contains(rule["path"].get<std::string>())) {
                        rule.erase("pointer");
                        rules.push_back(std::move(rule));
                    }
                }
                *found = std::move(rules);
            }
        }
    }
    for (std::size_t most = profile::maxPaths;; most /= 4) {
        for (Ordered& entry : entries) {
            shorten(entry, "skippedPaths", most);
            shorten(entry, "links", most);
            shorten(entry, "obstacles", most);
            for (Ordered& layer : entry["layers"]) {
                shorten(layer, "pathBeneath", most);
                shorten(layer, "netPort", most);
            }
        }
        std::string text = document.dump(-1, ' ', true, json::error_handler_t::replace);
        if (text.size() <= maxPolicyBytes) {
            return text;
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
    for (std::size_t i = 0; i < profile.entries.size(); ++i) {
        if (const std::string audit = auditLine(profile.entries[i]); !audit.empty()) {
            sys::tell(LOG_WARNING, label, audit);
        }
        for (const std::string& obstacle : prepared.obstacles[i]) {
            sys::tell(LOG_WARNING, label,
                      "entry " + sys::printable(profile.entries[i].name) +
                          ", enforced, would keep the container from starting: " + obstacle);
        }
        const std::string partial = partialLine(profile.entries[i], prepared.skipped[i]);
        if (!partial.empty()) {
            sys::tell(LOG_NOTICE, label, partial);
        }
        std::string links;
        for (const std::string& led : prepared.led[i]) {
            links += (links.empty() ? "" : ", ") + led;
        }
        if (!links.empty()) {
            sys::tell(LOG_NOTICE, label,
                      "entry " + sys::printable(profile.entries[i].name) + ": by symbolic links of the image, " +
                          sys::printable(links, maxLinksBytes));
        }
    }
}

}  // namespace cli
