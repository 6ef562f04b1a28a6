// SPDX-License-Identifier: Apache-2.0
// `oci-landlock status`: what is loaded, what the kernel can do, and which containers have an entry.
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "applier/inject/client.hpp"
#include "applier/launch/records.hpp"
#include "applier/programs.hpp"
#include "cli/commands.hpp"
#include "cli/containers.hpp"
#include "cli/denial.hpp"
#include "cli/launch.hpp"
#include "cli/options.hpp"
#include "cli/status.hpp"
#include "landlock/ruleset.hpp"
#include "node/node.hpp"
#include "node/pins.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"
#include "sys/lsm.hpp"
#include "version.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using nlohmann::json;

json describe(const node::Standing& standing)
{
    const oll_record& record = standing.entry.record;
    json report =
        json::parse(record.report, record.report + strnlen(record.report, sizeof record.report), nullptr, false);
    if (!report.is_object()) {
        report = json::object();
    }
    json item = {{"id", sys::printable(record.container_id, sizeof record.container_id)},
                 {"cgroupId", standing.cgroupId},
                 {"created", record.created},
                 {"profile", report.value("profile", "")},
                 {"entries", report.contains("entries") ? report["entries"] : json::array()},
                 {"intact", standing.intact},
                 {"held", standing.held},
                 {"started", standing.entry.started != 0},
                 {"applied", standing.entry.applied},
                 {"denied", standing.entry.denied.count}};
    addAbout(item, {record.about, strnlen(record.about, sizeof record.about)});
    item["audited"] = entryNames(report, auditedOf(standing.entry));
    item["enforces"] = standing.entry.audited != OLL_ALL_AUDITED;
    if (standing.entry.denied.count > 0) {
        item["lastDenial"] = describeDenial(standing.entry.denied.last);
    }
    return item;
}

std::string kernelRelease()
{
    utsname name{};
    uname(&name);
    return name.release;
}

// `launch` needs no BTF, which the rest cannot be told without.
json describeKernel(bool launch)
{
    node::Capabilities found;
    if (launch && access("/sys/kernel/btf/vmlinux", F_OK) != 0) {
        found.lsm = sys::securityModules();
        found.landlockAbi = landlock::kernelAbi();
        found.injectObstacle = "no BTF";
    } else {
        found = node::probe();
    }
    return {{"release", kernelRelease()},       {"lsm", found.lsm},       {"bpfLsm", found.bpfLsm},
            {"landlockAbi", found.landlockAbi}, {"bridge", found.bridge}, {"inject", found.injectObstacle.empty()}};
}

json describeSupervisor()
{
    const auto found = applier::inject::askSupervisor();
    if (!found) {
        return {{"running", false}};
    }
    return {{"running", true}, {"pid", found->pid}, {"version", found->version}, {"containers", found->containers}};
}

json describeLaunched()
{
    json containers = json::array();
    for (const applier::launch::Record& record : applier::launch::livingRecords()) {
        const json report = json::parse(record.report, nullptr, false);
        json item = {{"id", sys::printable(record.id, OLL_ID_SIZE)},
                     {"pid", record.init.pid},
                     {"created", record.created},
                     {"profile", report.is_object() ? report.value("profile", "") : ""},
                     {"entries", report.is_object() && report.contains("entries") ? report["entries"] : json::array()},
                     {"applied", record.applied}};
        addAbout(item, record.about);
        if (!record.failure.empty()) {
            item["failure"] = record.failure;
        }
        containers.push_back(std::move(item));
    }
    return containers;
}

}  // namespace

json kernelAtHand()
{
    return {{"release", kernelRelease()}, {"landlockAbi", landlock::kernelAbi()}};
}

