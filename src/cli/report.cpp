// SPDX-License-Identifier: Apache-2.0
#include "cli/report.hpp"

#include "landlock/access.hpp"

namespace cli {

namespace {

using landlock::Kind;
using json = nlohmann::ordered_json;

json rightNames(Kind kind, std::uint64_t mask)
{
    json names = json::array();
    for (; mask != 0; mask &= mask - 1) {
        const std::uint64_t bit = mask & -mask;
        const landlock::Right* right = landlock::findRight(kind, bit);
        names.push_back(right != nullptr ? json(right->name) : json(bit));
    }
    return names;
}

void addRights(json& object, const char* field, Kind kind, std::uint64_t mask)
{
    if (mask != 0) {
        object[field] = rightNames(kind, mask);
    }
}

json layerReport(const profile::Layer& layer)
{
    json out = json::object();
    addRights(out, "handledAccessFs", Kind::fs, layer.handledFs);
    addRights(out, "handledAccessNet", Kind::net, layer.handledNet);
    addRights(out, "scoped", Kind::scope, layer.scoped);
    addRights(out, "quietAccessFs", Kind::fs, layer.quietFs);
    addRights(out, "quietAccessNet", Kind::net, layer.quietNet);
    addRights(out, "quietScoped", Kind::scope, layer.quietScoped);
    for (const profile::PathRule& rule : layer.paths) {
        json item = {{"path", rule.path},
                     {"allowedAccess", rightNames(Kind::fs, rule.access)},
                     {"pointer", rule.pointer}};
        if (rule.quiet) {
            item["quiet"] = true;
        }
        out["pathBeneath"].push_back(std::move(item));
    }
    for (const profile::PortRule& rule : layer.ports) {
        json item = {{"port", rule.port},
                     {"allowedAccess", rightNames(Kind::net, rule.access)},
                     {"pointer", rule.pointer}};
        if (rule.quiet) {
            item["quiet"] = true;
        }
        out["netPort"].push_back(std::move(item));
    }
    return out;
}

json droppedReport(const profile::Dropped& dropped)
{
    json item = {{"what", dropped.what}, {"pointer", dropped.pointer}};
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
json notesOf(const profile::Entry& entry)
{
    json notes = json::array();
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

json selectReport(const profile::Selection& select)
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

json logReport(const profile::Entry& entry)
{
    return {{"sameExec", (entry.restrictFlags & landlock::logSameExecOff) == 0},
            {"newExec", (entry.restrictFlags & landlock::logNewExecOn) != 0},
            {"subdomains", (entry.restrictFlags & landlock::logSubdomainsOff) == 0}};
}

json entryReport(const profile::Entry& entry)
{
    json out = {{"name", entry.name},
                {"select", selectReport(entry.select)},
                {"sessions", entry.select.sessions},
                {"compat", entry.compat == profile::Compat::require ? "require" : "best-effort"},
                {"missingPaths", entry.missingPaths == profile::MissingPaths::skip ? "skip" : "error"},
                {"noNewPrivileges", entry.noNewPrivileges}};
    if (entry.logRequested) {
        out["log"] = logReport(entry);
    }
    out["enforcement"] = profile::enforcementOf(entry);
    out["dropped"] = json::array();
    for (const profile::Dropped& dropped : entry.dropped) {
        out["dropped"].push_back(droppedReport(dropped));
    }
    out["layers"] = json::array();
    for (const profile::Layer& layer : entry.layers) {
        out["layers"].push_back(layerReport(layer));
    }
    out["notes"] = notesOf(entry);
    return out;
}

std::string words(const json& list)
{
    std::string out;
    for (const json& item : list) {
        out +=
            (out.empty() ? "" : " ") + (item.is_string() ? sys::printable(item.get<std::string>(), 8192) : item.dump());
    }
    return out;
}

std::string rulesText(const json& layer, const char* field, const char* key, const char* label)
{
    std::string out;
    for (const json& rule : layer.value(field, json::array())) {
        out += "      " + std::string(label) + " " + words(json::array({rule[key]})) + ": " +
               words(rule["allowedAccess"]) + (rule.value("quiet", false) ? " (quiet)" : "") + "\n";
    }
    return out;
}

// What a record has no room for.
std::string leftOutText(const json& item, const std::string& field, const std::string& before)
{
    const auto found = item.find(field + "LeftOut");
    return found == item.end() ? "" : before + " " + found->dump() + " more that are not recorded\n";
}

std::string layerText(const json& layer)
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

std::string selectText(const json& select)
{
    if (select.is_string()) {
        return "the entrypoint";
    }
    const bool except = select.contains("except");
    return (except ? "every program except " : "") + words(select[except ? "except" : "program"]);
}

std::string entryText(const json& entry)
{
    std::string out = "  entry " + words(json::array({entry["name"]})) + ": " + selectText(entry["select"]) +
                      (entry["sessions"] ? "" : ", not in exec sessions") + "\n";
    out += "    enforcement: " + entry["enforcement"].get<std::string>() + "\n";
    for (const json& dropped : entry["dropped"]) {
        out += "    without " + dropped["what"].get<std::string>() +
               (dropped.contains("why")   ? ": " + dropped["why"].get<std::string>()
                : dropped.contains("abi") ? ": needs Landlock ABI " + dropped["abi"].dump() + ", Linux " +
                                                dropped["kernel"].get<std::string>()
                                          : ": no kernel that this version knows has it") +
               " (" + dropped["pointer"].get<std::string>() + ")\n";
    }
    for (const json& path : entry.value("skippedPaths", json::array())) {
        out += "    without " + words(json::array({path})) + ": it was not there\n";
    }
    out += leftOutText(entry, "skippedPaths", "    without");
    for (const json& link : entry.value("links", json::array())) {
        out += "    link " + words(json::array({link})) + "\n";
    }
    out += leftOutText(entry, "links", "    link");
    if (!entry["noNewPrivileges"]) {
        out += "    may gain privileges by an exec (noNewPrivileges: false)\n";
    }
    for (std::size_t i = 0; i < entry["layers"].size(); ++i) {
        out += "    layer " + std::to_string(i) + "\n" + layerText(entry["layers"][i]);
    }
    for (const json& note : entry["notes"]) {
        out += "    note: " + note.get<std::string>() + "\n";
    }
    return out;
}

}  // namespace

json reportOf(const profile::Profile& profile)
{
    json entries = json::array();
    for (const profile::Entry& entry : profile.entries) {
        entries.push_back(entryReport(entry));
    }
    return entries;
}

json reportOf(const profile::Invalid& error)
{
    json problems = json::array();
    for (const profile::Problem& problem : error.problems()) {
        json item = {{"pointer", problem.pointer}};
        if (problem.line != 0) {
            item["line"] = problem.line;
        }
        item["message"] = problem.message;
        problems.push_back(std::move(item));
    }
    return problems;
}

std::string textOf(const json& report)
{
    std::string out;
    for (const json& entry : report) {
        out += entryText(entry);
    }
    return out;
}

}  // namespace cli
