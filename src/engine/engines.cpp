// SPDX-License-Identifier: Apache-2.0
#include "engine/engines.hpp"

#include <nlohmann/json.hpp>

namespace engine {

namespace {

constexpr std::string_view wrapper = "/oci-landlock-runtime";

}  // namespace

bool isOurs(const nlohmann::json& hook)
{
    const nlohmann::json& path = at(hook, "path");
    return path.is_string() && ("/" + path.get<std::string>()).ends_with("/oci-landlock");
}

bool addsHooks(const std::string& runtime)
{
    return ("/" + runtime).ends_with(wrapper);
}

std::vector<std::string> missingOf(const Files& files, const std::string& runtime)
{
    std::vector<std::string> missing;
    if (runtime.starts_with('/')) {
        for (const std::string& needed :
             {runtime, runtime.substr(0, runtime.size() - std::string_view("-runtime").size())}) {
            if (!files.executable(needed).value_or(false)) {
                missing.push_back(needed);
            }
        }
    }
    return missing;
}

std::string stageOf(const nlohmann::json& hook)
{
    const std::vector<std::string> words = stringsOf(at(hook, "args"));
    return words.size() == 3 && words[1] == "hook" ? words[2] : "";
}

sys::Findings findings(const Files& files, const Needs& needs)
{
    sys::Findings all;
    append(all, podmanFindings(files, needs));
    append(all, containerdFindings(files, needs));
    append(all, dockerFindings(files, needs));
    if (files.program("crio")) {
        all.push_back({"crio", sys::Severity::note, "CRI-O is here, and its configuration is not looked at",
                       "see \"CRI-O\" in /usr/share/doc/oci-landlock/hooks.md"});
    }
    if (all.empty()) {
        all.push_back({"engines", sys::Severity::note,
                       "neither podman, containerd nor Docker is installed here: nothing runs the hook by itself",
                       "see \"runc and crun by hand\" in /usr/share/doc/oci-landlock/hooks.md"});
    }
    return all;
}

}  // namespace engine