json collectStatus(const Settings& settings, const Again& again)
{
    const std::optional<std::string> launch = reasonForLaunch(settings);
    if (!launch) {
        node::requireAccess();
    }
    json status = {{"version", versionString},
                   {"kernel", again.kernel.is_null() ? describeKernel(launch.has_value()) : again.kernel},
                   {"auditOnly", settings.auditOnly},
                   {"loaded", node::Node::loaded()}};
    if (launch) {
        status["applier"] = "launch";
        status["reason"] = *launch;
        try {
            status["containers"] = describeLaunched();
        } catch (const sys::Error& error) {
            status["obstacle"] = error.what();
        }
        return status;
    }
    if (!status["loaded"]) {
        return status;
    }
    std::vector<node::Standing> containers;
    {
        const node::Lock lock(again.patience);
        const node::Node node(lock);
        node.collectGarbage();
        status["applier"] = applier::nameOf(node.applier());
        status["loadedVersion"] = node.version();
        if (node.applier() == OLL_APPLIER_KFUNC) {
            status["stacks"] = node.stacks();
        }
        for (const node::Usage& fill : node.usage()) {
            status[fill.what == "slots" ? "slots" : "places"] = {{"used", fill.used}, {"total", fill.total}};
        }
        const oll_denials strays = node.strays();
        status["strays"] = {{"denied", strays.count}};
        if (strays.count > 0) {
            status["strays"]["lastDenial"] = describeDenial(strays.last);
        }
        containers = node.containers();
    }
    // It may be asked for a while, and nobody else has to wait for that.
    if (status["applier"] == applier::nameOf(OLL_APPLIER_INJECT)) {
        status["supervisor"] = describeSupervisor();
    }
    status["containers"] = json::array();
    for (const node::Standing& standing : containers) {
        if (standing.alive) {
            status["containers"].push_back(describe(standing));
        }
    }
    return status;
}

