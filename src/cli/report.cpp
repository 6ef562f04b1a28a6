// SPDX-License-Identifier: Apache-2.0
#include "cli/report.hpp"

#include <algorithm>
#include <span>

#include "landlock/access.hpp"

namespace cli {

using landlock::Kind;
using nlohmann::ordered_json;

ordered_json rightNames(Kind kind, std::uint64_t mask)
{
    ordered_json names = ordered_json::array();
    for (; mask != 0; mask &= mask - 1) {
        const std::uint64_t bit = mask & -mask;
        const landlock::Right* right = landlock::findRight(kind, bit);
        names.push_back(right != nullptr ? ordered_json(right->name) : ordered_json(bit));
    }
    return names;
}

namespace {

void addRights(ordered_json& object, const char* field, Kind kind, std::uint64_t mask)
{
    if (mask != 0) {
        object[field] = rightNames(kind, mask);
    }
}

template <typename Rule>
std::span<const Rule> firstOf(const std::vector<Rule>& rules, std::size_t most)
{
    return std::span(rules).first(std::min(most, rules.size()));
}

ordered_json layerReport(const profile::Layer& layer, std::size_t most)
{
    ordered_json out = ordered_json::object();
    addRights(out, "handledAccessFs", Kind::fs, layer.handledFs);
    addRights(out, "handledAccessNet", Kind::net, layer.handledNet);
    addRights(out, "scoped", Kind::scope, layer.scoped);
    addRights(out, "quietAccessFs", Kind::fs, layer.quietFs);
    addRights(out, "quietAccessNet", Kind::net, layer.quietNet);
    addRights(out, "quietScoped", Kind::scope, layer.quietScoped);
    for (const profile::PathRule& rule : firstOf(layer.paths, most)) {
        ordered_json item = {{"path", rule.path},
                             {"allowedAccess", rightNames(Kind::fs, rule.access)},
                             {"pointer", rule.pointer}};
        if (rule.quiet) {
            item["quiet"] = true;
        }
        out["pathBeneath"].push_back(std::move(item));
    }
    for (const profile::PortRule& rule : firstOf(layer.ports, most)) {
        ordered_json item = {{"port", rule.port},
                             {"allowedAccess", rightNames(Kind::net, rule.access)},
                             {"pointer", rule.pointer}};
        if (rule.quiet) {
            item["quiet"] = true;
        }
        out["netPort"].push_back(std::move(item));
    }
    return out;
}

ordered_json droppedReport(const profile::Dropped& dropped)
{
    ordered_json item = {{"what", dropped.what}, {"pointer", dropped.pointer}};
    if (!dropped.why.empty()) {
        item["why"] = dropped.why;
    }
    if (dropped.abi != 0) {
        item["abi"] = dropped.abi;
        item["kernel"] = landlock::kernelRelease(dropped.abi);
    }
    return item;
}

// Consequences that the policy does not spell out.
ordered_json notesOf(const profile::Entry& entry)
{
    ordered_json notes = ordered_json::array();
    constexpr std::uint64_t refer = std::uint64_t{1} << 13;
    static_assert(landlock::rights[13].name == "refer" && landlock::rights[13].bit == 13);
    for (const profile::Layer& layer : entry.layers) {
        if (layer.handledFs != 0 && (layer.handledFs & refer) == 0) {
            notes.push_back(
                "refer is not handled, so Landlock denies it everywhere: files cannot be moved or linked to another directory");
            break;
        }
    }
    return notes;
}

ordered_json selectReport(const profile::Selection& select)
{
    switch (select.kind) {
        case profile::Selector::program:
            return {{"program", select.programs}};
        case profile::Selector::except:
            return {{"except", select.programs}};
        case profile::Selector::entrypoint:
            break;
    }
    return "entrypoint";
}

ordered_json logReport(const profile::Entry& entry)
{
    return {{"sameExec", (entry.restrictFlags & landlock::logSameExecOff) == 0},
            {"newExec", (entry.restrictFlags & landlock::logNewExecOn) != 0},
            {"subdomains", (entry.restrictFlags & landlock::logSubdomainsOff) == 0}};
}

ordered_json entryReport(const profile::Entry& entry, std::size_t most)
{
    ordered_json out = {{"name", entry.name},
                        {"mode", entry.mode == profile::Mode::audit ? "audit" : "enforce"},
                        {"select", selectReport(entry.select)},
                        {"sessions", entry.select.sessions},
                        {"compat", entry.compat == profile::Compat::require ? "require" : "best-effort"},
                        {"missingPaths", entry.missingPaths == profile::MissingPaths::skip ? "skip" : "error"},
                        {"noNewPrivileges", entry.noNewPrivileges}};
    if (entry.logRequested) {
        out["log"] = logReport(entry);
    }
    out["enforcement"] = profile::enforcementOf(entry);
    out["dropped"] = ordered_json::array();
    for (const profile::Dropped& dropped : entry.dropped) {
        out["dropped"].push_back(droppedReport(dropped));
    }
    out["layers"] = ordered_json::array();
    for (const profile::Layer& layer : entry.layers) {
        out["layers"].push_back(layerReport(layer, most));
    }
    out["notes"] = notesOf(entry);
    return out;
}

std::string words(const ordered_json& list)
{
    std::string out;
    for (const ordered_json& item : list) {
        out +=
            (out.empty() ? "" : " ") + (item.is_string() ? sys::printable(item.get<std::string>(), 8192) : item.dump());
    }
    return out;
}

// Whose rule it is where that is not the profile alone.
std::string fragmentText(const ordered_json& rule)
{
    const std::string pointer = rule.value("pointer", "");
    return pointer.find('#') == std::string::npos ? "" : " (" + sys::printable(pointer, 8192) + ")";
}

std::string rulesText(const ordered_json& layer, const char* field, const char* key, const char* label)
{
    std::string out;
    for (const ordered_json& rule : layer.value(field, ordered_json::array())) {
        out += "      " + std::string(label) + " " + words(ordered_json::array({rule[key]})) + ": " +
               words(rule["allowedAccess"]) + (rule.value("quiet", false) ? " (quiet)" : "") + fragmentText(rule) +
               "\n";
    }
    return out;
}

// What a record has no room for.
std::string leftOutText(const ordered_json& item, const std::string& field, const std::string& before)
{
    const auto found = item.find(field + "LeftOut");
    return found == item.end() ? "" : before + " " + found->dump() + " more that are not recorded\n";
}

std::string layerText(const ordered_json& layer)
{
    std::string out;
    for (const auto& [field, label] :
         {std::pair{"handledAccessFs", "denies fs:"}, std::pair{"handledAccessNet", "denies net:"},
          std::pair{"scoped", "denies outside:"}, std::pair{"quietAccessFs", "quiet fs:"},
          std::pair{"quietAccessNet", "quiet net:"}, std::pair{"quietScoped", "quiet outside:"}}) {
        if (layer.contains(field)) {
            out += "      " + std::string(label) + " " + words(layer[field]) + "\n";
        }
    }
    return out + rulesText(layer, "pathBeneath", "path", "allows") +
           leftOutText(layer, "pathBeneath", "      allows paths:") +
           rulesText(layer, "netPort", "port", "allows port") + leftOutText(layer, "netPort", "      allows ports:");
}

std::string selectText(const ordered_json& select)
{
    if (select.is_string()) {
        return "the entrypoint";
    }
    const bool except = select.contains("except");
    return (except ? "every program except " : "") + words(select[except ? "except" : "program"]);
}

constexpr const char* auditWords =
    ": AUDIT, it protects nothing; what it would deny is told by `oci-landlock events`, while that runs";

std::string entryText(const ordered_json& entry)
{
    std::string out = "  entry " + words(ordered_json::array({entry["name"]})) + ": " + selectText(entry["select"]) +
                      (entry["sessions"] ? "" : ", not in exec sessions") + "\n";
    const bool audited = entry.value("mode", "") == "audit";
    out += "    enforcement: " + entry["enforcement"].get<std::string>() + (audited ? auditWords : "") + "\n";
    for (const ordered_json& obstacle : entry.value("obstacles", ordered_json::array())) {
        out +=
            "    enforced, it would keep the container from starting: " + words(ordered_json::array({obstacle})) + "\n";
    }
    out += leftOutText(entry, "obstacles", "    enforced, it would keep the container from starting:");
    for (const ordered_json& dropped : entry["dropped"]) {
        out += "    without " + dropped["what"].get<std::string>() +
               (dropped.contains("why")   ? ": " + dropped["why"].get<std::string>()
                : dropped.contains("abi") ? ": needs Landlock ABI " + dropped["abi"].dump() + ", Linux " +
                                                dropped["kernel"].get<std::string>()
                                          : ": no kernel that this version knows has it") +
               " (" + dropped["pointer"].get<std::string>() + ")\n";
    }
    for (const ordered_json& path : entry.value("skippedPaths", ordered_json::array())) {
        out += "    without " + words(ordered_json::array({path})) + ": it was not there\n";
    }
    out += leftOutText(entry, "skippedPaths", "    without");
    for (const ordered_json& link : entry.value("links", ordered_json::array())) {
        out += "    link " + words(ordered_json::array({link})) + "\n";
    }
    out += leftOutText(entry, "links", "    link");
    if (!entry["noNewPrivileges"] && !audited) {
        out += "    may gain privileges by an exec (noNewPrivileges: false)\n";
    }
    for (std::size_t i = 0; i < entry["layers"].size(); ++i) {
        out += "    layer " + std::to_string(i) + "\n" + layerText(entry["layers"][i]);
    }
    for (const ordered_json& note : entry["notes"]) {
        out += "    note: " + note.get<std::string>() + "\n";
    }
    return out;
}

}  // namespace

ordered_json reportOf(const profile::Profile& profile, std::size_t most)
{
    ordered_json entries = ordered_json::array();
    for (const profile::Entry& entry : profile.entries) {
        entries.push_back(entryReport(entry, most));
    }
    return entries;
}

ordered_json reportOf(const profile::Invalid& error)
{
    ordered_json problems = ordered_json::array();
    for (const profile::Problem& problem : error.problems()) {
        ordered_json item = {{"pointer", problem.pointer}};
        if (problem.line != 0) {
            item["line"] = problem.line;
        }
        item["message"] = problem.message;
        problems.push_back(std::move(item));
    }
    return problems;
}

std::string textOf(const ordered_json& report)
{
    std::string out;
    for (const ordered_json& entry : report) {
        out += entryText(entry);
    }
    return out;
}

}  // namespace cli
