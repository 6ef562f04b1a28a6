// SPDX-License-Identifier: Apache-2.0
// `doctor`: settings, the selector, the supervisor, systemd's units, and containers.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "applier/programs.hpp"
#include "cli/doctor.hpp"
#include "cli/request.hpp"
#include "cli/status.hpp"
#include "landlock/access.hpp"
#include "landlock/ruleset.hpp"
#include "node/node.hpp"
#include "sys/error.hpp"
#include "sys/run.hpp"

namespace cli {

namespace {

using nlohmann::json;
using sys::Finding;
using sys::Findings;
using sys::Severity;

constexpr const char* supervisorUnit = "oci-landlock-supervisor.service";
constexpr const char* loaderUnit = "oci-landlock.service";
constexpr unsigned nearlyFull = 80;  // percent

std::string shown(const json& value)
{
    return value.is_string() ? sys::printable(value.get<std::string>()) : value.dump();
}

bool systemdRuns()
{
    return engine::Files().exists("/run/systemd/system");
}

std::string howToStart()
{
    return systemdRuns() ? std::string("systemctl enable --now ") + supervisorUnit : "oci-landlock supervise";
}

Finding usageFinding(const char* name, const char* what, const json& usage)
{
    const auto used = usage["used"].get<std::uint64_t>();
    const auto total = usage["total"].get<std::uint64_t>();
    const bool full = used >= total;
    const bool nearly = used * 100 >= total * nearlyFull;
    return {name,
            full     ? Severity::problem
            : nearly ? Severity::note
                     : Severity::ok,
            std::to_string(used) + " of " + std::to_string(total) + " " + what + " are taken" +
                (full ? ": no further container with a profile starts" : ""),
            nearly ? "remove containers that are not needed; `oci-landlock status` lists them" : ""};
}

void lookAtContainer(const json& item, Findings& found)
{
    const std::string which = "container " + shown(item["id"]);
    const std::string anew = "start it anew";
    if (!item["intact"].get<bool>()) {
        found.push_back({"node.containers", Severity::problem,
                         which + ": programs that its profile lists are missing on the node, so that execs in it are "
                                 "denied",
                         anew});
    } else if (!item["held"].get<bool>()) {
        found.push_back({"node.containers", Severity::problem,
                         which + ": nobody holds its rulesets any more, so that what its profile selects is denied",
                         anew});
    } else if (item["denied"] != 0) {
        const json& last = item["lastDenial"];
        found.push_back({"node.containers", Severity::problem,
                         which + ": " + shown(item["denied"]) + " execs were denied; the last was of " +
                             shown(last["comm"]) + ": " + shown(last["reason"]),
                         "`oci-landlock status` and the system log say more"});
    } else if (!item.value("audited", json::array()).empty()) {
        found.push_back(
            {"node.containers", Severity::note, which + ": entries of its profile are audited, and protect nothing",
             "take \"mode\": \"audit\" out of the profile once `oci-landlock events` shows what it is to show"});
    } else if (item["started"] == true && item["applied"] == 0) {
        found.push_back({"node.containers", Severity::note,
                         which + ": nothing that its profile selects was executed so far",
                         "make sure that the profile names the program as the container executes it"});
    }
}

void lookAtLaunched(const json& containers, Findings& found)
{
    for (const json& item : containers) {
        if (item.contains("failure")) {
            found.push_back(
                {"node.containers", Severity::problem,
                 "container " + shown(item["id"]) + " asked for a sandbox and has none: " + shown(item["failure"]),
                 "stop it"});
        }
    }
}

void lookAtSupervisor(const json& status, Findings& found)
{
    if (status["supervisor"]["running"] == true) {
        found.push_back({"node.supervisor", Severity::ok,
                         "the supervisor runs (pid " + shown(status["supervisor"]["pid"]) + ") and holds " +
                             shown(status["supervisor"]["containers"]) + " containers",
                         ""});
        if (status["supervisor"]["version"] != status["version"]) {
            found.push_back({"node.supervisor", Severity::note,
                             "the supervisor is of version " + shown(status["supervisor"]["version"]) + ", this is " +
                                 shown(status["version"]),
                             std::string("systemctl restart ") + supervisorUnit});
        }
    } else {
        found.push_back({"node.supervisor", Severity::problem,
                         "the supervisor does not run: no container with a profile starts", howToStart()});
    }
}

Findings selectorFindings(const json& status)
{
    Findings found;
    const bool inject = status["kernel"]["bridge"] == false;
    if (status["loaded"] == false) {
        found.push_back({"node.selector", inject ? Severity::problem : Severity::note,
                         inject ? "neither the selector is loaded nor the supervisor runs: no container with a profile "
                                  "starts"
                                : "the selector is not loaded: the first container with a profile waits for that",
                         inject          ? howToStart()
                         : systemdRuns() ? std::string("systemctl enable --now ") + loaderUnit
                                         : "oci-landlock load"});
        return found;
    }
    found.push_back(
        {"node.selector", Severity::ok, "the selector is loaded, with the applier " + shown(status["applier"]), ""});
    if (status.value("stacks", true) == false) {
        found.push_back({"node.layers", Severity::note, oneLayer,
                         "take a kernel with the last patch of packaging/kernel, or the applier inject"});
    }
    if (status["loadedVersion"] != status["version"]) {
        found.push_back({"node.selector", Severity::note,
                         "the selector was loaded by version " + shown(status["loadedVersion"]) + ", this is " +
                             shown(status["version"]),
                         "at the next boot, or without containers: oci-landlock unload && oci-landlock load"});
    }
    if (status.contains("supervisor")) {
        lookAtSupervisor(status, found);
    }
    found.push_back(usageFinding("node.places", "places for containers", status["places"]));
    if (status.contains("slots")) {
        found.push_back(usageFinding("node.slots", "slots for rulesets", status["slots"]));
    }
    for (const json& item : status["containers"]) {
        lookAtContainer(item, found);
    }
    if (const json& strays = status["strays"]; strays.contains("lastDenial")) {
        found.push_back({"node.strays", Severity::note,
                         shown(strays["denied"]) +
                             " execs were denied in what containers have left behind; the last: " +
                             shown(strays["lastDenial"]["comm"]) + " (pid " + shown(strays["lastDenial"]["pid"]) + ")",
                         "end those processes"});
    }
    return found;
}

// `systemctl show` of some units: one block each, of lines NAME=VALUE.
std::map<std::string, std::map<std::string, std::string>> showUnits()
{
    const sys::Answer answer =
        sys::run({"/usr/bin/systemctl", "show", "--property=Id,LoadState,UnitFileState,ActiveState", loaderUnit,
                  supervisorUnit},
                 64UL * 1024);
    if (answer.status != 0) {
        throw sys::Error("systemctl show ended with status " + std::to_string(answer.status));
    }
    std::map<std::string, std::map<std::string, std::string>> units;
    std::map<std::string, std::string> unit;
    for (std::size_t begin = 0; begin <= answer.output.size();) {
        const std::size_t end = std::min(answer.output.find('\n', begin), answer.output.size());
        const std::string line = answer.output.substr(begin, end - begin);
        begin = end + 1;
        if (const std::size_t equals = line.find('='); equals != std::string::npos) {
            unit[line.substr(0, equals)] = sys::printable(line.substr(equals + 1));
        } else if (line.empty() && unit.contains("Id")) {
            const std::string id = unit["Id"];
            units[id] = std::exchange(unit, {});
        }
    }
    return units;
}

// Only what is wanted at the next boot, and what has failed: whether they work now is seen without systemd.
Findings unitFindings(bool inject)
{
    Findings found;
    auto units = showUnits();
    for (const char* name : {loaderUnit, supervisorUnit}) {
        if (name == supervisorUnit && !inject) {
            continue;
        }
        auto& unit = units[name];
        const bool needed = name == supervisorUnit;
        const std::string consequence = needed ? "after the next boot no container with a profile starts"
                                               : "the first container after a boot waits";
        if (unit["LoadState"] != "loaded") {
            found.push_back(
                {"node.units", needed ? Severity::problem : Severity::note,
                 std::string(name) + " is not known to systemd (" + unit["LoadState"] + "): " + consequence,
                 std::string("install ") + name + ", then: systemctl daemon-reload && systemctl enable --now " + name});
        } else if (unit["ActiveState"] == "failed") {
            found.push_back({"node.units", Severity::problem, std::string(name) + " has failed",
                             std::string("journalctl -u ") + name});
        } else if (!unit["UnitFileState"].starts_with("enabled")) {
            found.push_back({"node.units", needed ? Severity::problem : Severity::note,
                             std::string(name) + " is " + unit["ActiveState"] + ", and not enabled: " + consequence,
                             std::string("systemctl enable --now ") + name});
        } else {
            found.push_back(
                {"node.units", Severity::ok, std::string(name) + " is enabled and " + unit["ActiveState"], ""});
        }
    }
    return found;
}

}  // namespace

Findings settingsFindings(const Settings& settings)
{
    Findings found;
    if (settings.auditOnly) {
        found.push_back({"node.audit", Severity::problem, auditOnlyText,
                         std::string("take \"auditOnly\" out of ") + settingsFile + " to have profiles enforced"});
    }
    if (settings.launch && geteuid() == 0 && node::Node::loaded()) {
        found.push_back({"node.applier", Severity::problem,
                         std::string(settingsFile) + " says launch, and a selector is loaded, which is used",
                         "stop the containers, then run `oci-landlock unload`"});
    }
    if (!settings.baseline) {
        return found;
    }
    try {
        const ProfileFile file = findProfile(settings, *settings.baseline);
        const unsigned abi = landlock::kernelAbi();
        readProfile(settings, file, profile::Origin::nodeFile, parseHere(abi > 0 ? abi : landlock::latestAbi));
        found.push_back(
            {"node.baseline", Severity::ok, "every container gets the baseline " + sys::printable(file.path), ""});
    } catch (...) {
        Finding finding = sys::findingOf("node.baseline", std::current_exception(),
                                         std::string("mend it, or take \"baseline\" out of ") + settingsFile);
        finding.message = "no container starts, as the baseline cannot be had: " + finding.message;
        found.push_back(finding);
    }
    return found;
}

Findings nodeFindings(const Settings& settings, const std::optional<std::string>& launch)
{
    Findings found;
    bool inject = false;
    try {
        const json status = collectStatus(settings);
        if (launch) {
            if (status.contains("obstacle")) {
                throw sys::Error("cannot look at containers: " + status["obstacle"].get<std::string>());
            }
            lookAtLaunched(status["containers"], found);
        } else {
            inject = status.contains("applier") ? status["applier"] == "inject" : status["kernel"]["bridge"] == false;
            found = selectorFindings(status);
        }
    } catch (...) {
        found.push_back(
            sys::findingOf("node", std::current_exception(), "ask `oci-landlock status`, and the system log"));
    }
    if (!launch && systemdRuns()) {
        try {
            append(found, unitFindings(inject));
        } catch (...) {
            found.push_back(sys::notLookedAt("node.units", "systemd's units", std::current_exception()));
        }
    }
    return found;
}

}  // namespace cli