namespace {

std::string yesNo(const json& value)
{
    return value.get<bool>() ? "yes" : "no";
}

// Names of containers, profiles, programs and paths come from outside.
std::string word(const json& value)
{
    return value.is_string() ? sys::printable(value.get<std::string>(), 4096) : value.dump();
}

// Those where something is not as whoever wrote the profile will have meant it.
std::string attentionOf(const json& containers)
{
    std::string out;
    for (const json& item : containers) {
        const char* why = !item["intact"].get<bool>()                       ? "broken"
                          : !item["held"].get<bool>()                       ? "rulesets lost"
                          : item["denied"] != 0                             ? "execs denied"
                          : !item["enforces"].get<bool>()                   ? "NOT ENFORCED: audit"
                          : !item["audited"].empty()                        ? "entries NOT ENFORCED: audit"
                          : item["started"] == true && item["applied"] == 0 ? "nothing restricted so far"
                                                                            : nullptr;
        if (why != nullptr) {
            out += (out.empty() ? "" : ", ") + word(item["id"]) + " (" + why + ")";
        }
    }
    return out;
}

std::string nameLine(const json& item)
{
    const std::string name = nameOf(item);
    return name.empty() ? "" : "  name     " + name + "\n";
}

std::string entriesText(const json& entries)
{
    std::string out;
    for (const json& entry : entries) {
        out += "  entry    " + word(entry["name"]) + ": " +
               (entry.value("mode", "") == "audit" ? "NOT ENFORCED, audit" : word(entry["enforcement"]));
        for (const char* list : {"dropped", "missingPaths"}) {
            for (const json& what : entry.value(list, json::array())) {
                out += ", without " + word(what);
            }
        }
        out += "\n";
        for (const json& link : entry.value("links", json::array())) {
            out += "  link     " + word(link) + "\n";
        }
        for (const json& obstacle : entry.value("obstacles", json::array())) {
            out += "  obstacle " + word(obstacle) + "\n";
        }
    }
    return out;
}

std::string namesText(const json& names)
{
    std::string out;
    for (const json& name : names) {
        out += (out.empty() ? "" : ", ") + word(name);
    }
    return out;
}

std::string launchText(const json& status)
{
    std::string out =
        "applier     launch: covers the entrypoint of a container; not exec sessions, nor programs by name\n"
        "            " +
        word(status["reason"]) + "\n" + "containers  " +
        (status.contains("obstacle") ? "not known" : std::to_string(status["containers"].size())) + "\n";
    if (status.contains("obstacle")) {
        return out;
    }
    for (const json& item : status["containers"]) {
        out += "\n" + word(item["id"]) + "\n" + nameLine(item) + "  profile  " + word(item["profile"]) + "\n" +
               entriesText(item["entries"]) + "  state    " +
               (item["applied"]            ? "restricted"
                : item.contains("failure") ? "not restricted: " + word(item["failure"])
                                           : "to be restricted at its start") +
               "\n";
    }
    return out;
}

std::string containerText(const json& item)
{
    std::string out = "\n" + word(item["id"]) + "\n" + nameLine(item) + "  profile  " + word(item["profile"]) + "\n" +
                      entriesText(item["entries"]);
    if (!item["audited"].empty()) {
        out += "  AUDIT    " + namesText(item["audited"]) + (item["enforces"] ? "" : ", all that it has,") +
               " is not enforced, and protects nothing\n";
    }
    if (!item["intact"]) {
        out += "  broken   programs that it lists are missing, so that execs in it are denied; remove the container\n";
    }
    if (!item["held"]) {
        out += "  lost     nobody holds its rulesets, so that what it selects is denied; start it anew\n";
    }
    if (!item["started"]) {
        out += "  created  not started yet\n";
    } else if (item["applied"] == 0 && item["enforces"]) {
        out += "  never    nothing that it selects was executed so far\n";
    }
    out += "  execs    " + word(item["applied"]) + " restricted, " + word(item["denied"]) + " denied\n";
    if (item.contains("lastDenial")) {
        out += "  last     " + denialText(item["lastDenial"]) + "\n";
    }
    return out;
}

void print(const json& status)
{
    const json& kernel = status["kernel"];
    std::string out = "kernel      " + word(kernel["release"]) + " (Landlock ABI " + word(kernel["landlockAbi"]) +
                      ", BPF LSM " + yesNo(kernel["bpfLsm"]) + ", bridge " + yesNo(kernel["bridge"]) + ", inject " +
                      yesNo(kernel["inject"]) + ")\n";
    if (status["auditOnly"]) {
        out += std::string("AUDIT ONLY  ") + auditOnlyText + "\n";
    }
    if (status.contains("applier") && status["applier"] == "launch") {
        std::fputs((out + launchText(status)).c_str(), stdout);
        return;
    }
    out += "loaded      " + yesNo(status["loaded"]);
    if (status["loaded"]) {
        out += ", applier " + word(status["applier"]) + ", version " + word(status["loadedVersion"]) + "\n";
        if (status.contains("stacks") && status["stacks"] == false) {
            out += std::string("layers      ") + oneLayer + "\n";
        }
        if (status.contains("slots")) {
            out +=
                "slots       " + word(status["slots"]["used"]) + " of " + word(status["slots"]["total"]) + " in use\n";
        } else if (status["supervisor"]["running"]) {
            out += "supervisor  pid " + word(status["supervisor"]["pid"]) + ", holds " +
                   word(status["supervisor"]["containers"]) + " containers\n";
        } else {
            out +=
                "supervisor  not running: no container with a profile can start; run `systemctl start oci-landlock-supervisor`\n";
        }
        out += "containers  " + std::to_string(status["containers"].size()) + " of " + word(status["places"]["total"]) +
               "\n";
        const json& strays = status["strays"];
        if (strays.contains("lastDenial")) {
            out += "gone        " + word(strays["denied"]) +
                   " execs denied in what containers have left behind; the last: " + denialText(strays["lastDenial"]) +
                   "\n";
        }
        const auto attention = attentionOf(status["containers"]);
        if (!attention.empty()) {
            out += "attention   " + attention + "\n";
        }
        for (const json& item : status["containers"]) {
            out += containerText(item);
        }
    } else {
        out += "; run `oci-landlock load`, or start a container with a profile\n";
    }
    std::fputs(out.c_str(), stdout);
}

}  // namespace

int runStatus(const Arguments& arguments)
{
    po::options_description options;
    options.add_options()("json", "print JSON");
    const auto given = parseOptions("status",
                                    "Shows what is loaded on this node and which containers depend on it.\n"
                                    "Exit status: 0 loaded, or nothing needs to be (launch); 1 not loaded or an error.",
                                    options, arguments);
    if (!given) {
        return exitOk;
    }
    const json status = collectStatus(readSettings());
    if (given->contains("json")) {
        std::puts(sys::prettyOf(status).c_str());
    } else {
        print(status);
    }
    if (status.contains("obstacle")) {
        sys::flushOutput();
        std::fprintf(stderr, "oci-landlock: cannot look at containers: %s\n", word(status["obstacle"]).c_str());
        return exitFailed;
    }
    return status["loaded"] || status.contains("applier") ? exitOk : exitFailed;
}

}  // namespace cli
