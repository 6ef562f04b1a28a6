// SPDX-License-Identifier: Apache-2.0
// `oci-landlock inspect`: the policy of one container, as it was recorded when the container was created and is
// enforced since.
#include <cstdio>

#include "cli/commands.hpp"
#include "cli/containers.hpp"
#include "cli/denial.hpp"
#include "cli/options.hpp"
#include "cli/report.hpp"
#include "sys/json.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using nlohmann::ordered_json;

// Nothing recorded leaves the report, which has the entries in short.
void addPolicy(ordered_json& out, const Known& known)
{
    const std::optional<std::string> text =
        known.launched ? std::optional(known.launched->policy) : node::Node::policyOf(known.standing->entry);
    ordered_json policy = ordered_json::parse(text.value_or(""), nullptr, false);
    const bool recorded = policy.is_object() && policy.contains("entries");
    if (recorded) {
        out["landlockAbi"] = policy["abi"];
    }
    out["policyRecorded"] = recorded;
    out["entries"] =
        recorded ? policy["entries"] : ordered_json(known.report.value("entries", nlohmann::json::array()));
}

ordered_json describe(const Known& known, const std::string& applier)
{
    ordered_json out = {{"id", sys::printable(known.id, OLL_ID_SIZE)}};
    for (const auto& [key, value] : known.about.items()) {
        out[key] = value;
    }
    out["applier"] = applier;
    out["profile"] = known.report.value("profile", "");
    if (known.launched) {
        out["created"] = known.launched->created;
        out["pid"] = known.launched->init.pid;
        out["applied"] = known.launched->applied;
        if (!known.launched->failure.empty()) {
            out["failure"] = sys::printable(known.launched->failure, 4096);
        }
    } else {
        const oll_container& entry = known.standing->entry;
        out["created"] = entry.record.created;
        out["started"] = entry.started != 0;
        out["intact"] = known.standing->intact;
        out["applied"] = entry.applied;
        out["denied"] = entry.denied.count;
        if (entry.denied.count > 0) {
            out["lastDenial"] = describeDenial(entry.denied.last);
            if (out["lastDenial"].contains("entry")) {
                out["lastDenial"]["entry"] = entryName(known.report, entry.denied.last.entry);
            }
        }
    }
    addPolicy(out, known);
    return out;
}

std::string line(const char* what, const std::string& text)
{
    return text.empty() ? "" : std::string(what) + std::string(12 - std::string_view(what).size(), ' ') + text + "\n";
}

std::string stateText(const ordered_json& found)
{
    if (found["applier"] == "launch") {
        return line("state", found["applied"]            ? "restricted"
                             : found.contains("failure") ? "not restricted: " + found["failure"].get<std::string>()
                                                         : "to be restricted at its start");
    }
    std::string state = found["started"] ? "started" : "not started yet";
    if (!found["intact"]) {
        state += ", broken: programs that it lists are missing, so that execs in it are denied";
    }
    std::string out = line("state", state) +
                      line("execs", found["applied"].dump() + " restricted, " + found["denied"].dump() + " denied");
    if (found.contains("lastDenial")) {
        const std::string entry = sys::stringIn(found["lastDenial"], "entry");
        out +=
            line("last", denialText(found["lastDenial"]) + (entry.empty() ? "" : ", entry " + sys::printable(entry)));
    }
    return out;
}

std::string privilegesText(const ordered_json& entries)
{
    std::string with;
    std::string without;
    for (const ordered_json& entry : entries) {
        if (entry.value("mode", "") == "audit") {
            continue;
        }
        std::string& list = entry["noNewPrivileges"] ? with : without;
        list += (list.empty() ? "" : ", ") + sys::printable(entry["name"].get<std::string>());
    }
    return (with.empty() ? "" : "no_new_privs set by " + with) + (with.empty() || without.empty() ? "" : "; ") +
           (without.empty() ? "" : "no_new_privs not set by " + without);
}

std::string policyText(const ordered_json& found, const std::string& name)
{
    const bool recorded = found["policyRecorded"].get<bool>();
    std::string out = line("container", found["id"].get<std::string>()) + line("name", name) +
                      line("applier", found["applier"].get<std::string>() +
                                          (recorded ? ", Landlock ABI " + found["landlockAbi"].dump() : "")) +
                      line("profile", sys::printable(found["profile"].get<std::string>(), 4096)) +
                      line("digest", found.value("digest", "")) + line("baseline", found.value("baselineDigest", "")) +
                      stateText(found);
    if (recorded) {
        return out + line("privileges", privilegesText(found["entries"])) + textOf(found["entries"]);
    }
    out += line("policy", "not recorded, or too large for it; the profile is what there is to read");
    for (const ordered_json& entry : found["entries"]) {
        out += "  entry " + sys::printable(entry["name"].get<std::string>()) + ": " +
               sys::printable(entry["enforcement"].get<std::string>()) + "\n";
    }
    return out;
}

}  // namespace

int runInspect(const Arguments& arguments)
{
    po::options_description options;
    options.add_options()("json", "print JSON");
    const auto given = parseOptions(
        "inspect",
        "Shows the policy of a running container as it is enforced. CONTAINER is its id, the beginning of\n"
        "its id, or its name: container, pod/container or namespace/pod/container.\n"
        "Exit status: 0 shown; 1 there is none, there are several, or an error.",
        options, arguments, "CONTAINER", 1);
    if (!given) {
        return exitOk;
    }
    const auto words = (*given)["CONTAINER"].as<Arguments>();
    if (words.size() != 1) {
        throw UsageError("inspect: name one container; `oci-landlock ps` lists them");
    }
    AllKnown all = knownContainers();
    const Known& known = find(all.containers, words.front());
    const ordered_json found = describe(known, all.applier);
    if (given->contains("json")) {
        std::puts(sys::prettyOf(found).c_str());
    } else {
        std::fputs(policyText(found, nameOf(known.about)).c_str(), stdout);
    }
    return exitOk;
}

}  // namespace cli
