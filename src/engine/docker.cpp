// SPDX-License-Identifier: Apache-2.0
// Docker: there is nothing that adds a hook to its containers, which is to be said.
#include <nlohmann/json.hpp>

#include "engine/engines.hpp"
#include "sys/error.hpp"

namespace engine {

sys::Findings dockerFindings(const Files& files)
{
    using sys::Severity;
    constexpr const char* file = "/etc/docker/daemon.json";
    if (!files.hasProgram("dockerd")) {
        return {};
    }
    sys::Findings found{{"docker", Severity::note,
                         "Docker is here, and its containers are not covered: nothing adds the hook to them",
                         "run what needs a sandbox with podman, or with containerd and Kubernetes (docs/hooks.md)"}};
    try {
        const auto text = files.read(file);
        const nlohmann::json settings = nlohmann::json::parse(text.value_or("{}"), nullptr, false);
        if (!settings.is_object()) {
            throw sys::Error(std::string(file) + ": not a JSON object");
        }
        const nlohmann::json& runtimes = at(settings, "runtimes");
        std::string names;
        for (const auto& [name, runtime] : objectIn(runtimes).items()) {
            names += (names.empty() ? "" : ", ") + sys::printable(name);
        }
        if (!names.empty()) {
            found.push_back({"docker.runtimes", Severity::note,
                             std::string(file) + " names other runtimes: " + names +
                                 "; whether they call the hook is not looked at",
                             ""});
        }
    } catch (const sys::Error& error) {
        found.push_back({"docker.settings", Severity::problem,
                         std::string("Docker's settings cannot be read: ") + error.what(), "mend them, and ask again"});
    }
    return found;
}

}  // namespace engine
