// SPDX-License-Identifier: Apache-2.0
#include "cli/event.hpp"

#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "cli/containers.hpp"
#include "cli/denial.hpp"
#include "landlock/access.hpp"
#include "profile/variable.hpp"
#include "sys/error.hpp"
#include "sys/json.hpp"

namespace cli {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::int64_t perSecond = 1'000'000'000;

template <std::size_t size>
std::string textIn(const char (&field)[size])
{
    return {field, strnlen(field, size)};
}

json parsed(const std::string& text)
{
    json object = json::parse(text, nullptr, false);
    return object.is_object() ? object : json::object();
}

void copyText(ordered_json& to, const json& from, const char* member)
{
    if (from.contains(member) && from[member].is_string()) {
        to[member] = from[member];
    }
}

landlock::Kind kindOf(std::uint32_t about)
{
    switch (about) {
        case OLL_ABOUT_NET:
            return landlock::Kind::net;
        case OLL_ABOUT_SCOPE:
            return landlock::Kind::scope;
        default:
            return landlock::Kind::fs;
    }
}

ordered_json rightsOf(const oll_seen& event)
{
    ordered_json names = ordered_json::array();
    if (event.about == OLL_ABOUT_PTRACE) {
        names.push_back("ptrace");
    } else if (event.about == OLL_ABOUT_TOPOLOGY) {
        names.push_back("change_topology");
    }
    for (const landlock::Right& right : landlock::rights) {
        if (right.kind == kindOf(event.about) && (event.rights & right.mask()) != 0) {
            names.push_back(right.name);
        }
    }
    return names;
}

// Rights that a rule can give on a directory alone.
bool ofDirectory(const oll_seen& event)
{
    for (const landlock::Right& right : landlock::rights) {
        if (right.kind == landlock::Kind::fs && (event.rights & right.mask()) != 0 && !right.file &&
            right.name != "read_dir") {
            return true;
        }
    }
    return false;
}

// A document cannot name others.
bool isText(const std::string& path)
{
    try {
        return !json(path).dump().empty();
    } catch (const json::type_error&) {
        return false;
    }
}

const char* kindOfEvent(std::uint32_t kind)
{
    switch (kind) {
        case OLL_SEEN_APPLIED:
            return "applied";
        case OLL_SEEN_FAILED_CLOSED:
            return "failedClosed";
        case OLL_SEEN_AUDITED:
            return "audited";
        case OLL_SEEN_WOULD_DENY:
            return "wouldDeny";
        default:
            return "denied";
    }
}

std::string joined(const ordered_json& names)
{
    std::string out;
    for (const ordered_json& name : names) {
        out += (out.empty() ? "" : ", ") + sys::printable(name.get<std::string>());
    }
    return out;
}

std::string whoText(const ordered_json& event)
{
    const std::string id = sys::stringIn(event, "container");
    if (id.empty()) {
        return "-";
    }
    const std::string name = nameOf(json(event));
    return sys::printable(name.empty() ? id : name, OLL_ID_SIZE);
}

std::string processText(const ordered_json& event)
{
    if (!event.contains("pid")) {
        return "somebody";
    }
    const std::string program = sys::stringIn(event, "program");
    return sys::printable(program.empty() ? sys::stringIn(event, "command") : program) + "[" + event["pid"].dump() +
           "]";
}

std::string objectText(const ordered_json& event)
{
    if (event.contains("path")) {
        return " " + sys::printable(event["path"].get<std::string>(), OLL_PATH_SIZE);
    }
    return event.contains("port") ? " port " + event["port"].dump() : "";
}

std::string whatText(const ordered_json& event, const std::string& kind)
{
    if (kind == "denied" || kind == "wouldDeny") {
        std::string out = processText(event) + " " + joined(event.at("rights")) + objectText(event);
        if (kind == "wouldDeny") {
            out += "; by " + joined(event.at("entries")) + ", which is NOT ENFORCED";
        }
        if (event.contains("allow")) {
            out += "; would be allowed by " + sys::printable(sys::oneLineOf(event["allow"]), 1000);
        }
        return out;
    }
    if (kind == "applied") {
        return processText(event) + " by " + joined(event.at("entries"));
    }
    if (kind == "audited") {
        return processText(event) + " by " + joined(event.at("entries")) + ", NOT ENFORCED";
    }
    if (kind == "failedClosed") {
        return processText(event) + " " + sys::printable(sys::stringIn(event, "reason"), 1000) +
               (event.contains("errno") ? std::string(" (") + std::strerror(event["errno"].get<int>()) + ")" : "");
    }
    if (kind == "partial") {
        return "entry " + sys::printable(sys::stringIn(event, "entry")) + " is enforced without " +
               sys::printable(joined(event.at("without")), 1000);
    }
    if (kind == "lost") {
        return event.at("count").dump() + " events: " + sys::stringIn(event, "why");
    }
    if (kind == "created") {
        const std::string audited = event.contains("audited") ? joined(event["audited"]) : "";
        return sys::printable(sys::stringIn(event, "profile")) +
               (audited.empty() ? "" : "; NOT ENFORCED, audit: " + audited);
    }
    return "";
}

}  // namespace

