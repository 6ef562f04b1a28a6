// SPDX-License-Identifier: Apache-2.0
// What the container engines of a node are told about our hook, by their files.
#pragma once

#include "engine/files.hpp"
#include "nri/presence.hpp"
#include "sys/finding.hpp"

namespace engine {

// What of the node's own ways matters to its engines.
struct Needs {
    bool launch = false;                 // the applier: it wants its poststart hook
    bool baseline = false;               // the hook must run for every container
    std::string version;                 // of this program
    std::optional<unsigned> containerd;  // its major version; std::nullopt: it cannot be told, and taken for 1
    // The plugins of NRI that run; std::nullopt: it cannot be told.
    std::optional<std::vector<nri::Running>> plugins = std::vector<nri::Running>();
};

// What containerd is told about plugins. Paths are as a file has them.
struct NriSettings {
    std::optional<bool> on;  // std::nullopt: up to containerd's version
    std::string socket = "/run/nri/nri.sock";
    std::string plugins = "/opt/nri/plugins";
    bool startedElsewhere = true;  // it takes plugins that it has not started itself
    std::string file;              // where that is said, or would be
    std::string engineSocket = "/run/containerd/containerd.sock";
};

// Each is empty where the engine is not there. What cannot be read is a finding.
sys::Findings podmanFindings(const Files& files, const Needs& needs);
sys::Findings containerdFindings(const Files& files, const Needs& needs);
sys::Findings dockerFindings(const Files& files, const Needs& needs);

// Of our plugin; empty where nobody has set it up.
sys::Findings nriFindings(const Files& files, const Needs& needs, const NriSettings& settings);

// All of them, and a note where there is none.
sys::Findings findings(const Files& files, const Needs& needs);

// Whether the runtime that an engine executes is oci-landlock-runtime, which adds the hooks.
bool addsHooks(const std::string& runtime);
// Of it and the program beside it that the hooks call: what is not there, or not executable. Where the engine looks for
// a bare name is not known.
std::vector<std::string> missingOf(const Files& files, const std::string& runtime);

// Whether the hook of a specification, or of podman's file, calls us: a JSON object with path and args.
bool isOurs(const nlohmann::json& hook);
// "createRuntime": what it calls us for; "" where it says nothing.
std::string stageOf(const nlohmann::json& hook);

}  // namespace engine
