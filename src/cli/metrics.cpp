// SPDX-License-Identifier: Apache-2.0
// `oci-landlock metrics`: what `status` knows, as OpenMetrics 1.0 text.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/commands.hpp"
#include "cli/event_counts.hpp"
#include "cli/exposition.hpp"
#include "cli/metrics.hpp"
#include "cli/options.hpp"
#include "cli/status.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using nlohmann::json;

struct PerContainer {
    const char* name;
    const char* type;
    const char* help;
    const char* suffix;
    json (*value)(const json& item);  // null: this one has none
};

// With launch a container has its entrypoint alone: no counts of execs, and nothing that could be lost.
json memberOf(const json& item, const char* member)
{
    return item.contains("cgroupId") ? item[member] : json();
}

const PerContainer perContainer[] = {
    {"container_created_timestamp_seconds", "gauge", "When the container was created.", "",
     [](const json& item) { return item["created"]; }},
    {"execs_restricted", "counter", "Execs of the container that were given their domain.", "_total",
     [](const json& item) {
         return item.contains("cgroupId") ? item["applied"] : json(item["applied"].get<bool>() ? 1 : 0);
     }},
    {"execs_denied", "counter", "Execs of the container that failed closed: they could not be given their domain.",
     "_total", [](const json& item) { return memberOf(item, "denied"); }},
    {"container_started", "gauge", "Whether the container has executed anything.", "",
     [](const json& item) { return memberOf(item, "started"); }},
    {"container_intact", "gauge", "Whether all programs that its profile lists are known; else its execs are denied.",
     "", [](const json& item) { return memberOf(item, "intact"); }},
    {"container_rulesets_held", "gauge", "Whether its rulesets are held; else what it selects is denied.", "",
     [](const json& item) { return memberOf(item, "held"); }},
    {"container_failed", "gauge", "Whether its entrypoint could not be restricted, and was not run.", "",
     [](const json& item) { return item.contains("cgroupId") ? json() : json(item.contains("failure")); }},
};

// As far as it is enforced at all.
bool isWhole(const std::string& enforcement)
{
    return enforcement == "full" || enforcement == "none";
}

void addContainers(Exposition& out, const json& containers)
{
    out.family("containers", "gauge", "Containers that have a sandbox.");
    out.sample({}, containers.size());
    for (const PerContainer& family : perContainer) {
        bool first = true;
        for (const json& item : containers) {
            const json value = family.value(item);
            if (value.is_null()) {
                continue;
            }
            if (std::exchange(first, false)) {
                out.family(family.name, family.type, family.help);
            }
            out.sample(labelsOf(item), value, family.suffix);
        }
    }
    out.family("entry_partial", "gauge", "Whether an entry is enforced in part only, as best-effort lets it be.");
    for (const json& item : containers) {
        unsigned index = 0;
        for (const json& entry : item["entries"]) {
            Labels labels = labelsOf(item);
            labels.emplace_back("entry", sys::stringIn(entry, "name"));
            // Names need not differ.
            labels.emplace_back("entry_index", std::to_string(index++));
            out.sample(labels, !isWhole(sys::stringIn(entry, "enforcement")));
        }
    }
    bool first = true;
    for (const json& item : containers) {
        if (!item.contains("audited")) {
            continue;
        }
        if (std::exchange(first, false)) {
            out.family("entries_audited", "gauge", "Entries that are not enforced, but audited, and protect nothing.");
        }
        out.sample(labelsOf(item), item["audited"].size());
    }
}

}  // namespace

std::string metricsOf(const json& status, const EventCounts* counts)
{
    // Of how many there are nothing is said that is not so.
    if (status.contains("obstacle")) {
        throw sys::Error(status["obstacle"].get<std::string>());
    }
    Exposition out;
    out.family("build_info", "gauge", "This program, and what it found.");
    out.sample({{"version", sys::stringIn(status, "version")},
                {"applier", sys::stringIn(status, "applier")},
                {"kernel", sys::stringIn(status["kernel"], "release")}},
               1);
    out.family("landlock_abi", "gauge", "The kernel's Landlock ABI.");
    out.sample({}, status["kernel"]["landlockAbi"]);
    out.family("selector_loaded", "gauge", "Whether this node's selector is loaded; launch needs none.");
    out.sample({}, status["loaded"]);
    if (status.contains("supervisor")) {
        out.family("supervisor_running", "gauge",
                   "Whether the supervisor answers; else no container with a profile starts.");
        out.sample({}, status["supervisor"]["running"]);
    }
    if (status.contains("places")) {
        out.family("places", "gauge", "How many containers this node can have at once.");
        out.sample({}, status["places"]["total"]);
    }
    if (status.contains("slots")) {
        out.family("slots", "gauge", "How many rulesets this node can hold at once.");
        out.sample({}, status["slots"]["total"]);
        out.family("slots_used", "gauge", "How many of them are in use.");
        out.sample({}, status["slots"]["used"]);
    }
    if (status.contains("strays")) {
        out.family("strays_denied", "counter", "Execs that were denied in what containers have left behind.");
        out.sample({}, status["strays"]["denied"], "_total");
    }
    if (status.contains("containers")) {
        addContainers(out, status["containers"]);
    }
    if (counts != nullptr) {
        counts->addTo(out, status.value("containers", json::array()));
    }
    return out.finish();
}

int runMetrics(const Arguments& arguments)
{
    po::options_description options;
    options.add_options()("output", po::value<std::string>()->value_name("FILE"),
                          "write them into FILE, which is replaced as a whole");
    const auto given = parseOptions("metrics",
                                    "Prints what `oci-landlock status` knows as metrics (OpenMetrics text), for "
                                    "monitoring.\n"
                                    "Exit status: 0 printed, also where nothing is loaded; 1 an error.",
                                    options, arguments);
    if (!given) {
        return exitOk;
    }
    const std::string text = metricsOf(collectStatus(readSettings()));
    if (given->contains("output")) {
        sys::replaceFile((*given)["output"].as<std::string>(), text, {});
    } else {
        std::fputs(text.c_str(), stdout);
    }
    return exitOk;
}

}  // namespace cli
