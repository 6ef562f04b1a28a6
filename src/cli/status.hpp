// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/settings.hpp"

namespace cli {

// What `stacks: false` means.
inline constexpr const char* oneLayer =
    "an exec can have one layer: this kernel would keep the last one only, so that what needs more is denied";

// What `auditOnly: true` in the settings means.
inline constexpr const char* auditOnlyText =
    "the node's settings say so: nothing is enforced for containers that start now, whoever wrote their profiles";

// Of the kernel what needs no trying: its release and Landlock's ABI. Throws sys::Error.
nlohmann::json kernelAtHand();

// For who looks again and again.
struct Again {
    nlohmann::json kernel;          // what is said of it; null: what it can do is tried, with BPF programs
    std::chrono::seconds patience;  // with the node's lock
};

// What `status --json` prints; with launch "obstacle" in the place of "containers" where these cannot be looked at.
// Takes away what belongs to no living container. Throws sys::Error.
nlohmann::json collectStatus(const Settings& settings, const Again& again = {nullptr, std::chrono::seconds(10)});

}  // namespace cli
