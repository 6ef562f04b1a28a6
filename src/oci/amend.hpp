// SPDX-License-Identifier: Apache-2.0
// Our hooks in a config.json, for engines that have no other way to them.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace oci {

// Where the hook is called, as in hooks/hooks.json, and how many seconds it has each time.
inline constexpr std::array hookStages = {"createRuntime", "poststart", "poststop"};
inline constexpr unsigned hookTimeout = 60;

struct Amended {
    bool covered = false;  // the hook is to run for this container
    std::string config;    // as it was, but for what was missing
};

// Hooks that call `program`, behind those that are there, for a container that asks for a sandbox, and for each one
// with `everyone`. A container asks by annotations of ours, or by variables of its environment, which become
// annotations and leave the environment. What was amended is not amended again. Throws sys::Error naming `what`: not
// strict JSON, a variable of ours that there is not, or both ways at once.
Amended amend(std::string_view config, const std::string& what, const std::string& program, bool everyone);

}  // namespace oci