Named named(const oll_record& record)
{
    return named(textIn(record.container_id), textIn(record.about), textIn(record.report));
}

Named named(const std::string& id, const std::string& aboutText, const std::string& report)
{
    Named out;
    out.name["container"] = sys::printable(id, OLL_ID_SIZE);
    const json about = parsed(aboutText);
    if (about.contains("names") && about["names"].is_object()) {
        ordered_json names = ordered_json::object();
        for (const char* part : {"namespace", "pod", "container"}) {
            copyText(names, about["names"], part);
        }
        out.name["names"] = std::move(names);
    }
    out.report = parsed(report);
    copyText(out.name, out.report, "profile");
    copyText(out.name, about, "digest");
    out.learn = sys::stringIn(about, "learn");
    return out;
}

bool isNamed(const ordered_json& event, const std::string& wanted)
{
    const std::string name = nameOf(json(event));
    return sys::stringIn(event, "container").starts_with(wanted) || name == wanted || name.ends_with("/" + wanted);
}

std::string timeText(std::int64_t nanoseconds)
{
    const std::time_t seconds = nanoseconds / perSecond;
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    std::array<char, 64> text{};
    const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    std::snprintf(text.data() + length, text.size() - length, ".%06dZ",
                  static_cast<int>(nanoseconds % perSecond / 1000));
    return text.data();
}

ordered_json ruleFor(const oll_seen& event)
{
    if (event.about == OLL_ABOUT_NET && event.port != 0) {
        return {{"netPort", {{{"allowedAccess", rightsOf(event)}, {"port", {event.port}}}}}};
    }
    std::string path = textIn(event.path);
    if (event.about != OLL_ABOUT_FS || event.rights == 0 || !path.starts_with('/') || !isText(path)) {
        return nullptr;
    }
    // Landlock's own tracepoint has the directory already.
    if (event.exact == 0 && ofDirectory(event)) {
        path.erase(std::max<std::size_t>(path.rfind('/'), 1));
    }
    return {{"pathBeneath", {{{"allowedAccess", rightsOf(event)}, {"parent", {profile::literal(path)}}}}}};
}

ordered_json describe(const oll_seen& event, const Named* container, std::int64_t offset)
{
    ordered_json out = {{"time", timeText(static_cast<std::int64_t>(event.time) + offset)},
                        {"event", kindOfEvent(event.kind)}};
    if (container != nullptr) {
        out.update(container->name);
    }
    out["entries"] = entryNames(container == nullptr ? json::object() : container->report, event.entries);
    if (const std::string program = textIn(event.program); !program.empty()) {
        out["program"] = program;
    }
    // Audit records need not say who did it.
    if (event.tgid != 0) {
        out["command"] = textIn(event.comm);
        out["pid"] = event.tgid;
    }
    if (event.start_time != 0) {
        // As the kernel has it: a time of day would move with the clock, and name another process.
        out["startBootTimeNs"] = event.start_time;
    }
    if (event.kind == OLL_SEEN_FAILED_CLOSED) {
        const json why = describeDenial({.time = event.time,
                                         .tgid = event.tgid,
                                         .reason = event.reason,
                                         .error = event.error,
                                         .entry = 0,
                                         .comm = {}});
        out["reason"] = why["reason"];
        out["errno"] = why["errno"];
    }
    if (event.kind != OLL_SEEN_DENIED && event.kind != OLL_SEEN_WOULD_DENY) {
        return out;
    }
    out["rights"] = rightsOf(event);
    out["exact"] = event.exact != 0;
    if (event.path[0] != '\0') {
        out["path"] = textIn(event.path);
    }
    if (event.about == OLL_ABOUT_NET) {
        out["port"] = event.port;
    }
    if (event.domain != 0) {
        std::array<char, 17> text{};
        std::snprintf(text.data(), text.size(), "%llx", static_cast<unsigned long long>(event.domain));
        out["domain"] = text.data();
    }
    if (ordered_json rule = ruleFor(event); !rule.is_null()) {
        out["allow"] = std::move(rule);
    }
    return out;
}

std::string eventText(const ordered_json& event)
{
    const std::string kind = sys::stringIn(event, "event");
    const std::string what = whatText(event, kind);
    return sys::stringIn(event, "time") + " " + kind + " " + whoText(event) + (what.empty() ? "" : ": " + what);
}

}  // namespace cli
