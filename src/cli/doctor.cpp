// SPDX-License-Identifier: Apache-2.0
// `oci-landlock doctor`: what is wrong on this node, and what mends it.
#include "cli/doctor.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/commands.hpp"
#include "cli/launch.hpp"
#include "cli/options.hpp"
#include "engine/engines.hpp"
#include "sys/json.hpp"
#include "sys/run.hpp"
#include "version.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using nlohmann::json;
using sys::Findings;
using sys::Severity;

const char* wordOf(Severity severity)
{
    switch (severity) {
        case Severity::ok:
            return "ok";
        case Severity::note:
            return "note";
        case Severity::problem:
            return "problem";
    }
    return "problem";
}

// "containerd github.com/containerd/containerd/v2 2.1.9…": files of version 2 mean something else to containerd 1.
// Throws sys::Error when it does not say so.
unsigned majorVersionOf(const std::string& containerd)
{
    constexpr std::size_t most = 4096;
    const sys::Answer answer = sys::run({containerd, "--version"}, most);
    std::istringstream words(answer.output);
    std::string version;
    words >> version >> version >> version;
    version.erase(0, version.starts_with('v') ? 1 : 0);
    unsigned major = 0;
    const auto [end, error] = std::from_chars(version.data(), version.data() + version.size(), major);
    if (error != std::errc() || *end != '.') {
        throw sys::Error(containerd + " --version: names no version");
    }
    return major;
}

Findings examine()
{
    Findings all;
    const engine::Files files;
    Settings settings;
    std::optional<std::string> launch;
    try {
        settings = readSettings();
        append(all, settingsFindings(settings));
    } catch (...) {
        all.push_back(sys::findingOf("node.settings", std::current_exception(), std::string("mend ") + settingsFile));
    }
    try {
        launch = reasonForLaunch(settings);
    } catch (...) {
        all.push_back(
            sys::findingOf("kernel.applier", std::current_exception(), "see /usr/share/doc/oci-landlock/appliers.md"));
    }
    append(all, kernelFindings(launch));
    append(all, bootFindings(files, launch));
    append(all, nodeFindings(settings, launch));
    engine::Needs needs{.launch = launch.has_value(),
                        .baseline = settings.baseline.has_value(),
                        .version = versionString};
    try {
        needs.plugins = nri::allRunning();
    } catch (...) {
        needs.plugins.reset();
        all.push_back(sys::notLookedAt("engines.nri", "the plugin of NRI", std::current_exception()));
    }
    if (const auto containerd = files.program("containerd")) {
        try {
            needs.containerd = majorVersionOf(*containerd);
        } catch (...) {
            all.push_back(sys::notLookedAt("containerd.version", "containerd's version", std::current_exception()));
        }
    }
    append(all, engine::findings(files, needs));
    return all;
}

json findingsOf(const Findings& findings, std::size_t problems)
{
    json out = {{"version", versionString}, {"problems", problems}, {"findings", json::array()}};
    for (const sys::Finding& finding : findings) {
        json item = {{"name", finding.name}, {"severity", wordOf(finding.severity)}, {"message", finding.message}};
        if (!finding.remedy.empty()) {
            item["remedy"] = finding.remedy;
        }
        out["findings"].push_back(std::move(item));
    }
    return out;
}

void print(const Findings& findings, std::size_t problems)
{
    std::string out;
    for (const sys::Finding& finding : findings) {
        out += std::string(wordOf(finding.severity)) + ": " + finding.name + ": " + finding.message + "\n";
        if (!finding.remedy.empty()) {
            out += "    " + finding.remedy + "\n";
        }
    }
    const auto notes = std::ranges::count(findings, Severity::note, &sys::Finding::severity);
    out += "problems: " + std::to_string(problems) + ", notes: " + std::to_string(notes) + "\n";
    std::fputs(out.c_str(), stdout);
}

}  // namespace

int runDoctor(const Arguments& arguments)
{
    po::options_description options;
    options.add_options()("json", "print JSON");
    const auto given =
        parseOptions("doctor",
                     "Looks for what is wrong on this node: kernel, selector, supervisor, containers, and\n"
                     "what podman, containerd and Docker are told; says what mends it. Changes nothing.\n"
                     "Exit status: 0 nothing is wrong, 1 there is at least one problem.",
                     options, arguments);
    if (!given) {
        return exitOk;
    }
    const Findings findings = examine();
    const auto problems =
        static_cast<std::size_t>(std::ranges::count(findings, Severity::problem, &sys::Finding::severity));
    if (given->contains("json")) {
        std::puts(sys::prettyOf(findingsOf(findings, problems)).c_str());
    } else {
        print(findings, problems);
    }
    return problems == 0 ? exitOk : exitFailed;
}

}  // namespace cli
