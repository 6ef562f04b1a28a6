// SPDX-License-Identifier: Apache-2.0
// Docker: its daemon has no hooks, but may be given oci-landlock-runtime, which adds them.
#include <nlohmann/json.hpp>

#include "engine/engines.hpp"
#include "sys/error.hpp"

namespace engine {

namespace {

using nlohmann::json;
using sys::Findings;
using sys::Severity;

constexpr const char* daemonFile = "/etc/docker/daemon.json";

// What is executed as a runtime of the daemon's; "": nothing that is named here.
std::string programOf(const json& runtime)
{
    for (const json& named : {at(runtime, "path"), at(at(runtime, "options"), "BinaryName")}) {
        if (named.is_string()) {
            return named.get<std::string>();
        }
    }
    return "";
}

// Reads the daemon's settings; throws sys::Error.
class Docker {
public:
    Docker(const Files& files, const Needs& needs) : files_(files), needs_(needs) {}

    Findings look()
    {
        const auto text = files_.read(daemonFile);
        const json settings = json::parse(text.value_or("{}"), nullptr, false);
        if (!settings.is_object()) {
            throw sys::Error(std::string(daemonFile) + ": not a JSON object");
        }
        std::string ours;
        std::string others;
        const json& usual = at(settings, "default-runtime");
        for (const auto& [name, runtime] : objectIn(at(settings, "runtimes")).items()) {
            const std::string program = programOf(runtime);
            if (addsHooks(program)) {
                lookAtProgram(name, program);
                ours = ours.empty() || usual == name ? name : ours;
            } else {
                others += (others.empty() ? "" : ", ") + sys::printable(name);
            }
        }
        lookAtDefault(ours, usual == ours);
        if (!others.empty()) {
            add("docker.runtimes", Severity::note,
                std::string(daemonFile) + " names other runtimes: " + others +
                    "; whether they call the hook is not looked at");
        }
        return std::move(findings_);
    }

private:
    void add(const char* name, Severity severity, std::string message, std::string remedy = "")
    {
        findings_.push_back({name, severity, std::move(message), std::move(remedy)});
    }

    void lookAtProgram(const std::string& name, const std::string& program)
    {
        for (const std::string& missing : missingOf(files_, program)) {
            add("docker.program", Severity::problem,
                sys::printable(missing) + ", which Docker's runtime " + sys::printable(name) +
                    " needs, is not there or not executable: containers with a profile do not start",
                "install " + sys::printable(missing));
        }
    }

    void lookAtDefault(const std::string& ours, bool isDefault)
    {
        if (ours.empty()) {
            add("docker", Severity::note,
                "Docker is here, and none of its runtimes is oci-landlock-runtime: no container gets a sandbox",
                "see \"Docker\" in /usr/share/doc/oci-landlock/hooks.md");
            return;
        }
        const std::string shown = sys::printable(ours);
        if (isDefault) {
            add("docker.runtime", Severity::ok,
                "Docker's containers run by oci-landlock-runtime, its runtime " + shown);
            return;
        }
        add("docker.runtime", needs_.baseline ? Severity::problem : Severity::note,
            "Docker runs by oci-landlock-runtime only the containers that choose its runtime " + shown +
                (needs_.baseline ? ": the others go without the node's baseline"
                                 : ": others start without the sandbox that they ask for"),
            "\"default-runtime\": \"" + shown + "\" in " + daemonFile);
    }

    const Files& files_;
    const Needs& needs_;
    Findings findings_;
};

}  // namespace

Findings dockerFindings(const Files& files, const Needs& needs)
{
    if (!files.program("dockerd")) {
        return {};
    }
    try {
        return Docker(files, needs).look();
    } catch (const sys::Error& error) {
        return {{"docker.settings", Severity::problem, std::string("Docker's settings cannot be read: ") + error.what(),
                 "mend them, and ask again"}};
    }
}

}  // namespace engine
